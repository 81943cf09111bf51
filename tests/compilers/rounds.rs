//! How often the loops of a kernel run in a step of a plan: by constants in the assembly where there are any, and by what the
//! step says of its steps in a row.

use std::ops::RangeInclusive;

use tilegrad::kernel::Serial;
use tilegrad::plan::Step;

use crate::assembly::{Assembly, is_within};
use crate::kernels::number;

/// A field of the step's params.
fn param(step: &Step, name: &str) -> Option<u32> {
    let field = step.kernel.params.iter().find(|field| field.name == name)?;
    let bytes = step.params.get(field.offset..field.offset + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// How many rounds a loop has that counts by a constant to a constant: from 0, as all loops of these kernels do.
fn constant_rounds(assembly: &Assembly, of: &RangeInclusive<usize>) -> Option<u64> {
    let instructions = || assembly.blocks[of.clone()].iter().flat_map(|block| &block.instructions);
    let compare = assembly.blocks[*of.start()].instructions.iter().find(|of| of.starts_with("s_cmp"))?;
    let (counter, end) = compare.split_once(' ')?.1.split_once(", ")?;
    let steps_by = |instruction: &String| {
        let (operation, operands) = instruction.split_once(' ')?;
        let operands: Vec<&str> = operands.split(", ").collect();
        match (operation, &operands[..]) {
            ("s_add_u32" | "s_add_i32", [to, from, by]) if *to == counter && *from == counter => constant(by),
            ("s_addk_i32", [to, by]) if *to == counter => constant(by),
            _ => None,
        }
    };
    let by = instructions().find_map(steps_by)?;
    Some(constant(end)?.div_ceil(by.max(1)))
}

/// A number that an instruction has in itself.
fn constant(operand: &str) -> Option<u64> {
    match operand.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => operand.parse().ok(),
    }
}

/// What a step says of its loops.
pub struct Work {
    /// Steps in a row of one invocation.
    pub serial: u64,
    /// Of a product: the sums that an invocation owns, and the places of K that it holds at once.
    pub product: Option<(usize, Option<u64>)>,
    /// The rounds of outer loops, outermost first, where the params say them.
    pub outer: Vec<u64>,
}

impl Work {
    /// Of a step whose invocations own so many sums.
    pub fn new(step: &Step, sums: usize) -> Self {
        let (serial, product) = match step.serial {
            Some(Serial::KPlaces(places)) => (places, true),
            Some(Serial::Elements(elements)) => (elements, false),
            None => (1, false),
        };
        let outer = ["kernel_h", "kernel_w"].iter().map_while(|name| param(step, name)).map(u64::from).collect();
        let tile = number(&step.kernel, "TILE_K").map(u64::from);
        Work { serial: serial.max(1), product: product.then_some((sums, tile)), outer }
    }

    /// How often each loop's body is run by one wave in all.
    pub fn passes(&self, assembly: &Assembly) -> Vec<f64> {
        let constants: Vec<_> = assembly.loops.iter().map(|of| constant_rounds(assembly, of)).collect();
        let known = match self.product {
            Some((sums, tile)) => self.of_product(assembly, sums, tile),
            None => self.of_elements(assembly, &constants),
        };
        let mut passes: Vec<f64> = Vec::new();
        for (i, of) in assembly.loops.iter().enumerate() {
            let around = (0..i).rev().find(|&j| is_within(of, &assembly.loops[j])).map_or(1.0, |j| passes[j]);
            passes.push(known[i].unwrap_or(around * constants[i].unwrap_or(1) as f64));
        }
        passes
    }

    /// The passes of the loops over K: the innermost have so many multiply-adds a pass, so that many passes. All others run by
    /// their constant, or once.
    fn of_product(&self, assembly: &Assembly, sums: usize, tile: Option<u64>) -> Vec<Option<f64>> {
        let innermost = assembly.product_loops(sums);
        let multiply_adds = assembly.product_counts(sums).unwrap_or_default().multiply_adds;
        let places = (multiply_adds / sums.max(1)).max(1) as u64;
        let all = self.serial.next_multiple_of(tile.unwrap_or(1));
        let of_loop = |of: &RangeInclusive<usize>| {
            let inner = innermost.iter().find(|inner| *inner == of || is_within(inner, of))?;
            let passes = all.div_ceil(places);
            if inner == of {
                return Some(passes as f64);
            }
            // Tiles that one round of the outer loop takes, if it has several loops over places.
            let tiles = innermost.iter().filter(|inner| is_within(inner, of)).count() as u64;
            Some(match tile {
                Some(tile) => all.div_ceil(tile * tiles) as f64,
                None => self.of_outer(assembly, of, inner, passes),
            })
        };
        assembly.loops.iter().map(of_loop).collect()
    }

    /// The passes of loops that are not over a constant: the innermost share the steps in a row evenly.
    fn of_elements(&self, assembly: &Assembly, constants: &[Option<u64>]) -> Vec<Option<f64>> {
        let counted = |of: &RangeInclusive<usize>| {
            assembly.loops.iter().zip(constants).any(|(other, rounds)| other == of && rounds.is_some())
        };
        let innermost: Vec<_> = assembly.loops.iter().filter(|of| !counted(of)).collect();
        let innermost: Vec<_> =
            innermost.iter().filter(|of| !innermost.iter().any(|other| is_within(other, of))).collect();
        let by_constant: u64 = constants.iter().flatten().sum();
        let left = self.serial.saturating_sub(by_constant).max(1);
        let passes = left.div_ceil(innermost.len().max(1) as u64);
        let of_loop = |of: &RangeInclusive<usize>| {
            if counted(of) {
                return None;
            }
            let inner = innermost.iter().find(|inner| ***inner == of || is_within(inner, of))?;
            let is_inner = **inner == of;
            Some(if is_inner { passes as f64 } else { self.of_outer(assembly, of, inner, passes) })
        };
        assembly.loops.iter().map(of_loop).collect()
    }

    /// The passes of a loop around another that has `passes`: by the params, or as if all loops of the nest had as many rounds.
    fn of_outer(
        &self,
        assembly: &Assembly,
        of: &RangeInclusive<usize>,
        inner: &RangeInclusive<usize>,
        passes: u64,
    ) -> f64 {
        let nest: Vec<_> = assembly.loops.iter().filter(|of| *of == inner || is_within(inner, of)).collect();
        let depth = nest.iter().position(|other| *other == of).unwrap_or(0) + 1;
        match self.outer.get(..depth) {
            Some(rounds) => rounds.iter().product::<u64>().min(passes) as f64,
            None => (passes as f64).powf(depth as f64 / nest.len() as f64),
        }
    }
}

mod tests {
    use super::*;
    use crate::assembly::tests::nested;

    /// Loop 1 has loop 3 in it, with two multiply-adds a pass; loop 5 comes after.
    fn work(serial: u64, product: Option<(usize, Option<u64>)>) -> Vec<f64> {
        Work { serial, product, outer: vec![3] }.passes(&Assembly::parse(&nested()))
    }

    #[test]
    fn loops_over_k_have_the_rounds_of_the_step() {
        // One place a pass in tiles of 8, two places a pass, and no tiles: three lines of a window.
        assert_eq!(work(20, Some((2, Some(8)))), [3.0, 24.0, 1.0]);
        assert_eq!(work(20, Some((1, Some(8)))), [3.0, 12.0, 1.0]);
        assert_eq!(work(20, Some((2, None))), [3.0, 20.0, 1.0]);
    }

    #[test]
    fn loops_over_elements_share_them() {
        assert_eq!(work(20, None), [3.0, 10.0, 10.0]);
        let counted = nested().replace("s_cbranch_scc0 BB5", "s_add_u32 s7, s7, 2\n\ts_cbranch_scc0 BB5");
        let counted = counted.replace("BB5:", "BB5:\n\ts_cmp_lt_u32 s7, 0x10");
        assert_eq!(
            Work { serial: 28, product: None, outer: vec![3] }.passes(&Assembly::parse(&counted)),
            [3.0, 20.0, 8.0]
        );
    }
}

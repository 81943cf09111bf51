//! What AMD's driver hands out as "Assembly", as blocks, loops and kinds of instructions.
//!
//! Blocks are named BB0, BB1, .. in the order in which they lie in memory; a branch names the block that it goes to. A loop is
//! what lies from the block that a branch goes back to until the last such branch: the compiler lays loops out in a row.

use std::ops::RangeInclusive;

/// A kernel's instructions.
pub struct Assembly {
    /// In their order in memory.
    pub blocks: Vec<Block>,
    /// In the order of their first blocks, outer ones before those within.
    pub loops: Vec<RangeInclusive<usize>>,
}

/// Instructions that are run from first to last.
pub struct Block {
    /// What branches call it.
    pub name: String,
    /// Its instructions, without their code in hexadecimal.
    pub instructions: Vec<String>,
}

/// Instructions by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Products that are added up, in one instruction each.
    pub multiply_adds: usize,
    /// Everything else but waits: addresses, loads, counters, branches.
    pub others: usize,
    /// What does nothing but wait: s_waitcnt, s_nop and hints to the instruction cache.
    pub waits: usize,
}

impl Counts {
    /// The part of multiply-adds among all instructions but waits.
    pub fn share(&self) -> f64 {
        self.multiply_adds as f64 / (self.multiply_adds + self.others).max(1) as f64
    }
}

/// Whether an instruction adds a product of floats up.
pub fn is_multiply_add(instruction: &str) -> bool {
    let stem = instruction.trim_start_matches("v_").trim_start_matches("dual_").trim_start_matches("pk_");
    let kinds = ["fma_", "fmac_", "fmamk_", "fmaak_", "mac_", "mad_", "madmk_", "madak_"];
    let floats = kinds.iter().find_map(|kind| stem.strip_prefix(kind));
    instruction.starts_with("v_") && floats.is_some_and(|of| of.starts_with("f32") || of.starts_with("f16"))
}

/// Whether an instruction does nothing but wait.
pub fn is_wait(instruction: &str) -> bool {
    let waits = ["s_waitcnt", "s_nop", "s_inst_prefetch", "s_set_inst_prefetch", "s_delay_alu"];
    waits.iter().any(|kind| instruction.starts_with(kind))
}

/// The block that a branch goes to.
fn target(instruction: &str) -> Option<&str> {
    let (operation, block) = instruction.split_once(' ')?;
    (operation.contains("branch") && block.starts_with("BB")).then_some(block)
}

/// Whether a loop is another than `of` and inside it.
pub fn is_within(inner: &RangeInclusive<usize>, of: &RangeInclusive<usize>) -> bool {
    inner != of && of.contains(inner.start()) && of.contains(inner.end())
}

impl Assembly {
    /// Reads what the driver says; of anything else it makes no block.
    pub fn parse(text: &str) -> Self {
        let mut blocks: Vec<Block> = Vec::new();
        for line in text.lines() {
            let line = line.split(';').next().unwrap_or_default().trim();
            if let Some(name) = line.strip_suffix(':').filter(|name| name.starts_with("BB")) {
                blocks.push(Block { name: name.to_string(), instructions: Vec::new() });
            } else if let (false, Some(block)) = (line.is_empty(), blocks.last_mut()) {
                // Two that RDNA 3 does at once are two.
                block.instructions.extend(line.split("::").map(|one| one.trim().to_string()));
            }
        }
        let mut loops: Vec<RangeInclusive<usize>> = Vec::new();
        for (at, block) in blocks.iter().enumerate() {
            for name in block.instructions.iter().filter_map(|instruction| target(instruction)) {
                let Some(first) = blocks[..=at].iter().position(|block| block.name == name) else { continue };
                match loops.iter_mut().find(|of| *of.start() == first) {
                    Some(of) => *of = first..=at,
                    None => loops.push(first..=at),
                }
            }
        }
        loops.sort_by_key(|of| (*of.start(), usize::MAX - of.end()));
        Assembly { blocks, loops }
    }

    /// What is in the blocks.
    pub fn counts(&self, blocks: RangeInclusive<usize>) -> Counts {
        let mut counts = Counts::default();
        for instruction in self.blocks[blocks].iter().flat_map(|block| &block.instructions) {
            if is_multiply_add(instruction) {
                counts.multiply_adds += 1;
            } else if is_wait(instruction) {
                counts.waits += 1;
            } else {
                counts.others += 1;
            }
        }
        counts
    }

    /// The innermost loops with the multiply-adds of a product of which an invocation owns `sums` sums. They are in the first
    /// outermost loop that has as many multiply-adds: what follows works on the sums. Where the compiler unrolled the innermost
    /// loop, what is left around it is the innermost.
    pub fn product_loops(&self, sums: usize) -> Vec<RangeInclusive<usize>> {
        let has = |of: &RangeInclusive<usize>, count: usize| self.counts(of.clone()).multiply_adds >= count;
        let outermost = |of: &&RangeInclusive<usize>| !self.loops.iter().any(|other| is_within(of, other));
        let Some(outer) = self.loops.iter().filter(outermost).find(|of| has(of, sums)) else { return Vec::new() };
        let inside = || self.loops.iter().filter(|of| *of == outer || is_within(of, outer)).filter(|of| has(of, 1));
        inside().filter(|of| !inside().any(|other| is_within(other, of))).cloned().collect()
    }

    /// What is in those loops, taken together.
    pub fn product_counts(&self, sums: usize) -> Option<Counts> {
        let of_each = self.product_loops(sums).into_iter().map(|of| self.counts(of));
        of_each.reduce(|a, b| Counts {
            multiply_adds: a.multiply_adds + b.multiply_adds,
            others: a.others + b.others,
            waits: a.waits + b.waits,
        })
    }

    /// The loops that have no other within.
    pub fn innermost(&self) -> Vec<RangeInclusive<usize>> {
        let inner = |of: &&RangeInclusive<usize>| !self.loops.iter().any(|other| is_within(other, of));
        self.loops.iter().filter(inner).cloned().collect()
    }

    /// Those blocks as they were read.
    pub fn text(&self, blocks: RangeInclusive<usize>) -> String {
        let of_block = |block: &Block| format!("{}:\n    {}\n", block.name, block.instructions.join("\n    "));
        self.blocks[blocks].iter().map(of_block).collect()
    }
}

pub mod tests {
    use super::*;

    /// Two loops one in the other, and one after them that adds up more.
    const MADE_UP: &str = "BB0:
	s_load_dwordx4 s[8:11], s[2:3], null                        ; f4080201 fa000000
BB1:
	s_cmp_ge_u32 s4, s5                                         ; bf090504
	s_cbranch_scc1 BB5                                          ; bf850030
BB2:
	ds_write_b128 v1, v[2:5]                                    ; dbfc0000
BB3:
	s_cbranch_scc1 BB1                                          ; bf850031
BB4:
	s_waitcnt lgkmcnt(0)                                        ; bf8cc07f
	s_nop 0                                                     ; bf800000
	v_fmac_f32_e32 v36, v56, v52                                ; 56486938
	v_dual_fmac_f32 v35, v57, v52 :: v_dual_mul_f32 v1, v2, v3  ; 56466939
	v_mad_u32_u24 v1, v2, v3, v4                                ; 5644693a
	s_branch BB3                                                ; bf82ffce
BB5:
	v_fma_f32 v1, v2, v3, v4                                    ; 5644693a
	v_fma_f32 v1, v2, v3, v4                                    ; 5644693a
	v_pk_fma_f16 v1, v2, v3, v4                                 ; 5644693a
	s_cbranch_scc0 BB5                                          ; bf850030
BB6:
	s_endpgm                                                    ; bf810000
";

    /// The same, with the second loop inside the first.
    pub fn nested() -> String {
        MADE_UP.replace("s_cbranch_scc1 BB1 ", "s_cbranch_scc1 BB5 ").replace("BB5:", "\ts_branch BB1\nBB5:")
    }

    #[test]
    fn loops_lie_where_branches_go_back() {
        let assembly = Assembly::parse(MADE_UP);
        assert_eq!(assembly.blocks.len(), 7);
        // BB3 goes back to BB1, but BB4 to BB3 lies behind it.
        assert_eq!(assembly.loops, [1..=3, 3..=4, 5..=5]);
        assert_eq!(assembly.counts(3..=4), Counts { multiply_adds: 2, others: 4, waits: 2 });
    }

    #[test]
    fn the_innermost_loop_of_a_product_is_the_first_with_its_sums() {
        let assembly = Assembly::parse(&nested());
        assert_eq!(assembly.loops, [1..=4, 3..=4, 5..=5]);
        assert_eq!(assembly.product_loops(2), [3..=4]);
        assert_eq!(assembly.product_loops(3), [5..=5]);
        let counts = assembly.product_counts(2).unwrap();
        assert_eq!((counts.multiply_adds, counts.share()), (2, 2.0 / 7.0));
        assert!(Assembly::parse("no assembly").blocks.is_empty());
        assert!(assembly.text(6..=6).contains("s_endpgm"));
    }
}

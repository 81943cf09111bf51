//! What the steps of a plan cost on AMD's RX 6800 XT, estimated: from the assembly, with each loop's rounds from the plan. Good
//! for comparing two forms of one kernel and for saying which kernels matter; [`LEGEND`] says what is counted.
//!
//! The cycles of instructions are those of Mesa's own estimate for RDNA (aco_statistics.cpp: a vector instruction one, of a
//! quarter of the rate four, of 64 bits two; a wave of 64 lanes twice that; a scalar one, a load and a branch one), but that a load
//! or store counts one for each word of a lane. That workgroup memory and the first cache give two SIMDs 128 bytes a cycle is
//! assumed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use tilegrad::kernel::{Extent, Kernel};
use tilegrad::plan::{Plan, Step};

use crate::assembly::{Assembly, is_multiply_add, is_wait};
use crate::rounds::Work;

/// SIMDs of a unit; cycles a µs at the boost clock; bytes a µs of its memory. AMD's data sheet.
const SIMDS: u64 = 2;
const CYCLES: f64 = 2250.0;
const BYTES: f64 = 512e3;

/// The parts of a unit that work side by side for different waves.
const PARTS: [&str; 4] = ["vector", "scalar", "workgroup memory", "memory"];

/// A compiled kernel.
pub struct Code<'a> {
    /// Its label.
    pub label: String,
    /// Its instructions.
    pub assembly: &'a Assembly,
    /// Lanes of a wave, invocations of a workgroup, sums of an invocation.
    pub lanes: u64,
    pub workgroup: u64,
    pub sums: usize,
}

/// Cycles of one wave: to hand its instructions out one by one, and how long each part is busy.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cycles {
    /// One by one.
    pub issue: f64,
    /// By part.
    pub parts: [f64; 4],
    /// Multiply-adds of each lane, which are not cycles but say whether the rounds are right.
    pub multiply_adds: f64,
}

/// What a kernel costs in a step of training, in µs.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    dispatches: usize,
    issue: f64,
    parts: [f64; 4],
    memory: f64,
    peak: f64,
    /// Whether it has fewer multiply-adds than the plan, so that its rounds are wrong.
    short: bool,
    all: f64,
}

/// The words of a lane that an instruction moves.
fn words(instruction: &str) -> u64 {
    let has = |parts: &[&str]| parts.iter().any(|part| instruction.contains(part));
    let of_one = match () {
        () if has(&["x4", "b128"]) => 4,
        () if has(&["x3", "b96"]) => 3,
        () if has(&["x2", "b64"]) => 2,
        () => 1,
    };
    if has(&["read2", "write2", "load_2addr", "store_2addr"]) { 2 * of_one } else { of_one }
}

/// The cycles of an instruction: handing it out, the part that does it, and how long that is busy.
fn cycles(instruction: &str, lanes: u64) -> (u64, usize, u64) {
    let operation = instruction.split(' ').next().unwrap_or_default();
    let starts = |kinds: &[&str]| kinds.iter().any(|kind| operation.starts_with(kind));
    if is_wait(operation) {
        return (0, 1, 0);
    }
    if starts(&["s_"]) {
        return (1, 1, 1);
    }
    if starts(&["ds_", "buffer_", "global_", "flat_", "scratch_"]) {
        let words = words(operation);
        return (words, if starts(&["ds_"]) { 2 } else { 3 }, words * lanes * 4 * SIMDS / 128);
    }
    let quarter =
        ["v_mul_lo_", "v_mul_hi_", "v_mad_u64_", "v_rcp_", "v_rsq_", "v_sqrt_", "v_exp_", "v_log_", "v_sin_", "v_cos_"];
    let rate = match () {
        () if starts(&quarter) && !operation.contains("24") => 4,
        () if operation.ends_with("_b64") || operation.contains("64_e") => 2,
        () => 1,
    };
    let cycles = rate * lanes.div_ceil(32);
    (cycles, 0, cycles)
}

/// The cycles of one wave that does `work`.
pub fn of_wave(assembly: &Assembly, work: &Work, lanes: u64) -> Cycles {
    let passes = work.passes(assembly);
    let mut all = Cycles::default();
    for (at, block) in assembly.blocks.iter().enumerate() {
        let mut around = assembly.loops.iter().zip(&passes).filter(|(of, _)| of.contains(&at));
        let times = around.next_back().map_or(1.0, |(_, passes)| *passes);
        for instruction in &block.instructions {
            let (issue, part, busy) = cycles(instruction, lanes);
            all.issue += times * issue as f64;
            all.parts[part] += times * busy as f64;
            all.multiply_adds += if is_multiply_add(instruction) { times } else { 0.0 };
        }
    }
    all
}

impl Cost {
    /// Of one dispatch on `units` units.
    fn new(step: &Step, code: &Code, units: u64) -> Self {
        let of_wave = of_wave(code.assembly, &Work::new(step, code.sums), code.lanes);
        let workgroups = match step.extent {
            Extent::Workgroups(count) => count,
            Extent::Invocations(count) => count.div_ceil(code.workgroup),
        };
        let waves = workgroups * code.workgroup.div_ceil(code.lanes);
        let done = of_wave.multiply_adds * (waves * code.lanes) as f64;
        // Winograd's algorithm makes do with fewer than the node has; its products are those of matrices.
        let winograd = step.operation.starts_with("conv2d") && !code.label.starts_with("conv2d");
        let short = done < step.multiply_adds as f64 && !winograd && !code.label.contains("winograd");
        // Of the SIMD that has most.
        let times = waves.div_ceil(units * SIMDS) as f64 / CYCLES;
        let (issue, memory) = (times * of_wave.issue, step.bytes() as f64 / BYTES);
        let peak = step.multiply_adds as f64 / (units * SIMDS * 32) as f64 / CYCLES;
        let parts = of_wave.parts.map(|part| times * part);
        Cost { dispatches: 1, issue, parts, memory, peak, short, all: issue.max(memory) }
    }

    fn add(&mut self, other: &Self) {
        self.dispatches += other.dispatches;
        self.issue += other.issue;
        self.parts.iter_mut().zip(other.parts).for_each(|(part, other)| *part += other);
        self.memory += other.memory;
        self.peak += other.peak;
        self.short |= other.short;
        self.all += other.all;
    }
}

/// Costs of an earlier table, in µs, by network and kernel.
pub type Before = BTreeMap<(String, String), f64>;

/// Reads the costs of a file that [`tables`] has made.
pub fn before(text: &str) -> Before {
    let mut before = Before::new();
    let (mut network, mut column) = (String::new(), None);
    for line in text.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        if let Some(of) = line.strip_prefix("### ") {
            network = of.split(':').next().unwrap_or_default().to_string();
            column = None;
        } else if cells[0] == "kernel" {
            column = cells.iter().position(|cell| *cell == COST);
        } else if let (false, Some(column)) = (network.is_empty(), column)
            && let Some(Ok(cost)) = cells.get(column).map(|cell| cell.parse())
        {
            before.insert((network.clone(), cells[0].to_string()), cost);
        }
    }
    before
}

const COST: &str = "cost";

/// What an operation is called in sums over all its kernels.
fn operation(kernel: &str) -> &str {
    let name = kernel.split(['/', ' ']).next().unwrap_or_default();
    if ["conv2d", "conv2d_grad_input", "conv2d_grad_weight", "matmul"].contains(&name) { name } else { "the rest" }
}

/// What the tables show.
pub const LEGEND: &str = "Costs are what a step takes if no wave ever waits: cycles of all instructions, each block as often as \
    its loops run by the plan (a product's loop over K: its places; others: their constant, or the steps in a row that the \
    operation states), code that a branch may skip as if it ran, on the SIMD that has most waves, at 2.25 GHz; or, if that is \
    longer, the bytes bound, each once, at 512 GB/s. Instructions: those cycles one by one, for a wave of 64 lanes two for a \
    vector instruction, eight for one at a quarter of the rate, one for a scalar one or a branch, and for a load or store one for \
    each word of a lane. Busiest part: the part of a unit that is busy longest, if parts work side by side for different waves, \
    the least that instructions can take; workgroup memory and the first cache are taken to give 128 bytes a cycle to two SIMDs. \
    Peak: the plan's multiply-adds if all lanes did one in every cycle. Before: what the file said that \
    TILEGRAD_COMPILERS_BEFORE names.\n\n";

/// The tables of all plans, as Markdown, and the kernels whose rounds are wrong.
pub fn tables(
    plans: &[(&str, Plan)],
    codes: &BTreeMap<&Kernel, Code>,
    units: u32,
    before: &Before,
) -> (String, BTreeSet<String>) {
    let mut wrong = BTreeSet::new();
    let mut summary = String::from("| network | operation | before | cost |\n|---|---|---|---|\n");
    let mut of_networks = String::new();
    for (network, plan) in plans {
        let mut costs = BTreeMap::<&str, Cost>::new();
        for step in &plan.steps {
            let code = &codes[&step.kernel];
            costs.entry(&code.label).or_default().add(&Cost::new(step, code, units.into()));
        }
        let of_network = before.iter().filter(|((of, _), _)| of == network);
        let earlier: BTreeMap<&str, f64> = of_network.map(|((_, kernel), cost)| (&**kernel, *cost)).collect();
        let mut sums = BTreeMap::<&str, [f64; 2]>::new();
        for (kernel, cost) in &earlier {
            [operation(kernel), "everything"].iter().for_each(|of| sums.entry(of).or_default()[0] += cost);
        }
        for (kernel, cost) in &costs {
            [operation(kernel), "everything"].iter().for_each(|of| sums.entry(of).or_default()[1] += cost.all);
        }
        for (operation, [before, after]) in sums {
            let before = if earlier.is_empty() { "-".into() } else { format!("{before:.0}") };
            writeln!(summary, "| {network} | {operation} | {before} | {after:.0} |").unwrap();
        }
        wrong.extend(costs.iter().filter(|(_, cost)| cost.short).map(|(kernel, _)| kernel.to_string()));
        of_networks += &table(network, &costs, &earlier);
    }
    (format!("{LEGEND}{summary}{of_networks}"), wrong)
}

/// The table of one network.
fn table(network: &str, costs: &BTreeMap<&str, Cost>, earlier: &BTreeMap<&str, f64>) -> String {
    let all: f64 = costs.values().map(|cost| cost.all).sum();
    let before = if earlier.is_empty() { String::new() } else { format!("{:.0} → ", earlier.values().sum::<f64>()) };
    let mut table = format!("\n### {network}: {before}{all:.0} µs\n\n");
    table += &format!("| kernel | dispatches | instructions | busiest part | bytes | peak | before | {COST} | % |\n");
    table += &format!("|{}\n", "---|".repeat(9));
    let mut costs: Vec<_> = costs.iter().collect();
    costs.sort_by(|(_, a), (_, b)| b.all.total_cmp(&a.all));
    for (kernel, cost) in &costs {
        let (part, busy) = PARTS.iter().zip(cost.parts).max_by(|(_, a), (_, b)| a.total_cmp(b)).unwrap();
        let before = earlier.get(*kernel).map_or("-".into(), |before| format!("{before:.1}"));
        let Cost { dispatches, issue, memory, peak, all: of_kernel, .. } = cost;
        let share = 100.0 * of_kernel / all;
        write!(table, "| {kernel} | {dispatches} | {issue:.1} | {part} {busy:.1} | {memory:.1} | {peak:.1} |").unwrap();
        writeln!(table, " {before} | {of_kernel:.1} | {share:.1} |").unwrap();
    }
    // Kernels that are no more.
    for (kernel, before) in earlier.iter().filter(|(kernel, _)| !costs.iter().any(|(of, _)| of == kernel)) {
        writeln!(table, "| {kernel} | 0 | - | - | - | - | {before:.1} | - | - |").unwrap();
    }
    table
}

mod tests {
    use super::*;
    use crate::assembly::tests::nested;

    #[test]
    fn instructions_have_cycles() {
        assert_eq!(cycles("v_fmac_f32_e32 v36, v56, v52", 64), (2, 0, 2));
        assert_eq!(cycles("v_mul_lo_u32 v1, v2, v3", 32), (4, 0, 4));
        assert_eq!(cycles("v_lshrrev_b64 v[1:2], 1, v[1:2]", 32), (2, 0, 2));
        assert_eq!(cycles("ds_read_b128 v[52:55], v49", 64), (4, 2, 16));
        assert_eq!(cycles("buffer_load_dwordx2 v[1:2], v3, s[4:7], 0 offen", 32), (2, 3, 4));
        assert_eq!(cycles("s_waitcnt lgkmcnt(0)", 64), (0, 1, 0));
        assert_eq!(words("ds_read2_b64"), 4);
    }

    #[test]
    fn a_wave_runs_each_block_as_often_as_its_innermost_loop() {
        let work = Work { serial: 20, product: Some((2, Some(8))), outer: Vec::new() };
        let cycles = of_wave(&Assembly::parse(&nested()), &work, 32);
        // 24 passes of three floats and one integer, three of a store of four words, one of the loop behind them.
        assert_eq!(cycles.parts, [24.0 * 4.0 + 3.0, 1.0 + 3.0 * 2.0 + 24.0 * 3.0 + 1.0 + 1.0, 3.0 * 8.0, 0.0]);
    }

    #[test]
    fn costs_are_read_again_as_they_were_written() {
        let cost = Cost { dispatches: 2, all: 12.5, ..Cost::default() };
        let costs = BTreeMap::from([("conv2d/workgroup 8x4", cost)]);
        let text = table("lenet5", &costs, &BTreeMap::from([("conv2d/old", 3.0), ("conv2d/workgroup 8x4", 12.0)]));
        assert!(text.contains("### lenet5: 15 → 12 µs") && text.contains("| conv2d/old | 0 |"), "{text}");
        let of = |kernel: &str| ("lenet5".to_string(), kernel.to_string());
        assert_eq!(
            before(&format!("| network | operation |\n{text}")),
            Before::from([(of("conv2d/workgroup 8x4"), 12.5)])
        );
    }
}

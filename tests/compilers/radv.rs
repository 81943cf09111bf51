//! AMD's compiler without a card: RADV, Mesa's Vulkan driver, makes a null device of any generation, which compiles pipelines and
//! says what it made of them: 22.3 and 25.0 were tried, 26 makes null devices no more. No other GPU's compiler can be asked here.
//!
//! A kernel that spills registers, or keeps some in memory, is wrong on every card, so it fails here. So does one that leaves too
//! few waves, or a product whose innermost loop does too much beside its multiply-adds.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tilegrad::gpu::reflect;

use crate::assembly::{Assembly, Counts};
use crate::common::cards;
use crate::common::scratch::Scratch;
use crate::cost::{self, Code};
use crate::driver::{ASSEMBLY, compile, icd};
use crate::kernels::{Used, of};

/// A generation of AMD's.
struct Family {
    /// The names that versions of RADV have for it.
    names: &'static [&'static str],
    /// A card of it.
    card: &'static str,
    /// Whether it is RDNA, of which this driver counts waves in halves of 32 lanes, and where faults are looked for that are
    /// those of a speed.
    rdna: bool,
    /// How many VGPRs a SIMD has for each of 64 lanes.
    registers: u64,
    /// The bytes of workgroup memory that the driver reckons for a SIMD, of four that have a workgroup.
    memory: u64,
}

const FAMILIES: [Family; 3] = [
    Family { names: &["navi21"], card: "RX 6800 XT (RDNA 2)", rdna: true, registers: 512, memory: 32 << 10 },
    Family {
        names: &["navi31", "gfx1100"],
        card: "RX 7900 XTX (RDNA 3)",
        rdna: true,
        registers: 768,
        memory: 32 << 10,
    },
    Family { names: &["vega10"], card: "RX Vega 64 (GCN 5)", rdna: false, registers: 256, memory: 16 << 10 },
];

/// Fewer waves a SIMD hide nothing of memory's latency; below the second number the table says what limits them.
const WAVES: [u64; 2] = [4, 8];

/// The least share of multiply-adds among the instructions of a product's innermost loop.
const SHARE: f64 = 0.7;

/// The family of which costs are estimated, and the file of an earlier run with the costs before.
const COSTED: &str = "navi21";
const BEFORE: &str = "TILEGRAD_COMPILERS_BEFORE";

/// Kernels whose label contains this are shown: the innermost loops' instructions.
const SHOWN: &str = "TILEGRAD_RADV_KERNEL";

/// Which family this process is to compile for, and the file for what comes out.
const FAMILY: &str = "RADV_FORCE_FAMILY";
const RESULT: &str = "TILEGRAD_RADV_RESULT";

/// What must be 0.
const NONE: [&str; 3] = ["Spilled VGPRs", "Spilled SGPRs", "Scratch size"];

/// What no version of the driver leaves out.
const SAID: [&str; 4] = ["VGPRs", "SGPRs", "LDS size", "Subgroups per SIMD"];

/// The columns that are the driver's alone: what it calls them, and what they are called here.
const COLUMNS: [(&str, &str); 4] = [
    ("Code size", "code"),
    ("Instructions", "instructions"),
    ("Latency", "latency"),
    ("Inverse Throughput", "inverse throughput"),
];

#[test]
fn every_kernel_fits_the_registers_of_amd() {
    let kernels = of(&[cards::rx6800xt()]);
    if let Some(path) = std::env::var_os(RESULT) {
        let found = unsafe { compile(&kernels) };
        return std::fs::write(path, found.to_string()).unwrap();
    }
    let Some(icd) = icd() else {
        return skipped("RADV, Mesa's driver for AMD's cards, is not installed, so no kernel was compiled for them");
    };
    let (mut tables, mut costed, mut driver) = (String::new(), String::new(), String::new());
    let (mut faults, mut few, mut products) = (Vec::new(), BTreeSet::new(), 0);
    for family in &FAMILIES {
        let Some((name, found)) = of_any_name(family, &icd) else { continue };
        driver = format!("{} {}", found["driver"].as_str().unwrap(), found["version"].as_str().unwrap());
        println!("{}, {}, {driver}, {:.1} s", family.card, found["device"], found["seconds"].as_f64().unwrap());
        let compiled: Vec<Compiled> = kernels
            .iter()
            .zip(found["kernels"].as_array().unwrap())
            .map(|(used, found)| Compiled::new(used, found, family))
            .collect();
        let table = table(&compiled);
        println!("{table}");
        compiled.iter().for_each(Compiled::show);
        write!(tables, "\n## {}: {name}\n\n{table}", family.card).unwrap();
        if name == COSTED {
            let (costs, wrong) = costs(&compiled);
            let fault =
                "its loops run more often, for the plan has more multiply-adds: do ROWS and COLUMNS say its sums?";
            faults.extend(wrong.iter().map(|kernel| format!("{name}: {kernel}: {fault}")));
            println!("{costs}");
            costed = format!("\n## Estimated cost of a training step on an RX 6800 XT, in µs\n\n{costs}");
        }
        faults.extend(compiled.iter().flat_map(Compiled::faults).map(|fault| format!("{name}: {fault}")));
        if family.rdna {
            products += compiled.iter().filter(|compiled| compiled.used.product).count();
            few.extend(compiled.iter().filter(|compiled| compiled.has_few()).map(Compiled::label));
        }
    }
    if let Some(folder) = std::env::var_os("TILEGRAD_COMPILERS_OUT").filter(|_| !tables.is_empty()) {
        let path = Path::new(&folder).join("radv.md");
        std::fs::write(path, format!("{}{tables}{costed}", header(&driver, kernels.len()))).unwrap();
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    if products > 0 {
        let few: Vec<String> = few.into_iter().collect();
        assert!(
            few.is_empty(),
            "less than {:.0}% multiply-adds in the innermost loops of products:\n{}",
            100.0 * SHARE,
            few.join("\n")
        );
    }
}

/// The tables of what the steps of training cost on the card that the plans are for, and the kernels of which they are wrong.
fn costs(compiled: &[Compiled]) -> (String, BTreeSet<String>) {
    let codes = compiled.iter().map(|kernel| (&kernel.used.kernel, kernel.code())).collect();
    let earlier = std::env::var_os(BEFORE).map(|path| std::fs::read_to_string(path).unwrap()).unwrap_or_default();
    let card = cards::rx6800xt();
    cost::tables(&cards::plans(&card), &codes, card.caps.compute_units, &cost::before(&earlier))
}

/// What the driver says by the first of the family's names that it knows; or that it says nothing.
fn of_any_name(family: &Family, icd: &Path) -> Option<(&'static str, Value)> {
    let mut refusals = Vec::new();
    for name in family.names {
        match of_family(name, icd) {
            Ok(found) => return Some((name, found)),
            Err(refusal) => refusals.push(refusal),
        }
    }
    refusals.dedup();
    skipped(&format!("no kernel was compiled for the {}. RADV says: {}", family.card, refusals.join("; ")));
    None
}

/// Says it where a test that passes is heard, too.
fn skipped(what: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}

/// What a process of its own says whose loader finds nothing but RADV, made a card of `family`; or why RADV makes none.
fn of_family(family: &str, icd: &Path) -> Result<Value, String> {
    let folder = Scratch::new("radv");
    let result = folder.join("result.json");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "radv::every_kernel_fits_the_registers_of_amd", "--nocapture"])
        .envs([("VK_ICD_FILENAMES", icd), ("VK_DRIVER_FILES", icd), (RESULT, &result)])
        .envs([(FAMILY, family), ("MESA_SHADER_CACHE_DISABLE", "true")])
        .output()
        .unwrap();
    let text = std::fs::read_to_string(&result).ok();
    match text {
        Some(text) => Ok(serde_json::from_str(&text).unwrap()),
        None => Err(refusal(&output).unwrap_or_else(|| panic!("{family}: {}\n{}", output.status, said(&output)))),
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Why RADV makes no null device of a family, if it says so: it has never heard of it, or makes none any more (since Mesa 26).
fn refusal(output: &Output) -> Option<String> {
    let said = said(output);
    let line = said.lines().find(|line| line.contains("Unknown family") || line.contains("has been removed"))?;
    Some(line.trim_start_matches("radv: ").to_string())
}

/// A kernel and what the driver made of it.
struct Compiled<'a> {
    used: &'a Used,
    found: &'a Value,
    family: &'a Family,
    assembly: Assembly,
}

impl<'a> Compiled<'a> {
    fn new(used: &'a Used, found: &'a Value, family: &'a Family) -> Self {
        let assembly = Assembly::parse(found.get(ASSEMBLY).and_then(Value::as_str).unwrap_or_default());
        Compiled { used, found, family, assembly }
    }

    fn label(&self) -> String {
        self.used.label()
    }

    /// A number that the driver gives.
    fn number(&self, name: &str) -> Option<u64> {
        self.found.get(name).and_then(Value::as_u64)
    }

    /// How many waves a SIMD may hold, in the wave size that the driver takes.
    fn waves(&self) -> Option<u64> {
        let lanes = if self.family.rdna { self.number("Subgroup size")? } else { 32 };
        Some(self.number("Subgroups per SIMD")? / (lanes / 32).max(1))
    }

    /// What keeps waves from being as many as one would like, if they are not.
    fn limited_by(&self) -> Option<String> {
        let waves = self.waves().filter(|&waves| waves < WAVES[1])?;
        let lanes = self.number("Subgroup size")?;
        let of_workgroup = u64::from(reflect(&self.used.kernel).unwrap().workgroup_size).div_ceil(lanes);
        // Memory is given out by the KiB.
        let memory = self.number("LDS size")?.next_multiple_of(1 << 10).max(1);
        let by_registers = self.family.registers * 64 / lanes / self.number("VGPRs")?.max(1);
        // Only whole workgroups come to the four SIMDs that share one.
        let whole = 4 * waves / of_workgroup * of_workgroup;
        let limits = [
            ("VGPRs", by_registers <= waves),
            ("workgroup memory", (self.family.memory * of_workgroup).div_ceil(memory) <= waves),
            ("workgroup size", whole < 4 * waves),
        ];
        let names: Vec<&str> = limits.iter().filter(|(_, limits)| *limits).map(|(name, _)| *name).collect();
        Some(if names.is_empty() { "something else".into() } else { names.join(", ") })
    }

    /// What its cost is estimated from.
    fn code(&self) -> Code<'_> {
        Code {
            label: self.label(),
            assembly: &self.assembly,
            lanes: self.number("Subgroup size").unwrap_or(64),
            workgroup: reflect(&self.used.kernel).unwrap().workgroup_size.into(),
            sums: self.used.sums() as usize,
        }
    }

    /// What is in the innermost loops of a product.
    fn product(&self) -> Option<Counts> {
        self.used.product.then(|| self.assembly.product_counts(self.used.sums() as usize).unwrap_or_default())
    }

    /// Whether this is a product with few multiply-adds among its instructions. Those called direct load two numbers for each, by
    /// their design.
    fn has_few(&self) -> bool {
        !self.used.kernel.name.ends_with("/direct") && self.product().is_some_and(|counts| counts.share() < SHARE)
    }

    /// Prints the innermost loops if the kernel was asked for.
    fn show(&self) {
        let Some(_) = std::env::var(SHOWN).ok().filter(|part| self.label().contains(part.as_str())) else { return };
        let of_product =
            if self.used.product { self.assembly.product_loops(self.used.sums() as usize) } else { Vec::new() };
        let all = || self.assembly.innermost();
        for blocks in if of_product.is_empty() { all() } else { of_product } {
            let counts = self.assembly.counts(blocks.clone());
            println!("{} on {}: {counts:?}\n{}", self.label(), self.family.card, self.assembly.text(blocks));
        }
    }

    /// What is wrong with it.
    fn faults(&self) -> Vec<String> {
        let described = self.used.described();
        if let Some(fault) = self.found.get("fault") {
            return vec![format!("{described}: {fault}")];
        }
        let mut faults = Vec::new();
        // A test that looks for what is not there passes for ever.
        let missing: Vec<&str> = NONE.into_iter().chain(SAID).filter(|name| self.number(name).is_none()).collect();
        if !missing.is_empty() {
            faults.push(format!("{described}: the driver says nothing of {}", missing.join(", ")));
        }
        if self.assembly.blocks.is_empty() {
            faults.push(format!("{described}: the driver hands out no assembly"));
        }
        let too_much: Vec<String> = NONE
            .into_iter()
            .filter_map(|name| self.number(name).filter(|&count| count > 0).map(|count| format!("{name} {count}")))
            .collect();
        if !too_much.is_empty() {
            faults.push(format!("{described}: {}, VGPRs {}", too_much.join(", "), self.found["VGPRs"]));
        }
        if let Some(waves) = self.waves().filter(|&waves| self.family.rdna && waves < WAVES[0]) {
            let limit = self.limited_by().unwrap_or_default();
            faults.push(format!("{described}: {waves} waves a SIMD, not {}; limited by {limit}", WAVES[0]));
        }
        faults
    }
}

/// The table of one family, as Markdown.
fn table(compiled: &[Compiled]) -> String {
    let mut table = String::from(
        "| kernel | first node | networks | wave | VGPRs | SGPRs | workgroup memory | waves a SIMD | limited by | multiply-adds |",
    );
    COLUMNS.iter().for_each(|(_, column)| write!(table, " {column} |").unwrap());
    table += &format!("\n|{}\n", "---|".repeat(10 + COLUMNS.len()));
    for kernel in compiled {
        let Used { node, networks, .. } = kernel.used;
        write!(table, "| {} | {node} | {} |", kernel.label(), networks.join(", ")).unwrap();
        let number = |name: &str| kernel.number(name).map_or("-".into(), |number| number.to_string());
        for name in ["Subgroup size", "VGPRs", "SGPRs", "LDS size"] {
            write!(table, " {} |", number(name)).unwrap();
        }
        let waves = kernel.waves().map_or("-".into(), |waves| waves.to_string());
        write!(table, " {waves} | {} |", kernel.limited_by().unwrap_or_default()).unwrap();
        let of = |counts: Counts| {
            let all = counts.multiply_adds + counts.others;
            format!("{} of {all} + {}: {:.0}%", counts.multiply_adds, counts.waits, 100.0 * counts.share())
        };
        write!(table, " {} |", kernel.product().map_or(String::new(), of)).unwrap();
        COLUMNS.iter().for_each(|(name, _)| write!(table, " {} |", number(name)).unwrap());
        table.push('\n');
    }
    table
}

fn header(driver: &str, kernels: usize) -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let commit = git(&["log", "-1", "--format=%cs, after %h"]).unwrap_or_default();
    format!(
        "# What AMD's compiler makes of the kernels\n\n\
         The {kernels} kernels of training steps of {} on an RX 6800 XT, default choices, compiled without a card by RADV, made \
         a null device of three generations. Nothing here was run.\n\n\
         {driver}; {commit}. Made again by `TILEGRAD_COMPILERS_OUT=benches/results cargo test --test compilers amd`. The test \
         fails if a kernel is refused, spills a register or takes scratch memory.\n\n\
         A kernel is named with what tells it from the others of its name; 128x64x16 of 8x4 is a tile of 128 rows, 64 columns \
         and 16 places in K, of which an invocation owns 8x4 sums. Wave: lanes. Registers are those of a lane (VGPRs, at \
         most 256) and of a wave (SGPRs). Workgroup memory and code are in bytes. Waves a SIMD are those that registers and \
         workgroup memory let be there at once, in the wave size that the driver takes (at most 16 of 64 lanes on RDNA, 10 on GCN); \
         the driver's own statistic counts them on RDNA in halves of 32 lanes and is divided by two here. On RDNA they must be {}; \
         below {} the table says what limits them: whole workgroups that no longer fit, workgroup memory or VGPRs.\n\n\
         Multiply-adds are those of the innermost loops of a product, among all instructions there, + waits that are not counted \
         (s_waitcnt, s_nop, hints to the instruction cache): 32 of 43 + 2. On RDNA they must be {:.0}% but in kernels that the test \
         knows, and in direct ones. Where the compiler unrolled a loop, the one around it counts. Latency (cycles of one wave) and \
         inverse throughput (cycles in which one wave keeps the busiest unit busy) are the compiler's estimates, which guess how \
         often a loop runs: good for comparing two forms of one kernel, not for times. The last tables have the plans' rounds.\n",
        cards::NETWORKS.map(|(network, batch)| format!("{} ({batch})", network.name())).join(", "),
        WAVES[0],
        WAVES[1],
        100.0 * SHARE,
    )
}

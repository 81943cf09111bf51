//! The device itself.

use serde_json::{Value, json};
use tilegrad::Result;
use tilegrad::gpu::Peak;

use crate::Bench;
use crate::report::rate;

/// Prints what [`tilegrad::gpu::Peak`] has measured, and what the adapter says of itself.
pub fn run(bench: &mut Bench) -> Result<()> {
    let half = Peak::measure_f16(&bench.device)?;
    bench.report.table("The device at its best", &[("", -19), ("", 8), ("", -7)]);
    for (what, value, unit) in [
        ("multiply-adds", Some(bench.peak.gflops()), "GFLOP/s"),
        ("multiply-adds, f16", half.map(|half| 2e-9 * half), "GFLOP/s"),
        ("copy", Some(bench.peak.gigabytes()), "GB/s"),
    ] {
        match value {
            Some(value) => bench
                .report
                .row(&[what.into(), rate(value), unit.into()], json!({"what": what, "value": value, "unit": unit})),
            None => bench.report.skip(what, "the device's shaders have no half precision"),
        }
    }
    println!("\nThe adapter; its times come from {}", bench.device.clock().name());
    if let Value::Object(facts) = bench.device.facts() {
        facts.iter().for_each(|(name, fact)| println!("  {name:22} {}", shown(fact)));
    }
    Ok(())
}

/// A fact in a line.
fn shown(fact: &Value) -> String {
    match fact {
        Value::String(text) => text.clone(),
        Value::Array(facts) => facts.iter().map(shown).collect::<Vec<_>>().join(" "),
        Value::Object(facts) => {
            facts.iter().map(|(name, fact)| format!("{name} {}", shown(fact))).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

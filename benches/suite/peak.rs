//! The device itself.

use serde_json::json;

use crate::Bench;
use crate::report::rate;

/// Prints what [`tilegrad::gpu::Peak`] has measured.
pub fn run(bench: &mut Bench) {
    let (gflops, gigabytes) = (bench.peak.gflops(), bench.peak.gigabytes());
    bench.report.table("The device at its best", &[("", -14), ("", 8), ("", -7)]);
    let mut row = |what: &str, value: f64, unit: &str| {
        let record = json!({"what": what, "value": value, "unit": unit});
        bench.report.row(&[what.into(), rate(value), unit.into()], record);
    };
    row("multiply-adds", gflops, "GFLOP/s");
    row("copy", gigabytes, "GB/s");
}

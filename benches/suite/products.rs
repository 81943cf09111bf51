//! Matrix products: C = A B, A Bᵀ and Aᵀ B, as a linear layer needs them forward and backward.

use serde_json::json;
use tilegrad::Result;
use tilegrad::graph::{Purpose, Spec, Stage, Tape};
use tilegrad::kernel::{Choice, Choices};
use tilegrad::ops::matmul::Matmul;
use tilegrad::plan::candidates;

use crate::Bench;
use crate::report::{ms, percent, rate};
use crate::timing::Job;

/// Large ones first: they say most of a GPU, and its time may be over before the last.
const SIZES: [usize; 5] = [4096, 2048, 1024, 512, 256];

pub fn run(bench: &mut Bench) -> Result<()> {
    let columns = [("size", 6), ("form", -6), ("kernel", -28), ("ms", 9), ("GFLOP/s", 9), ("of peak", 8)];
    bench.report.table("Products of square matrices", &columns);
    for size in SIZES {
        for (form, transpose_a, transpose_b) in [("A B", false, false), ("A Bᵀ", false, true), ("Aᵀ B", true, false)]
        {
            let what = format!("{size} {form}");
            if bench.has_time_for(&what, (size * size * size) as u64) {
                let op = Matmul { transpose_a, transpose_b };
                one(bench, &what, size, form, op)?;
            }
        }
    }
    Ok(())
}

fn one(bench: &mut Bench, what: &str, size: usize, form: &str, op: Matmul) -> Result<()> {
    let mut tape = Tape::new(Purpose::Evaluate);
    let a = tape.input("a", Spec::f32([size, size]))?;
    let b = tape.input("b", Spec::f32([size, size]))?;
    let c = tape.product("product", op, a, b, None)?;
    tape.keep(c);
    let node = tape.nodes()[0].clone();
    let choices: Vec<Option<Choice>> = match bench.options.candidates {
        true => candidates(&tape, &node, bench.device.caps()).into_iter().map(Some).collect(),
        false => vec![None],
    };
    for everywhere in choices {
        // The direct kernel is there for every shape, not for large ones: it may take minutes.
        if everywhere.as_ref().is_some_and(|choice| *choice == "direct") && size > 1024 && bench.software() {
            bench.report.skip(&format!("{what} direct"), "it would take too long on a software device");
            continue;
        }
        let tile = everywhere.as_ref().and_then(|choice| choice.tile.clone());
        let choices = Choices { everywhere, ..Choices::default() };
        let job = Job { choices, ..Job::new(tape.clone(), &[Stage::Forward]) };
        let timed = job.time(&bench.device, bench.options.quick);
        let Some(timed) = bench.fits(what, timed)? else { return Ok(()) };
        let (gflops, share) = bench.rate((size * size * size) as u64, timed.times.ms());
        let kernel = tile.map_or(timed.kernels[0].to_string(), |tile| format!("{}:{tile}", timed.kernels[0]));
        bench.report.row(
            &[size.to_string(), form.into(), kernel.clone(), ms(timed.times.ms()), rate(gflops), percent(share)],
            json!({
                "size": size, "form": form, "kernel": kernel, "ms": timed.times.ms(), "wall_ms": timed.times.wall,
                "clock": timed.times.clock(), "gflops": gflops, "share": share,
            }),
        );
    }
    Ok(())
}

//! What the host does to images that are sent: from PyTorch's order, channel by channel, to the device's, pixel by pixel, and
//! what it does to results that are read back.

use std::time::Instant;

use serde_json::json;
use tilegrad::Result;
use tilegrad::shape::{Layout, Shape};

use crate::Bench;
use crate::report::{ms, rate};
use crate::timing::median;

/// Batches of images, and activations.
const SHAPES: [[usize; 4]; 7] = [
    [64, 1, 28, 28],
    [16, 3, 32, 32],
    [128, 3, 32, 32],
    [32, 3, 224, 224],
    [128, 64, 32, 32],
    [16, 256, 56, 56],
    [128, 512, 7, 7],
];

pub fn run(bench: &mut Bench) -> Result<()> {
    let columns =
        [("elements", -18), ("", -10), ("MB", 8), ("one by one ms", 14), ("ms", 9), ("GB/s", 7), ("times", 6)];
    bench
        .report
        .table("Layouts: read and written by the host, element by element, and as the library does it", &columns);
    for dims in SHAPES {
        let shape = Shape::from(dims);
        let values: Vec<f32> = (0..shape.len()).map(|i| i as f32).collect();
        let memory = Layout::ChannelsLast.to_memory(&shape, &values);
        let to_memory = [
            timed(bench, || one_by_one(dims, |at| values[at[0]], |at| at[1])),
            timed(bench, || Layout::ChannelsLast.to_memory(&shape, &values)),
        ];
        let to_logical = [
            timed(bench, || one_by_one(dims, |at| memory[at[1]], |at| at[0])),
            timed(bench, || Layout::ChannelsLast.to_logical(&shape, &memory)),
        ];
        for (direction, [plain, library]) in [("to memory", to_memory), ("back", to_logical)] {
            let bytes = 8.0 * shape.len() as f64;
            let text = dims.map(|extent| extent.to_string()).join("x");
            bench.report.row(
                &[
                    text.clone(),
                    direction.into(),
                    format!("{:.2}", bytes * 1e-6),
                    ms(plain),
                    ms(library),
                    rate(1e-6 * bytes / library),
                    format!("{:.1}", plain / library),
                ],
                json!({
                    "shape": text, "direction": direction, "bytes": bytes, "one_by_one_ms": plain, "ms": library,
                    "gigabytes": 1e-6 * bytes / library,
                }),
            );
        }
    }
    Ok(())
}

/// The definition: every place of memory finds its element by division, as the library once did. `from` and `to` get the
/// index in PyTorch's order and the place in memory.
fn one_by_one(
    [n, c, h, w]: [usize; 4],
    from: impl Fn([usize; 2]) -> f32,
    to: impl Fn([usize; 2]) -> usize,
) -> Vec<f32> {
    let mut moved = vec![0.0; n * c * h * w];
    for place in 0..moved.len() {
        let (pixel, channel) = (place / c, place % c);
        let at = [(pixel / (h * w) * c + channel) * h * w + pixel % (h * w), place];
        moved[to(at)] = from(at);
    }
    moved
}

/// The median milliseconds of several runs.
fn timed(bench: &Bench, run: impl Fn() -> Vec<f32>) -> f64 {
    let runs = if bench.options.quick { 3 } else { 9 };
    let mut times: Vec<f64> = (0..=runs)
        .map(|_| {
            let began = Instant::now();
            std::hint::black_box(run());
            began.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    // The first one gets the memory.
    times.remove(0);
    median(&mut times)
}

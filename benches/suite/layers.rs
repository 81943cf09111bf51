//! What computes little and moves much: pooling, batch norm, ReLU, addition, the loss, SGD; and convolutions that no network of the suite has.

use serde_json::json;
use tilegrad::Result;
use tilegrad::graph::{Purpose, Spec, Stage, Tape, TensorId};
use tilegrad::nn::{AdaptiveAvgPool2d, AvgPool2d, BatchNorm2d, Conv2d, MaxPool2d, Module};
use tilegrad::ops::activation::Activation;
use tilegrad::ops::max_pool2d;
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::shape::Shape;

use crate::Bench;
use crate::networks::Network;
use crate::report::{ms, percent, rate};
use crate::timing::Job;

pub fn run(bench: &mut Bench) -> Result<()> {
    let columns = [("layer", -22), ("input", -18), ("", -8), ("MB", 7), ("ms", 9), ("GB/s", 7), ("of copy", 8)];
    bench.report.table("Layers: bytes of operands and results, each once", &columns);
    let n = bench.batch();
    let large = vec![n, 64, 32, 32];
    let stem = vec![n.div_ceil(8), 64, 112, 112];
    let overlapping = max_pool2d::MaxPool2dAttributes {
        stride: [2; 2],
        padding: [1; 2],
        ..max_pool2d::MaxPool2dAttributes::new([3; 2])
    };
    module(bench, "max_pool2d 2x2", large.clone(), &MaxPool2d::new(2))?;
    layer(bench, "max_pool2d 3x3/2", stem, &|tape, x| tape.max_pool2d("pool", x, overlapping))?;
    module(bench, "avg_pool2d 2x2", large.clone(), &AvgPool2d::new(2))?;
    module(bench, "avg_pool2d to 1x1", vec![n, 512, 4, 4], &AdaptiveAvgPool2d([1, 1]))?;
    module(bench, "batch_norm2d", large.clone(), &BatchNorm2d::new(64))?;
    module(bench, "batch_norm2d", vec![n, 512, 4, 4], &BatchNorm2d::new(512))?;
    module(bench, "relu", large.clone(), &Activation::Relu)?;
    let shape = large.clone();
    let add = move |tape: &mut Tape, x: TensorId| {
        let other = tape.input("other", Spec::f32(Shape::new(shape.clone())))?;
        tape.add("add", x, other)
    };
    layer(bench, "add", large, &add)?;
    for classes in [10, 1000] {
        layer(bench, "softmax_cross_entropy", vec![16 * n, classes], &|tape, x| {
            let target = tape.input("target", Spec::i32([16 * n]))?;
            Ok(tape.softmax_cross_entropy("loss", x, target, None, SoftmaxCrossEntropy::default())?.loss)
        })?;
    }
    for (name, shape, conv) in [
        ("conv2d 3x3, 32 groups", [n, 128, 16, 16], Conv2d::new(128, 128, 3).padding(1).groups(32)),
        ("conv2d 3x3, 4 groups", [n, 128, 16, 16], Conv2d::new(128, 128, 3).padding(1).groups(4)),
        ("conv2d 1x1", [n, 256, 14, 14], Conv2d::new(256, 64, 1)),
        ("conv2d 1x1", [n, 512, 7, 7], Conv2d::new(512, 128, 1)),
        ("conv2d 1x1/2", [n, 128, 14, 14], Conv2d::new(128, 128, 1).stride(2)),
    ] {
        module(bench, name, shape.to_vec(), &conv)?;
    }
    sgd(bench)
}

fn module(bench: &mut Bench, name: &str, shape: Vec<usize>, module: &dyn Module) -> Result<()> {
    layer(bench, name, shape, &|tape, x| module.apply(tape, "layer", x))
}

/// Times a layer forward, and its gradients by everything that it reads and that is trained.
fn layer(
    bench: &mut Bench,
    name: &str,
    shape: Vec<usize>,
    build: &dyn Fn(&mut Tape, TensorId) -> Result<TensorId>,
) -> Result<()> {
    let mut tape = Tape::new(Purpose::Train);
    let input = tape.input("input", Spec::f32(Shape::new(shape.clone())))?;
    let output = build(&mut tape, input)?;
    tape.keep(output);
    let seed = tape.input("grad_output", Spec::like(tape.tensor(output)))?;
    let wanted: Vec<TensorId> = [input].into_iter().chain(tape.parameters()).collect();
    let gradients = tape.gradients_of(&[(output, seed)], &wanted)?;
    gradients.values().for_each(|&gradient| tape.keep(gradient));
    let text: Vec<String> = shape.iter().map(ToString::to_string).collect();
    for (part, stage) in [("forward", Stage::Forward), ("backward", Stage::Backward)] {
        one(bench, name, &text.join("x"), part, &Job::new(tape.clone(), &[stage]))?;
    }
    Ok(())
}

/// Times the update of all of ResNet-18's parameters.
fn sgd(bench: &mut Bench) -> Result<()> {
    // The gradients come from one image, but they are as large as those of many.
    let training = Network::Resnet18.training(1, 64)?;
    let parameters: usize = training.tape.parameters().iter().map(|&id| training.tape.shape(id).len()).sum();
    let shape = format!("{:.1} M parameters", parameters as f64 / 1e6);
    let job = Job { inputs: training.hyperparameters, ..Job::new(training.tape, &[Stage::Update]) };
    one(bench, "sgd with momentum", &shape, "update", &job)
}

fn one(bench: &mut Bench, name: &str, shape: &str, part: &str, job: &Job) -> Result<()> {
    let what = format!("{name} {shape} {part}");
    if bench.report.seconds_left() < 1.0 {
        bench.report.skip(&what, "the time of this section is over");
        return Ok(());
    }
    let timed = job.time(&bench.device, bench.options.quick);
    let Some(timed) = bench.fits(&what, timed)? else { return Ok(()) };
    // Gradients that are their own grad_output run nothing.
    if timed.kernels.is_empty() {
        return Ok(());
    }
    let time = timed.times.ms();
    let gigabytes = 1e-6 * timed.bytes as f64 / time;
    let share = gigabytes / bench.peak.gigabytes();
    let size = format!("{:.2}", 1e-6 * timed.bytes as f64);
    bench.report.row(
        &[name.into(), shape.into(), part.into(), size, ms(time), rate(gigabytes), percent(share)],
        json!({
            "layer": name, "input": shape, "part": part, "bytes": timed.bytes, "ms": time,
            "wall_ms": timed.times.wall, "clock": timed.times.clock(), "gigabytes": gigabytes, "share": share, "kernels": timed.kernels,
        }),
    );
    Ok(())
}

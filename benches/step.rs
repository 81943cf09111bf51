//! Training steps of whole networks on images of MNIST's or CIFAR-10's size: the first step, the median of the others, and
//! where the time goes.
//!
//!     cargo bench --bench step -- lenet5 resnet18 --batch 64
//!
//! The first step includes the compilation of every kernel; for one with cold caches, point the driver's shader cache at an
//! empty folder (Mesa: MESA_SHADER_CACHE_DIR). TILEGRAD_ADAPTER and WGPU_BACKEND choose the device as everywhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use tilegrad::gpu::{Device, DeviceOptions, Session, SessionOptions, Store};
use tilegrad::graph::{Spec, Tape};
use tilegrad::nn::Module;
use tilegrad::nn::models::{LeNet5, ResNet, Vgg};
use tilegrad::ops::Choices;
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::optim::Sgd;
use tilegrad::plan::{ParameterLayout, Plan};
use tilegrad::rng::Rng;

#[derive(Parser)]
struct Options {
    /// The networks to train
    #[arg(default_value = "lenet5", value_parser = ["lenet5", "vgg11", "vgg11_bn", "resnet18", "resnet34"])]
    networks: Vec<String>,
    /// Images of a step
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Channels of the first stage
    #[arg(long, default_value_t = 64)]
    width: usize,
    /// How many steps are timed
    #[arg(long, default_value_t = 20)]
    steps: usize,
    /// Also print the time of every dispatch
    #[arg(long)]
    each: bool,
    /// What cargo passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// The network and the channels and side of its images.
fn network(name: &str, width: usize) -> (Box<dyn Module>, usize, usize) {
    match name {
        "lenet5" => (Box::new(LeNet5::new(10)), 1, 28),
        "vgg11" => (Box::new(Vgg::vgg11(10).cifar().width(width)), 3, 32),
        "vgg11_bn" => (Box::new(Vgg::vgg11(10).batch_norm(true).cifar().width(width)), 3, 32),
        "resnet18" => (Box::new(ResNet::resnet18(10).cifar().width(width)), 3, 32),
        "resnet34" => (Box::new(ResNet::resnet34(10).cifar().width(width)), 3, 32),
        _ => unreachable!("the command line knows these names"),
    }
}

fn main() -> tilegrad::Result<()> {
    let options = Options::parse();
    let device = Device::new(DeviceOptions::default())?;
    println!("{}", device.name());
    for name in &options.networks {
        let (model, channels, side) = network(name, options.width);
        step(&device, name, model.as_ref(), [options.batch, channels, side, side], &options)?;
    }
    Ok(())
}

fn step(device: &Device, name: &str, model: &dyn Module, shape: [usize; 4], options: &Options) -> tilegrad::Result<()> {
    let batch = shape[0];
    let sgd = Sgd::new(0.01).momentum(0.9).weight_decay(5e-4);
    let mut tape = Tape::new(true);
    let input = tape.input("input", Spec::f32(shape))?;
    let target = tape.input("target", Spec::i32([batch]))?;
    let logits = model.forward(&mut tape, input)?;
    let loss = tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default())?;
    tape.accumulate("metrics", loss)?;
    sgd.minimize(&mut tape, loss.loss)?;
    let layout = Arc::new(ParameterLayout::new(&tape, device.caps())?);
    let store = Arc::new(Store::new(device, Arc::clone(&layout))?);
    store.initialise(&tape, 1)?;
    let hyper = sgd.hyperparameters(&tape, sgd.lr, sgd.momentum, true);

    let began = Instant::now();
    let plan = Plan::new(Arc::new(tape), layout, device.caps(), &Choices::default())?;
    let mut session = Session::new(&store, Arc::new(plan), SessionOptions::default())?;
    let rng = Rng::new(1, "images");
    let images: Vec<f32> = (0..shape.iter().product::<usize>() as u64).map(|i| rng.uniform(i)).collect();
    let labels: Vec<i32> = (0..batch as i32).map(|i| i % 10).collect();
    for (name, values) in &hyper {
        session.write_f32(name, values)?;
    }
    session.write_f32("input", &images)?;
    session.write_i32("target", &labels)?;
    session.step()?;
    device.wait()?;
    let first = began.elapsed().as_secs_f64() * 1e3;

    let mut times = Vec::new();
    for _ in 0..options.steps.max(1) {
        let began = Instant::now();
        session.write_f32("input", &images)?;
        session.step()?;
        device.wait()?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    println!(
        "\n{name} batch {batch}: first step {first:.0} ms; step median {median:.2} ms (min {:.2}, max {:.2}), {:.0} images/s",
        times[0],
        times[times.len() - 1],
        batch as f64 / median * 1e3
    );
    let each = session.time_each(options.steps.clamp(3, 25))?;
    let mut kernels: BTreeMap<&str, (f64, usize)> = BTreeMap::new();
    for (step, ms) in session.plan().steps.iter().zip(each) {
        if options.each {
            println!("  {ms:8.3} ms  {:28} {}", step.kernel.name, step.node);
        }
        let sum = kernels.entry(step.kernel.name).or_default();
        *sum = (sum.0 + ms, sum.1 + 1);
    }
    let mut kernels: Vec<_> = kernels.into_iter().collect();
    kernels.sort_by(|a, b| b.1.0.total_cmp(&a.1.0));
    for (kernel, (ms, count)) in kernels {
        println!("  {ms:8.2} ms  {count:3} of {kernel}");
    }
    Ok(())
}

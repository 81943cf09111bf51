//! The training step of LeNet-5 on MNIST's shape: the first step, the median of the others, and where the time goes.
//!
//!     cargo bench --bench lenet
//!
//! The first step includes the compilation of every kernel; for one with cold caches, point the driver's shader cache at an
//! empty folder (Mesa: MESA_SHADER_CACHE_DIR). TILEGRAD_ADAPTER and WGPU_BACKEND choose the device as everywhere.

use std::sync::Arc;
use std::time::Instant;

use tilegrad::gpu::{Device, DeviceOptions, Session, SessionOptions, Store};
use tilegrad::graph::{Spec, Tape};
use tilegrad::nn::Module;
use tilegrad::nn::models::LeNet5;
use tilegrad::ops::Choices;
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::optim::Sgd;
use tilegrad::plan::{ParameterLayout, Plan};
use tilegrad::rng::Rng;

fn main() -> tilegrad::Result<()> {
    let device = Device::new(DeviceOptions::default())?;
    println!("{}", device.name());
    for batch in [64, 256] {
        step(&device, batch)?;
    }
    Ok(())
}

fn step(device: &Device, batch: usize) -> tilegrad::Result<()> {
    let sgd = Sgd::new(0.01).momentum(0.9).weight_decay(5e-4);
    let mut tape = Tape::new(true);
    let input = tape.input("input", Spec::f32([batch, 1, 28, 28]))?;
    let target = tape.input("target", Spec::i32([batch]))?;
    let logits = LeNet5::new(10).forward(&mut tape, input)?;
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
    let images: Vec<f32> = (0..batch as u64 * 784).map(|i| rng.uniform(i)).collect();
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
    for _ in 0..100 {
        let began = Instant::now();
        session.write_f32("input", &images)?;
        session.step()?;
        device.wait()?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    println!(
        "\nLeNet-5 batch {batch}: first step {first:.0} ms; step median {:.2} ms (min {:.2}, max {:.2}), {:.0} images/s",
        times[50],
        times[0],
        times[99],
        batch as f64 / times[50] * 1e3
    );
    let each = session.time_each(25)?;
    for (step, ms) in session.plan().steps.iter().zip(each) {
        println!("  {ms:8.3} ms  {:28} {}", step.kernel.name, step.node);
    }
    Ok(())
}

//! Trains LeNet-5 and tests it: on synthetic digits made in memory, or with `--data DIR` on MNIST or Fashion-MNIST.
//!
//! Expect a test accuracy above 97% on the synthetic digits after five epochs (a linear model stays below 92%), and about
//! 98% on MNIST's 10,000 test images after ten epochs over 9,000.
//!
//!     cargo run --release --example lenet
//!     cargo run --release --example lenet -- --data DIR --epochs 10 --out runs/mnist

mod support;

use std::process::ExitCode;

use clap::Parser;
use support::{Options, Problem, run};
use tilegrad::Result;
use tilegrad::data::{ImageSet, idx, synthetic};
use tilegrad::nn::Module;
use tilegrad::nn::models::LeNet5;

/// Synthetic images to train on, validation included, and to test on.
const SYNTHETIC: [usize; 2] = [10_000, 2_000];

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error,wgpu_hal=off")).init();
    run(&Options::parse(), problem)
}

fn problem(options: &Options) -> Result<Problem> {
    let (description, (train, test)) = match &options.data {
        Some(dir) => (format!("IDX images of {}", dir.display()), idx::read(dir)?),
        None => ("synthetic digits".into(), synthetic_digits(options.seed)),
    };
    let classes = train.classes;
    let model: Box<dyn Module> =
        if options.classic { Box::new(LeNet5::classic(classes)) } else { Box::new(LeNet5::new(classes)) };
    Ok(Problem { model, description, train, test })
}

/// Training and test images are two stretches of one stream, so no image is in both.
fn synthetic_digits(seed: u64) -> (ImageSet, ImageSet) {
    let all = synthetic::digits(seed, SYNTHETIC.iter().sum());
    let indices: Vec<u32> = (0..all.len() as u32).collect();
    let (train, test) = indices.split_at(SYNTHETIC[0]);
    (all.subset(train), all.subset(test))
}

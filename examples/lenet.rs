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
use support::{Defaults, Options, Problem, SGD_HELP, run};
use tilegrad::Result;
use tilegrad::data::{ImageSet, Normalisation, idx, synthetic};
use tilegrad::nn::Module;
use tilegrad::nn::models::LeNet5;

/// Synthetic images to train on, validation included, and to test on.
const SYNTHETIC: [usize; 2] = [10_000, 2_000];

/// Trains LeNet-5 on the GPU (or the CPU where there is none). Without arguments: on synthetic digits; with --data: on
/// MNIST's or Fashion-MNIST's IDX files, plain or .gz.
#[derive(Parser, Debug)]
#[command(version, after_help = SGD_HELP)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Sigmoid, average pooling and Xavier's first weights, as in Dive into Deep Learning; learning rate 0.9, no momentum.
    #[arg(long)]
    classic: bool,
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error,wgpu_hal=off")).init();
    let Arguments { options, classic } = Arguments::parse();
    let (lr, momentum) = if classic { (0.9, 0.0) } else { (0.01, 0.9) };
    let epochs = if options.data.is_some() { 10 } else { 5 };
    let defaults = Defaults { epochs, lr, momentum, schedule: "constant" };
    run(&options, &defaults, |options| problem(options, classic))
}

fn problem(options: &Options, classic: bool) -> Result<Problem> {
    let (description, (train, test)) = match &options.data {
        Some(dir) => (format!("IDX images of {}", dir.display()), idx::read(dir)?),
        None => ("synthetic digits".into(), synthetic_digits(options.seed)),
    };
    let classes = train.classes;
    let model: Box<dyn Module> =
        if classic { Box::new(LeNet5::classic(classes)) } else { Box::new(LeNet5::new(classes)) };
    // The book's LeNet sees 0..1.
    let normalise = if classic { |_: &ImageSet| Normalisation::default() } else { Normalisation::of };
    Ok(Problem { model, description, train, test, normalise, augment: None, weights: None })
}

/// Training and test images are two stretches of one stream, so no image is in both.
fn synthetic_digits(seed: u64) -> (ImageSet, ImageSet) {
    let all = synthetic::digits(seed, SYNTHETIC.iter().sum());
    let indices: Vec<u32> = (0..all.len() as u32).collect();
    let (train, test) = indices.split_at(SYNTHETIC[0]);
    (all.subset(train), all.subset(test))
}

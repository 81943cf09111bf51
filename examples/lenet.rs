//! Trains LeNet-5 and tests it, on synthetic digits made in memory or with `--data DIR` on MNIST or Fashion-MNIST.
//!
//! Expect a test accuracy above 97% on the synthetic digits after five epochs (a linear model stays below 92%), and about
//! 98% on MNIST's 10,000 test images after ten epochs over 9,000.
//!
//!     cargo run --release --example lenet
//!     cargo run --release --example lenet -- --data DIR --epochs 10 --out runs/mnist

mod support;

use std::process::ExitCode;

use clap::Parser;
use support::config::{Parsed, parse};
use support::{Defaults, Options, Problem, SGD_HELP, log, report, run};
use tilegrad::Result;
use tilegrad::data::{self, ImageSet, Normalisation, Opened, synthetic};
use tilegrad::nn::models::NamedModel;

/// Number of synthetic images for training, validation included, and for the test.
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
    log();
    let Parsed { arguments: Arguments { mut options, classic }, toml } = match parse() {
        Ok(parsed) => parsed,
        Err(error) => return report(Err(error)),
    };
    options.toml = toml;
    let (lr, momentum) = if classic { (0.9, 0.0) } else { (0.01, 0.9) };
    let epochs = if options.data.is_some() || options.download.is_some() { 10 } else { 5 };
    let defaults = Defaults { epochs, lr, momentum, schedule: "constant" };
    run(&options, &defaults, |options| problem(options, classic))
}

fn problem(options: &Options, classic: bool) -> Result<Problem> {
    let dir = match &options.download {
        Some(name) => Some(support::download(options, name)?),
        None => options.data.clone(),
    };
    let images = match &dir {
        Some(dir) => data::open(dir, &options.division().channels(1))?,
        None => {
            let (train, test) = synthetic_digits(options.seed);
            Opened::of("synthetic digits", train, Some(test), &options.division())?
        }
    };
    let name = if classic { "lenet5-classic" } else { "lenet5" };
    let named = NamedModel::new(name, images.train.classes).small(true);
    Ok(Problem {
        model: named.build()?,
        named: Some(named),
        images: images.into(),
        // The book's LeNet expects inputs in 0..1.
        normalisation: classic.then(Normalisation::default),
        augment: None,
        weights: None,
    })
}

/// Generates training and test images as two parts of one sequence, so no image is in both.
fn synthetic_digits(seed: u64) -> (ImageSet, ImageSet) {
    let all = synthetic::digits(seed, SYNTHETIC.iter().sum());
    let indices: Vec<u32> = (0..all.len() as u32).collect();
    let (train, test) = indices.split_at(SYNTHETIC[0]);
    (all.subset(train), all.subset(test))
}

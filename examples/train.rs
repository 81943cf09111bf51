//! Trains any model of the library on any images: a folder of images by class, MNIST, Fashion-MNIST, CIFAR-10 or
//! CIFAR-100, or synthetic shapes made in memory. Every option can be given on the command line or in a file.
//! Interrupted runs can be resumed.
//!
//! The folder of the run holds the model, curves, confusion matrix, checkpoints, and the options that repeat it:
//!
//!     cargo run --release --example train -- --model resnet18 --data DIR --resize 64 --augment --out runs/mine
//!     cargo run --release --example train -- --resume runs/mine
//!     cargo run --release --example train -- --config runs/mine/config.toml --seed 2 --out runs/second

mod support;

use std::process::ExitCode;

use clap::Parser;
use support::colour::{Colour, train};
use support::config::{Parsed, parse};
use support::{SGD_HELP, log, report};
use tilegrad::nn::models::{NAMES, NamedModel};

/// Trains a model on the GPU (or the CPU where there is none). Without arguments: a narrow ResNet-18 on synthetic coloured
/// shapes; with --data: on MNIST, Fashion-MNIST, CIFAR-10, CIFAR-100 (binary versions) or a folder of images by class.
#[derive(Parser, Debug)]
#[command(version, after_help = SGD_HELP)]
struct Arguments {
    /// The model.
    #[arg(long, value_name = "NAME", default_value = "resnet18", value_parser = NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>())]
    model: String,
    #[command(flatten)]
    colour: Colour,
}

fn main() -> ExitCode {
    log();
    match parse() {
        Ok(Parsed { arguments: Arguments { model, mut colour }, toml }) => {
            if model.starts_with("lenet5") {
                colour.source.reading.gray();
            }
            train(colour, toml, |images| {
                Ok(NamedModel::new(model, images.classes).width(images.width).small(images.small))
            })
        }
        Err(error) => report(Err(error)),
    }
}

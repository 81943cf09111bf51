//! Trains a VGG with batch norm (Simonyan, Zisserman, arXiv 1409.1556) and tests it, on synthetic coloured shapes made
//! in memory, or with `--data DIR` on CIFAR-10 (the binary version) or on a folder of images by class:
//! train/<class>/*.jpg and test/<class>/*.png.
//!
//! Without arguments it trains a narrow network on 4,500 images. Expect a test accuracy of about 75% after its four
//! epochs, under a minute on two cores without a GPU; more epochs raise it. The second line is the recipe for CIFAR-10
//! on a GPU:
//!
//!     cargo run --release --example vgg
//!     cargo run --release --example vgg -- --data DIR --augment --epochs 200 --lr 0.1 --batch-size 128 --schedule cosine

mod support;

use std::process::ExitCode;

use clap::Parser;
use support::colour::{Colour, Images, train};
use support::config::{Parsed, parse};
use support::{SGD_HELP, log, report};
use tilegrad::nn::models::NamedModel;
use tilegrad::{Error, Result};

/// Trains a VGG with batch norm on the GPU (or the CPU where there is none). Without arguments: on synthetic coloured shapes;
/// with --data: on CIFAR-10's binary version, or on a folder of images by class.
#[derive(Parser, Debug)]
#[command(version, after_help = SGD_HELP)]
struct Arguments {
    #[command(flatten)]
    colour: Colour,
    /// Layers that have weights: 11, 13, 16 or 19.
    #[arg(long, value_name = "N", default_value_t = 11)]
    layers: usize,
}

fn main() -> ExitCode {
    log();
    match parse() {
        Ok(Parsed { arguments: Arguments { colour, layers }, toml }) => {
            train(colour, toml, |images| model(layers, images))
        }
        Err(error) => report(Err(error)),
    }
}

fn model(layers: usize, images: &Images) -> Result<NamedModel> {
    if ![11, 13, 16, 19].contains(&layers) {
        return Err(Error::config("layers", format!("is {layers}; there are 11, 13, 16 or 19")));
    }
    let &Images { classes, width, small } = images;
    Ok(NamedModel::new(format!("vgg{layers}-bn"), classes).width(width).small(small))
}

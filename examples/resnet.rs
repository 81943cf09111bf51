//! Trains a ResNet (He, Zhang, Ren, Sun, arXiv 1512.03385) and tests it, on synthetic coloured shapes made in memory,
//! or with `--data DIR` on CIFAR-10 (the binary version) or on a folder of images by class: train/<class>/*.jpg and
//! test/<class>/*.png.
//!
//! Without arguments it trains a narrow network on 4,500 images. Expect a test accuracy of about 60% after its four
//! epochs, some three minutes on two cores without a GPU; more epochs raise it. The second line is the recipe for
//! CIFAR-10 on a GPU:
//!
//!     cargo run --release --example resnet
//!     cargo run --release --example resnet -- --data DIR --augment --epochs 200 --lr 0.1 --batch-size 128 --schedule cosine

mod support;

use std::process::ExitCode;

use clap::Parser;
use support::colour::{Colour, Images, train};
use support::config::{Parsed, parse};
use support::{SGD_HELP, log, report};
use tilegrad::nn::models::NamedModel;
use tilegrad::{Error, Result};

/// Trains a ResNet on the GPU (or the CPU where there is none). Without arguments: on synthetic coloured shapes;
/// with --data: on CIFAR-10's binary version, or on a folder of images by class.
#[derive(Parser, Debug)]
#[command(version, after_help = SGD_HELP)]
struct Arguments {
    #[command(flatten)]
    colour: Colour,
    /// Layers that have weights: 18, 34, 50 or 101.
    #[arg(long, value_name = "N", default_value_t = 18)]
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
    if ![18, 34, 50, 101].contains(&layers) {
        return Err(Error::config("layers", format!("is {layers}; there are 18, 34, 50 or 101")));
    }
    let &Images { classes, width, small } = images;
    Ok(NamedModel::new(format!("resnet{layers}"), classes).width(width).small(small))
}

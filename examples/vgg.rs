//! Trains a VGG with batch norm (Simonyan, Zisserman, arXiv 1409.1556) and tests it: on synthetic coloured shapes made in memory, or with
//! `--data DIR` on CIFAR-10 (the binary version) or on a folder of images by class, train/<class>/*.jpg and test/<class>/*.png.
//!
//! Without arguments it is a narrow network on 4,500 images: expect a test accuracy of about 75% after its four epochs, under a minute on
//! two cores without a GPU; more epochs raise it. The recipe for CIFAR-10 on a GPU is the second line:
//!
//!     cargo run --release --example vgg
//!     cargo run --release --example vgg -- --data DIR --augment --epochs 200 --lr 0.1 --batch-size 128 --schedule cosine

mod support;

use std::process::ExitCode;

use clap::Parser;
use support::colour::Colour;
use support::{Defaults, Options, Problem, SGD_HELP, run};
use tilegrad::nn::Module;
use tilegrad::nn::models::Vgg;
use tilegrad::{Error, Result};

/// Trains a VGG with batch norm on the GPU (or the CPU where there is none). Without arguments: on synthetic coloured shapes; with
/// --data: on CIFAR-10's binary version, or on a folder of images by class.
#[derive(Parser, Debug)]
#[command(version, after_help = SGD_HELP)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    colour: Colour,
    /// Layers that have weights: 11, 13, 16 or 19.
    #[arg(long, value_name = "N", default_value_t = 11)]
    layers: usize,
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error,wgpu_hal=off")).init();
    let arguments = Arguments::parse();
    let epochs = if arguments.options.data.is_some() { 20 } else { 4 };
    let defaults = Defaults { epochs, lr: 0.05, momentum: 0.9, schedule: "onecycle" };
    run(&arguments.options, &defaults, |options| problem(options, &arguments))
}

fn problem(options: &Options, arguments: &Arguments) -> Result<Problem> {
    let colour = &arguments.colour;
    let width = colour.width(options.data.as_deref())?;
    let (description, train, test) = colour.images(options.data.as_deref(), options.seed)?;
    let classes = train.classes;
    let model = match arguments.layers {
        11 => Vgg::vgg11(classes),
        13 => Vgg::vgg13(classes),
        16 => Vgg::vgg16(classes),
        19 => Vgg::vgg19(classes),
        other => return Err(Error::config("layers", format!("is {other}; there are 11, 13, 16, 19"))),
    };
    let model = model.width(width).batch_norm(true);
    // Small images would be gone after the layers that are made for 224 by 224.
    let model: Box<dyn Module> = Box::new(if train.height.max(train.width) <= 64 { model.cifar() } else { model });
    Ok(Problem { model, description, train, test, normalise: true, augment: colour.augment() })
}

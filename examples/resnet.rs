//! Trains a ResNet (He, Zhang, Ren, Sun, arXiv 1512.03385) and tests it: on synthetic coloured shapes made in memory, or with
//! `--data DIR` on CIFAR-10 (the binary version) or on a folder of images by class, train/<class>/*.jpg and test/<class>/*.png.
//!
//! Without arguments it is a narrow network on 4,500 images: expect a test accuracy of about 60% after its four epochs, some three minutes on
//! two cores without a GPU; more epochs raise it. The recipe for CIFAR-10 on a GPU is the second line:
//!
//!     cargo run --release --example resnet
//!     cargo run --release --example resnet -- --data DIR --augment --epochs 200 --lr 0.1 --batch-size 128 --schedule cosine

mod support;

use std::process::ExitCode;

use clap::Parser;
use support::colour::Colour;
use support::{Defaults, Options, Problem, SGD_HELP, run};
use tilegrad::nn::Module;
use tilegrad::nn::models::ResNet;
use tilegrad::{Error, Result};

/// Trains a ResNet on the GPU (or the CPU where there is none). Without arguments: on synthetic coloured shapes; with
/// --data: on CIFAR-10's binary version, or on a folder of images by class.
#[derive(Parser, Debug)]
#[command(version, after_help = SGD_HELP)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    colour: Colour,
    /// Layers that have weights: 18, 34, 50 or 101.
    #[arg(long, value_name = "N", default_value_t = 18)]
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
        18 => ResNet::resnet18(classes),
        34 => ResNet::resnet34(classes),
        50 => ResNet::resnet50(classes),
        101 => ResNet::resnet101(classes),
        other => return Err(Error::config("layers", format!("is {other}; there are 18, 34, 50, 101"))),
    };
    let model = model.width(width);
    // Small images would be gone after the layers that are made for 224 by 224.
    let model: Box<dyn Module> = Box::new(if train.height.max(train.width) <= 64 { model.cifar() } else { model });
    Ok(Problem { model, description, train, test, normalise: true, augment: colour.augment() })
}

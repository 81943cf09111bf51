//! Transfers a trained ResNet-18 to images of other classes. Loads a state_dict, replaces the last layer (fc) by a new
//! one, freezes everything else, trains, and tests before and after.
//!
//! Without arguments it first trains a narrow network on six synthetic shapes and saves it, which takes a minute or two
//! on two cores without a GPU. Then fc learns four other shapes from 900 images in ten seconds. Expect a test accuracy
//! of about 55%. Guessing gives 25%, and so does `--random`, which freezes random initial weights in place of the
//! loaded ones. With `--weights` the network is any ResNet-18 under torchvision's names (scripts/pth_to_safetensors.py
//! converts a .pth to the file). Width and stem are read from the file; its number of classes does not matter:
//!
//!     cargo run --release --example finetune
//!     cargo run --release --example finetune -- --weights resnet18.safetensors --data DIR --resize 224 --out runs/new
//!
//! Frozen means `requires_grad` off, as in PyTorch: batch norms are in training mode, normalise by the batch, and
//! update their running statistics with the new images. The model saved in `--out` therefore differs from the loaded
//! file in these statistics and in fc.

mod support;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use support::colour::{Read, Source};
use support::config::{Parsed, parse};
use support::{Defaults, Options, Problem, SGD_HELP, log, report, train};
use tilegrad::data::{Normalisation, Opened, shapes};
use tilegrad::nn::Freeze;
use tilegrad::nn::models::NamedModel;
use tilegrad::train::weights::{self, Load};
use tilegrad::{Error, Result};

/// Classes of the synthetic shapes: those that the network is trained on first, and those that fc then learns.
const CLASSES: [Range<usize>; 2] = [0..6, 6..10];
/// Number of training images per class (validation included), for the network and for fc.
const TRAIN: [usize; 2] = [800, 250];
/// Number of test images per class.
const TEST: usize = 250;

const PRETRAINING: Defaults = Defaults { epochs: 6, lr: 0.05, momentum: 0.9, schedule: "onecycle" };
const FINETUNING: Defaults = Defaults { epochs: 10, lr: 0.02, momentum: 0.9, schedule: "cosine" };

/// Trains a new last layer of a ResNet-18 for other classes, all else frozen. Without arguments: first trains a narrow
/// network on synthetic shapes and saves it; with --data: for CIFAR-10's binary version, or a folder of images by class.
#[derive(Parser, Debug)]
#[command(version, after_help = SGD_HELP)]
struct Arguments {
    #[command(flatten)]
    source: Source,
    /// The state_dict of a ResNet-18, a safetensors file with torchvision's names: all of it but fc is loaded and frozen. A
    /// network with the stem of 7x7 sees images normalised as torchvision's do [default: one trained first, saved below --out].
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Loads nothing, for comparison: what is frozen has its random first weights.
    #[arg(long)]
    random: bool,
}

fn main() -> ExitCode {
    log();
    report(match parse::<Arguments>() {
        Ok(Parsed { mut arguments, toml }) => {
            arguments.source.options.toml = toml;
            finetune(&arguments)
        }
        Err(error) => Err(error),
    })
}

fn finetune(Arguments { source, weights, random }: &Arguments) -> Result<()> {
    // All inputs are checked before a network is trained.
    let options = &source.options;
    options.check(&FINETUNING)?;
    let images = match source.read()? {
        Some(read) => read,
        None => synthetic(options, 1)?,
    };
    let file = match weights {
        Some(file) => Some(file.clone()),
        None if *random => None,
        None => Some(pretrain(options)?),
    };
    let network = file.as_deref().map_or(Ok(Network::SMALL), Network::of)?;
    let named = network.model(images.train.classes());
    let model = Freeze::all_but(named.build()?, |name| name.starts_with("fc."));
    let normalisation = (!network.cifar).then_some(Normalisation::IMAGENET);
    let weights = file.filter(|_| !random).map(|file| (file, Load::strict().skip("fc.")));
    let problem = Problem {
        model: Box::new(model),
        named: Some(named),
        images,
        normalisation,
        augment: source.augment(),
        weights,
    };
    train(options, &FINETUNING, |_| Ok(problem))
}

/// Trains a narrow network on the first group of synthetic shapes, and returns the file that it is saved in.
fn pretrain(options: &Options) -> Result<PathBuf> {
    let out = match &options.out {
        Some(out) => out.join("pretrained"),
        None => std::env::temp_dir().join("tilegrad-finetune"),
    };
    let file = out.join("model.safetensors");
    // Rates and penalties of the command line apply to fc.
    let (epochs, lr, momentum, schedule) = (None, None, None, None);
    let own = Options { epochs, lr, momentum, schedule, dampening: 0.0, nesterov: false, l1: 0.0, ..options.clone() };
    let own = Options {
        weight_decay: 5e-4,
        data: None,
        download: None,
        out: Some(out),
        resume: None,
        profile: None,
        tune: false,
        pin: None,
        ..own
    };
    println!("First a network to begin with, all of it trained:\n");
    train(&own, &PRETRAINING, |_| {
        let images = synthetic(options, 0)?;
        let named = Network::SMALL.model(images.train.classes());
        let (model, normalisation) = (named.build()?, None);
        Ok(Problem { model, named: Some(named), images, normalisation, augment: None, weights: None })
    })?;
    println!("\nNow a new last layer on top of it, for other classes:\n");
    Ok(file)
}

/// The description of a ResNet-18, from its file.
struct Network {
    width: usize,
    /// True if the stem is the 3x3 variant for 32x32 images.
    cifar: bool,
}

impl Network {
    const SMALL: Network = Network { width: 16, cifar: false };

    fn of(file: &Path) -> Result<Self> {
        let shapes = weights::shapes(file)?;
        match shapes.get("conv1.weight").map(Vec::as_slice) {
            Some(&[width, 3, 7, 7]) => Ok(Network { width, cifar: false }),
            Some(&[width, 3, 3, 3]) => Ok(Network { width, cifar: true }),
            other => {
                let found = other.map_or("is missing".into(), |shape| format!("is {shape:?}"));
                let message =
                    format!("is no ResNet-18: \"conv1.weight\" {found}, expected [width, 3, 7, 7] or [width, 3, 3, 3]");
                Err(Error::data(file, message))
            }
        }
    }

    fn model(&self, classes: usize) -> NamedModel {
        NamedModel::new("resnet18", classes).width(self.width).small(self.cifar)
    }
}

/// Generates the synthetic shapes of one part of the classes: training and test images.
fn synthetic(options: &Options, part: usize) -> Result<Read> {
    let (count, classes) = (shapes::CLASS_NAMES.len() * TRAIN[part], CLASSES[part].clone());
    // Every ten images hold each class once, and no image is in both parts.
    let all = shapes::shapes(options.seed, count + shapes::CLASS_NAMES.len() * TEST);
    let names = &shapes::CLASS_NAMES[classes.clone()];
    let of = |range: Range<usize>| {
        let kept = range.filter(|&i| classes.contains(&(all.labels[i] as usize))).map(|i| i as u32);
        let mut set = all.subset(&kept.collect::<Vec<_>>());
        set.labels.iter_mut().for_each(|label| *label -= classes.start as i32);
        set.classes = classes.len();
        set.named(names.iter().copied())
    };
    let (train, test) = (of(0..count)?, of(count..all.len())?);
    let description = format!("synthetic shapes ({})", names.join(", "));
    Ok(Opened::of(description, train, Some(test), &options.division())?.into())
}

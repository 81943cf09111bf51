//! The effect of penalties on overfitting. Trains a network four times on a few images: without a penalty, with weight
//! decay, with L1 and with dropout. Evaluates each on many images that it has never seen.
//!
//! Without arguments it trains on 300 synthetic digits, a tenth of them with random labels, and validates on 1,000;
//! with `--data DIR` it uses MNIST's or Fashion-MNIST's files. Expect the first run to memorise all its images, wrong
//! labels included, and to overfit. Each penalty narrows the gap between the losses, dropout by far the most. It takes
//! one to two minutes on two cores without a GPU. docs/regularization.md explains the results.
//!
//!     cargo run --release --example regularization
//!     cargo run --release --example regularization -- --data DIR --out runs/regularization

mod support;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use support::{engine, report};
use tilegrad::data::{BatchSource, ImageSet, Normalisation, ResidentSource, idx, synthetic};
use tilegrad::nn::WeightInit::KaimingNormal;
use tilegrad::nn::{Conv2d, Dropout, Flatten, Linear, MaxPool2d, Module, Sequential};
use tilegrad::ops::activation::Activation::Relu;
use tilegrad::optim::{Optimizer, ParamGroup, Schedule, Sgd};
use tilegrad::report::curves;
use tilegrad::rng::Rng;
use tilegrad::shape::ImageSize;
use tilegrad::train::{Diagnosis, Epoch, Event, Flow, History, TrainOptions, Trainer};
use tilegrad::{Error, Result};

/// Weights closer to zero than this count as driven there by a penalty.
const NEAR_ZERO: f32 = 1e-3;

/// Number of last epochs whose mean is in the table.
const LAST: usize = 5;

/// Trains a network on a few images without and with weight decay, L1 and dropout, and compares the gaps between training
/// and validation.
#[derive(Parser, Debug)]
#[command(version)]
struct Arguments {
    /// Folder with MNIST's or Fashion-MNIST's IDX files, plain or .gz; without it, synthetic digits are made in memory.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Images to train on: few, so that there is something to overfit.
    #[arg(long, value_name = "N", default_value_t = 300)]
    images: usize,
    /// Images to validate on.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    validation: usize,
    /// Share of the training images that get a label drawn at random, as careless labelling would: to know those by heart
    /// is worse than not to know them.
    #[arg(long, value_name = "P", default_value_t = 0.1)]
    noise: f64,
    /// Passes over the training images.
    #[arg(long, value_name = "N", default_value_t = 40)]
    epochs: usize,
    /// Learning rate.
    #[arg(long, value_name = "X", default_value_t = 0.03)]
    lr: f64,
    /// Of the second run: adds weight_decay * p to the gradient of every weight p, not of biases.
    #[arg(long, value_name = "X", default_value_t = 0.1)]
    weight_decay: f64,
    /// Of the third run: adds l1 * sign(p) to the gradient.
    #[arg(long, value_name = "X", default_value_t = 2e-3)]
    l1: f64,
    /// Of the fourth run: the probability that a value before one of the last two layers becomes 0.
    #[arg(long, value_name = "P", default_value_t = 0.4)]
    dropout: f64,
    /// Of the first weights, the order of the images and the synthetic ones.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// auto: the best adapter, or the CPU where there is none; cpu: the reference executor; else a part of an adapter's
    /// name.
    #[arg(long, value_name = "auto|cpu|NAME", default_value = "auto")]
    device: String,
    /// Folder for regularization.svg, regularization.png and the epochs of each run as .csv.
    #[arg(long, value_name = "DIR", default_value = "runs/regularization")]
    out: PathBuf,
}

/// One of the four training runs.
struct Run {
    name: &'static str,
    sgd: Sgd,
    dropout: Option<f64>,
}

/// The results of one run.
struct Outcome {
    name: &'static str,
    history: History,
    /// Sum over all weights, without biases.
    sum_of_squares: f64,
    near_zero: f64,
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error,tilegrad=warn,wgpu_hal=off"))
        .init();
    report(compare(&Arguments::parse()))
}

fn compare(arguments: &Arguments) -> Result<()> {
    let plain = Sgd::new(arguments.lr).momentum(0.9).group(ParamGroup::new(|name| name.ends_with(".bias")));
    let runs = [
        Run { name: "nothing", sgd: plain.clone(), dropout: None },
        Run { name: "weight decay", sgd: plain.clone().weight_decay(arguments.weight_decay), dropout: None },
        Run { name: "L1", sgd: plain.clone().l1(arguments.l1), dropout: None },
        Run { name: "dropout", sgd: plain, dropout: Some(arguments.dropout) },
    ];
    runs.iter().try_for_each(|run| run.sgd.validate())?;
    let (train, validation) = images(arguments)?;
    std::fs::create_dir_all(&arguments.out).map_err(|source| Error::io(&arguments.out, source))?;
    println!("{} images to train on, {} to validate, {} epochs", train.len(), validation.len(), arguments.epochs);

    let mut outcomes = Vec::new();
    for run in runs {
        outcomes.push(fit(run, arguments, &train, &validation)?);
    }
    println!("\n              accuracy                     loss");
    println!("              train  validation    gap     train  validation     gap   sum w^2  near zero");
    for Outcome { name, history, sum_of_squares, near_zero } in &outcomes {
        // Single epochs vary.
        let last = &history.epochs[history.epochs.len().saturating_sub(LAST)..];
        let mean = |value: fn(&Epoch) -> f64| last.iter().map(value).sum::<f64>() / last.len() as f64;
        let [train, validation] = [mean(|e| e.train_accuracy), mean(|e| e.validation_accuracy)];
        let [train_loss, validation_loss] = [mean(|e| e.train_loss), mean(|e| e.validation_loss)];
        println!(
            "{name:<13} {train:.3} {validation:>11.3} {:>6.3} {train_loss:>9.3} {validation_loss:>11.3} {:>7.3} {sum_of_squares:>9.1} {:>9.1}%",
            train - validation,
            validation_loss - train_loss,
            near_zero * 100.0
        );
    }
    for Outcome { name, history, .. } in &outcomes {
        if let Some(diagnosis) = Diagnosis::of_classes(&history.epochs, train.classes) {
            println!("\n{name}: {diagnosis}");
            diagnosis.advice.iter().for_each(|advice| println!("  try {advice}"));
        }
        let file = arguments.out.join(format!("{}.csv", name.replace(' ', "_")));
        tilegrad::files::write_whole(&file, history.to_csv().as_bytes())?;
    }
    let curves: Vec<_> = outcomes.iter().map(|outcome| (outcome.name, outcome.history.epochs.as_slice())).collect();
    curves::write_several(&arguments.out.join("regularization"), &curves)?;
    println!("\nwritten {}", arguments.out.join("regularization.svg").display());
    Ok(())
}

/// Returns a few images for training, and many for validation.
fn images(arguments: &Arguments) -> Result<(ImageSet, ImageSet)> {
    let (count, held_out) = (arguments.images, arguments.validation);
    // Both are checked before the first run, not only in the fourth.
    for (field, value) in [("noise", arguments.noise), ("dropout", arguments.dropout)] {
        if !(0.0..=1.0).contains(&value) {
            return Err(Error::config(field, format!("must be 0 to 1, it is {value}")));
        }
    }
    if count == 0 || held_out == 0 {
        return Err(Error::config("images", "to train and to validate on must be at least 1 each"));
    }
    let (all, others) = match &arguments.data {
        Some(dir) => idx::read(dir)?,
        None => (synthetic::digits(arguments.seed, count), synthetic::digits(arguments.seed.wrapping_add(1), held_out)),
    };
    let first = |set: ImageSet, count: usize, what: &str| match (0..count as u32).collect::<Vec<_>>() {
        _ if count > set.len() => Err(Error::config(what, format!("are {count}, and there are {}", set.len()))),
        indices => Ok(set.subset(&indices)),
    };
    let mut train = first(all, count, "images")?;
    let (rng, classes) = (Rng::new(arguments.seed, "label noise"), train.classes as u32);
    for (i, label) in train.labels.iter_mut().enumerate() {
        if f64::from(rng.uniform(2 * i as u64)) < arguments.noise {
            *label = rng.below(2 * i as u64 + 1, classes) as i32;
        }
    }
    Ok((train, first(others, held_out, "validation")?))
}

/// Builds a network large enough to memorise a few hundred images.
fn network(ImageSize { height, width, channels }: ImageSize, classes: usize, dropout: Option<f64>) -> impl Module {
    let mut model = Sequential::new()
        .with("conv1", Conv2d::new(channels, 8, 3).padding(1).init(KaimingNormal))
        .with("relu1", Relu)
        .with("pool1", MaxPool2d::new(2))
        .with("conv2", Conv2d::new(8, 16, 3).padding(1).init(KaimingNormal))
        .with("relu2", Relu)
        .with("pool2", MaxPool2d::new(2))
        .with("flatten", Flatten);
    if let Some(p) = dropout {
        model = model.with("dropout1", Dropout(p));
    }
    model = model.with("fc1", Linear::new(16 * (height / 4) * (width / 4), 64)).with("relu3", Relu);
    if let Some(p) = dropout {
        model = model.with("dropout2", Dropout(p));
    }
    model.with("fc2", Linear::new(64, classes))
}

fn fit(run: Run, arguments: &Arguments, train: &ImageSet, validation: &ImageSet) -> Result<Outcome> {
    let Run { name, sgd, dropout } = run;
    let model = network(train.image_size(), train.classes, dropout);
    let normalisation = Normalisation::of(train);
    let source = |name, images: &ImageSet| ResidentSource::new(name, images.clone()).normalised(normalisation);
    let (mut train, mut validation) = (source("train", train), source("validation", validation));
    let options = TrainOptions::default().epochs(arguments.epochs).batch_size(50).seed(arguments.seed);
    let engine = engine(&arguments.device)?;
    // The rate falls to 0, so that the end reflects the penalty and not the noise of the last step.
    let schedule = Schedule::named("cosine", &sgd, options.epochs, train.len().div_ceil(options.batch_size))?;
    let mut trainer = Trainer::new(model, sgd, engine, options, &train)?.schedule(schedule);
    println!("\n{name}");
    trainer.on(move |event: &Event<'_>, _: &mut Trainer| {
        match event {
            Event::Epoch(e) if e.epoch % 10 == 0 || e.epoch == options.epochs => println!(
                "epoch {:>3}  train loss {:.4} accuracy {:.3}  validation loss {:.4} accuracy {:.3}",
                e.epoch, e.train_loss, e.train_accuracy, e.validation_loss, e.validation_accuracy
            ),
            _ => {}
        }
        Ok(Flow::Continue)
    });
    let history = trainer.fit(&mut train, &mut validation)?;
    let names: Vec<String> =
        trainer.tape().parameters().into_iter().map(|id| trainer.tape().tensor(id).name.clone()).collect();
    let mut weights = Vec::new();
    for name in names.iter().filter(|name| name.ends_with(".weight")) {
        weights.extend(trainer.engine().parameter(name)?);
    }
    let near_zero = weights.iter().filter(|weight| weight.abs() < NEAR_ZERO).count();
    Ok(Outcome {
        name,
        history,
        sum_of_squares: weights.iter().map(|&weight| f64::from(weight).powi(2)).sum(),
        near_zero: near_zero as f64 / weights.len() as f64,
    })
}

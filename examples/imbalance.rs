//! The remedies against imbalanced data. Trains one network on images of which half of the classes have 1 where the
//! others have 20: as it is, with class weights (balanced, and their square roots), and with balanced sampling.
//!
//! Without arguments it thins out synthetic digits; with `--data DIR` it uses the images of MNIST's or Fashion-MNIST's
//! files. It prints the balanced accuracy, the accuracy, the macro F1 and the recall of the rare classes over test
//! images with as many of each class, for each seed and as a mean. docs/training.md has the results. It takes a few
//! minutes on two cores without a GPU.
//!
//!     cargo run --release --example imbalance
//!     cargo run --release --example imbalance -- --data DIR

mod support;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use support::{engine, report};
use tilegrad::Result;
use tilegrad::data::{ImageSet, Normalisation, ResidentSource, idx, synthetic};
use tilegrad::nn::{BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, Sequential};
use tilegrad::ops::activation::Activation::Relu;
use tilegrad::optim::{Schedule, Sgd};
use tilegrad::train::{ClassWeights, CrossEntropyLoss, Sampling, TrainOptions, Trainer};

/// Trains a network on imbalanced images without a remedy, with class weights and with balanced sampling, and compares
/// the recall of rare and common classes.
#[derive(Parser, Debug)]
#[command(version)]
struct Arguments {
    /// Folder with MNIST's or Fashion-MNIST's IDX files, plain or .gz; without it, synthetic digits are made in memory.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Training images of a common class; a rare one has a twentieth.
    #[arg(long, value_name = "N", default_value_t = 200)]
    images: usize,
    /// Passes over the training images.
    #[arg(long, value_name = "N", default_value_t = 12)]
    epochs: usize,
    /// Learning rate.
    #[arg(long, value_name = "X", default_value_t = 0.03)]
    lr: f64,
    /// Runs of each remedy, with seeds from 1.
    #[arg(long, value_name = "N", default_value_t = 3)]
    seeds: u64,
    /// auto: the best adapter, or the CPU where there is none; cpu: the reference executor; else a part of an adapter's
    /// name.
    #[arg(long, value_name = "auto|cpu|NAME", default_value = "auto")]
    device: String,
}

/// How many times fewer images a rare class has.
const RARER: usize = 20;
/// Test images of each class.
const TESTED: usize = 80;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error,tilegrad=warn,wgpu_hal=off"))
        .init();
    report(compare(&Arguments::parse()))
}

/// True if the class is thinned out.
fn is_rare(class: usize) -> bool {
    class % 2 == 1
}

/// The first images of each class of `images`, passing over `skip`, as many as `count` says.
fn first(images: &ImageSet, skip: usize, count: impl Fn(usize) -> usize) -> ImageSet {
    let mut seen = vec![0; images.classes];
    let mut kept = Vec::new();
    for (i, &label) in images.labels.iter().enumerate() {
        let class = label as usize;
        if (skip..skip + count(class)).contains(&seen[class]) {
            kept.push(i as u32);
        }
        seen[class] += 1;
    }
    images.subset(&kept)
}

fn model(images: &ImageSet) -> Sequential {
    let (side_h, side_w) = (images.height / 4, images.width / 4);
    Sequential::new()
        .with("conv1", Conv2d::new(images.channels, 8, 3).padding(1))
        .with("bn1", BatchNorm2d::new(8))
        .with("relu1", Relu)
        .with("pool1", MaxPool2d::new(2))
        .with("conv2", Conv2d::new(8, 16, 3).padding(1))
        .with("bn2", BatchNorm2d::new(16))
        .with("relu2", Relu)
        .with("pool2", MaxPool2d::new(2))
        .with("flatten", Flatten)
        .with("fc", Linear::new(16 * side_h * side_w, images.classes))
}

/// Balanced accuracy, accuracy, macro F1 and mean recall of the rare classes over the test images.
fn run(
    arguments: &Arguments,
    seed: u64,
    train: &ImageSet,
    test: &ImageSet,
    weights: Option<ClassWeights>,
    sampling: Sampling,
) -> Result<[f64; 4]> {
    let normalisation = Normalisation::of(train);
    let source = |name: &str, images: &ImageSet| ResidentSource::new(name, images.clone()).normalised(normalisation);
    let (mut train_source, mut test_source) = (source("train", train), source("test", test));
    let options = TrainOptions::default().epochs(arguments.epochs).batch_size(32).seed(seed).sampling(sampling);
    let sgd = Sgd::new(arguments.lr).momentum(0.9).weight_decay(5e-4);
    let steps = train.len().div_ceil(options.batch_size);
    let schedule = Schedule::named("cosine", &sgd, arguments.epochs, steps)?;
    let loss = CrossEntropyLoss::default().class_weights(weights);
    let engine = engine(&arguments.device)?;
    let mut trainer = Trainer::with_loss(model(train), loss, sgd, engine, options, &train_source)?.schedule(schedule);
    trainer.fit(&mut train_source, &mut test_source)?;
    let found = trainer.confusion()?;
    let rare: Vec<f64> =
        (0..found.classes).filter(|&class| is_rare(class)).filter_map(|class| found.recall(class)).collect();
    let rare = rare.iter().sum::<f64>() / rare.len().max(1) as f64;
    let all = [found.balanced_accuracy(), found.accuracy(), found.macro_f1()].map(Option::unwrap_or_default);
    Ok([all[0], all[1], all[2], rare])
}

fn compare(arguments: &Arguments) -> Result<()> {
    let whole = match &arguments.data {
        Some(dir) => idx::read(dir)?.0,
        None => synthetic::digits(1, 14 * (arguments.images + TESTED)),
    };
    let test = first(&whole, 0, |_| TESTED);
    let rare = (arguments.images / RARER).max(1);
    let train = first(&whole, TESTED, |class| if is_rare(class) { rare } else { arguments.images });
    println!(
        "{} images to train on, {} of a common class and {rare} of a rare one, {} to test",
        train.len(),
        arguments.images,
        test.len()
    );
    let remedies = [
        ("nothing", None, Sampling::Shuffled),
        ("class weights balanced", Some(ClassWeights::balanced(&train.labels, train.classes)?), Sampling::Shuffled),
        ("class weights sqrt", Some(ClassWeights::sqrt(&train.labels, train.classes)?), Sampling::Shuffled),
        ("balanced sampling", None, Sampling::Balanced),
    ];
    println!("\n{:<24}seed  balanced accuracy  accuracy  macro F1  rare classes", "");
    for (name, weights, sampling) in remedies {
        let mut sum = [0.0; 4];
        for seed in 1..=arguments.seeds {
            let found = run(arguments, seed, &train, &test, weights.clone(), sampling)?;
            say(name, &seed.to_string(), found);
            sum.iter_mut().zip(found).for_each(|(sum, value)| *sum += value / arguments.seeds as f64);
        }
        say(name, "mean", sum);
    }
    Ok(())
}

fn say(name: &str, seed: &str, [balanced, accuracy, f1, rare]: [f64; 4]) {
    println!("{name:<24}{seed:>4}  {balanced:>17.3}  {accuracy:>8.3}  {f1:>8.3}  {rare:>12.3}");
}

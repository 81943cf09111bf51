//! Evaluates a saved model on labelled images: accuracy, confusion matrix, precision and recall of each class.
//!
//!     cargo run --release --example evaluate -- runs/mine/model.safetensors --data DIR --out runs/mine

mod support;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use support::{Fitting, engine, log, report};
use tilegrad::data::{self, FolderOptions, ResidentSource};
use tilegrad::nn::models::Networks;
use tilegrad::ops::confusion::Confusion;
use tilegrad::optim::Sgd;
use tilegrad::report::confusion;
use tilegrad::train::weights::Load;
use tilegrad::train::{ModelCard, TrainOptions, Trainer};
use tilegrad::{Error, Result};

/// Tests a saved model on the test images of a data set.
#[derive(Parser, Debug)]
#[command(version)]
struct Arguments {
    /// A model.safetensors that a training example has written.
    model: PathBuf,
    /// Folder with the images, in one of the formats that the train example reads; those to test on are taken.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Takes the images to train on.
    #[arg(long)]
    train: bool,
    /// Leaves out files that can't be read, in place of stopping at the first.
    #[arg(long)]
    skip_bad: bool,
    /// Images that are looked at together.
    #[arg(long, value_name = "N", default_value_t = 100)]
    batch_size: usize,
    /// Which images are held out for the test where the folder does not say: the seed of the training.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    fitting: Fitting,
    /// auto: the best adapter, or the CPU where there is none; cpu: the reference executor; else a part of an adapter's
    /// name.
    #[arg(long, value_name = "auto|cpu|NAME", default_value = "auto")]
    device: String,
    /// Folder for confusion.txt and confusion.png.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    log();
    report(evaluate(&Arguments::parse()))
}

fn evaluate(arguments: &Arguments) -> Result<()> {
    let card = ModelCard::read(&arguments.model)?;
    let folder = data::detect(&arguments.data)? == data::Format::Folder;
    let settings = FolderOptions::default().skip_bad(arguments.skip_bad).seed(arguments.seed);
    let settings = if folder { settings.images(arguments.fitting.images(card.image_size)) } else { settings };
    let read = data::open(&arguments.data, &settings)?;
    read.skipped.iter().for_each(|error| eprintln!("skipped  {error}"));
    let images = if arguments.train { read.train } else { read.test };
    let (found, expected) = (images.image_size(), card.image_size);
    if found != expected {
        let message = format!("has images of {found}, the model is for {expected}");
        return Err(Error::data(&arguments.data, message));
    }
    if !images.class_names.is_empty() && images.class_names != card.class_names {
        let message = format!(
            "has the classes {}, the model knows {}",
            images.class_names.join(", "),
            card.class_names.join(", ")
        );
        return Err(Error::data(&arguments.data, message));
    }
    let model = card.build(&Networks::new())?;
    let engine = engine(&arguments.device)?;
    println!("device   {}", engine.name());
    println!("data     {}: {} images", read.description, images.len());
    let mut source = ResidentSource::new("test", images).normalised(card.normalisation);
    let options = TrainOptions::default().batch_size(arguments.batch_size);
    let mut trainer = Trainer::new(model, Sgd::new(0.0), engine, options, &source)?;
    trainer.load_model(&arguments.model, &Load::strict())?;
    let tested = trainer.evaluate(&mut source)?;
    let found: Confusion = trainer.confusion()?;
    println!("\n{}", confusion::text(found.classes, &found.counts, &card.class_names)?);
    let share = |share: Option<f64>| share.map_or("-".into(), |share| format!("{:.2}%", share * 100.0));
    // With fewer classes, every one is among the first five.
    let top = match found.classes > found.top_k {
        true => format!(", among the first {} {}", found.top_k, share(found.top_k_accuracy())),
        false => String::new(),
    };
    let (accuracy, balanced) = (share(found.accuracy()), share(found.balanced_accuracy()));
    println!("loss {:.4}, accuracy {accuracy}{top}, balanced accuracy {balanced}", tested.loss);
    if let Some(dir) = &arguments.out {
        std::fs::create_dir_all(dir).map_err(|source| Error::io(dir, source))?;
        confusion::write(dir, found.classes, &found.counts, &card.class_names)?;
        println!("written  {}", dir.display());
    }
    Ok(())
}

//! Evaluates a saved model on labelled images: accuracy, confusion matrix, precision and recall of each class.
//!
//!     cargo run --release --example evaluate -- runs/mine/model.safetensors --data DIR --out runs/mine

mod support;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use support::{Limits, ended, engine, line, log};
use tilegrad::data::{Dataset, DatasetSource, FolderOptions};
use tilegrad::error::printable;
use tilegrad::nn::models::Networks;
use tilegrad::ops::confusion::Confusion;
use tilegrad::optim::Sgd;
use tilegrad::report::{ClassReport, Prediction, confusion, predictions, sheet};
use tilegrad::train::weights::Load;
use tilegrad::train::{EvaluationImages, EvaluationSplit, ModelCard, Predictor, TrainOptions, Trainer};
use tilegrad::{Error, Result};

/// Number of pairs of classes that are named as the most confused.
const CONFUSED: usize = 5;

/// Tests a saved model on the test images of a data set.
#[derive(Parser, Debug)]
#[command(version)]
struct Arguments {
    /// A model.safetensors that a training example has written.
    model: PathBuf,
    /// Folder or file with the images, in one of the formats that the train example reads. Of the data set of the training the
    /// images held out for its test are taken, of other images all.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Takes these images: those that were not trained on, all, or a part of the data set by name.
    #[arg(long, value_name = "unseen|all|train|validation|test")]
    split: Option<EvaluationSplit>,
    /// Leaves out files that can't be read, in place of stopping at the first.
    #[arg(long)]
    skip_bad: bool,
    /// Images that are looked at together.
    #[arg(long, value_name = "N", default_value_t = 100)]
    batch_size: usize,
    #[command(flatten)]
    limits: Limits,
    /// auto: the best adapter, or the CPU where there is none; cpu: the reference executor; else a part of an adapter's
    /// name.
    #[arg(long, value_name = "auto|cpu|NAME", default_value = "auto")]
    device: String,
    /// Writes a CSV file with a line an image: path, truth, prediction, probability, loss; the largest loss first.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Folder for confusion.txt and confusion.png, and for the mistakes, most confident first: mistakes.png and
    /// mistakes.csv.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    log();
    ended(evaluate(&Arguments::parse()).map(|()| ExitCode::SUCCESS))
}

fn evaluate(arguments: &Arguments) -> Result<()> {
    let card = ModelCard::read(&arguments.model)?;
    let options = FolderOptions::default().skip_bad(arguments.skip_bad).max_pixels(arguments.limits.max_pixels);
    let chosen = EvaluationImages::open(&arguments.data, &card, arguments.split, &options)?;
    chosen.skipped.iter().for_each(|error| eprintln!("skipped  {error}"));
    let images = chosen.images;
    let model = card.build_for(&arguments.model, &Networks::new())?;
    let engine = engine(&arguments.device)?;
    line(format_args!("device   {}", engine.name()))?;
    line(format_args!("data     {}: {}", printable(&arguments.data), chosen.description))?;
    let mut source = DatasetSource::new("test", Arc::clone(&images)).normalised(card.normalisation);
    let options = TrainOptions::default().batch_size(arguments.batch_size);
    let mut trainer = Trainer::new(model, Sgd::new(0.0), engine, options, &source)?;
    trainer.load_model(&arguments.model, &Load::strict())?;
    let tested = trainer.evaluate(&mut source)?;
    let found: Confusion = trainer.confusion()?;
    let files = arguments.csv.is_some() || arguments.out.is_some();
    // A loss that is not finite is looked into: the error names the image.
    let each = if files || !tested.loss.is_finite() { predicted(&mut trainer, &*images, &card)? } else { Vec::new() };
    say(&found, &card.class_names, tested.loss)?;
    if let Some(file) = &arguments.csv {
        predictions::write_csv(file, &predictions::by_loss(&each), &*images, &card.class_names)?;
        line(format_args!("written  {}", printable(file)))?;
    }
    if let Some(dir) = &arguments.out {
        std::fs::create_dir_all(dir).map_err(|source| Error::io(dir, source))?;
        confusion::write(dir, found.classes, &found.counts, &card.class_names)?;
        sheet::write_mistakes(dir, &*images, &each, &card.class_names)?;
        line(format_args!("written  {}", printable(dir)))?;
    }
    Ok(())
}

/// The predictions image by image.
fn predicted(trainer: &mut Trainer, images: &dyn Dataset, card: &ModelCard) -> Result<Vec<Prediction>> {
    let (model, engine) = trainer.model_and_engine();
    Predictor::new(model, engine, card.image_size, card.normalisation).predictions(images)
}

/// Prints the results.
fn say(found: &Confusion, names: &[String], loss: f64) -> Result<()> {
    // Of more classes the report says what the text would.
    if found.classes <= confusion::WRITTEN {
        line(format_args!("\n{}", confusion::text(found.classes, &found.counts, names)?))?;
    }
    line(format_args!("\n{}", ClassReport::new(found, names)?))?;
    let confused = confusion::most_confused(found.classes, &found.counts, names, CONFUSED)?;
    confused.iter().try_for_each(line)?;
    let share = |share: Option<f64>| share.map_or("-".into(), |share| format!("{:.2}%", share * 100.0));
    // With fewer classes, every one is among the first five.
    let top = match found.classes > found.top_k {
        true => format!(", among the first {} {}", found.top_k, share(found.top_k_accuracy())),
        false => String::new(),
    };
    let (accuracy, balanced) = (share(found.accuracy()), share(found.balanced_accuracy()));
    line(format_args!("\nloss {loss:.4}, accuracy {accuracy}{top}, balanced accuracy {balanced}"))
}

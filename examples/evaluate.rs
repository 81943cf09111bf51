//! Evaluates a saved model on labelled images: accuracy, confusion matrix, precision and recall of each class.
//!
//!     cargo run --release --example evaluate -- runs/mine/model.safetensors --data DIR --out runs/mine

mod support;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use support::{Fitting, ended, engine, line, log};
use tilegrad::data::{self, Dataset, DatasetSource, FolderOptions};
use tilegrad::error::printable;
use tilegrad::nn::models::Networks;
use tilegrad::ops::confusion::Confusion;
use tilegrad::optim::Sgd;
use tilegrad::report::{ClassReport, Prediction, confusion, predictions, sheet};
use tilegrad::train::weights::Load;
use tilegrad::train::{ModelCard, Predictor, TrainOptions, Trainer};
use tilegrad::{Error, Result};

/// Number of pairs of classes that are named as the most confused.
const CONFUSED: usize = 5;

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

/// The images to evaluate on, and their description.
fn images(arguments: &Arguments, card: &ModelCard) -> Result<(String, Arc<dyn Dataset>)> {
    let folder = data::detect(&arguments.data)? == data::Format::Folder;
    let settings = FolderOptions::default().skip_bad(arguments.skip_bad).seed(arguments.seed);
    let settings = if folder { settings.images(arguments.fitting.images(card.image_size)) } else { settings };
    let read = data::open_lazily(&arguments.data, &settings)?;
    read.skipped.iter().for_each(|error| eprintln!("skipped  {error}"));
    let images = if arguments.train { read.train } else { read.test };
    let (found, expected) = (images.image_size(), card.image_size);
    if found != expected {
        let message = format!("has images of {found}, the model is for {expected}");
        return Err(Error::data(&arguments.data, message));
    }
    if !images.class_names().is_empty() && images.class_names() != card.class_names {
        let named = |names: &[String]| names.iter().map(printable).collect::<Vec<_>>().join(", ");
        let (found, known) = (named(images.class_names()), named(&card.class_names));
        return Err(Error::data(&arguments.data, format!("has the classes {found}, the model knows {known}")));
    }
    Ok((read.description, images))
}

fn evaluate(arguments: &Arguments) -> Result<()> {
    let card = ModelCard::read(&arguments.model)?;
    let (description, images) = images(arguments, &card)?;
    let model = card.build(&Networks::new())?;
    let engine = engine(&arguments.device)?;
    line(format_args!("device   {}", engine.name()))?;
    line(format_args!("data     {description}: {} images", images.len()))?;
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

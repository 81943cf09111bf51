//! Classifies images with a model saved by a training example.
//!
//! The file describes the model, the normalisation of its images, and its class names:
//!
//!     cargo run --release --example predict -- runs/mine/model.safetensors photo.jpg another.png
//!     cargo run --release --example predict -- runs/mine/model.safetensors DIR --json

mod support;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use support::{Limits, ended, engine, line, log};
use tilegrad::data::ImageFiles;
use tilegrad::error::printable;
use tilegrad::nn::models::Networks;
use tilegrad::train::{ModelCard, Predictor};
use tilegrad::{Error, Result};

/// Names what is on images: the most probable classes of each.
///
/// What can't be predicted is named on standard error. The exit code is 2 then, and all other images are predicted.
#[derive(Parser, Debug)]
#[command(version)]
struct Arguments {
    /// A model.safetensors that a training example has written.
    model: PathBuf,
    /// Image files, or folders of them. Of a folder, the files are taken that have the ending of an image, at any depth,
    /// and are not hidden; each file once.
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// How many classes are named for each image.
    #[arg(long, value_name = "K", default_value_t = 3)]
    top: usize,
    /// Prints a JSON object a line in place of text: path, class, probability, and all probabilities by class.
    #[arg(long)]
    json: bool,
    /// Prints CSV in place of text: path, class and probability, and after them those of the next classes up to --top.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    limits: Limits,
    /// auto: the best adapter, or the CPU where there is none; cpu: the reference executor; else a part of an adapter's
    /// name.
    #[arg(long, value_name = "auto|cpu|NAME", default_value = "auto")]
    device: String,
}

fn main() -> ExitCode {
    log();
    ended(predict(&Arguments::parse()))
}

fn predict(arguments: &Arguments) -> Result<ExitCode> {
    let card = ModelCard::read(&arguments.model)?;
    let model = card.build(&Networks::new())?;
    let mut engine = engine(&arguments.device)?;
    let mut predictor = Predictor::load(&arguments.model, &card, &*model, &mut *engine)?;
    let found = ImageFiles::find(&arguments.images);
    found.errors.iter().for_each(|error| eprintln!("error    {error}"));
    if !found.passed.is_empty() {
        eprintln!("passed over: {}", found.passed);
    }
    let mut counts = vec![0_usize; card.class_names.len()];
    let mut failed = 0;
    if arguments.csv {
        line(header(arguments.top.clamp(1, counts.len().max(1)))?)?;
    }
    predictor.files(&found.files, &card.images().max_pixels(arguments.limits.max_pixels), |file, probabilities| {
        match probabilities {
            Ok(probabilities) => {
                let ranked = ranked(&probabilities);
                ranked.first().into_iter().for_each(|&best| counts[best] += 1);
                line(shown(arguments, &card.class_names, file, &probabilities, &ranked)?)
            }
            Err(error) => {
                failed += 1;
                eprintln!("error    {error}");
                Ok(())
            }
        }
    })?;
    let predicted = found.files.len() - failed;
    if !arguments.csv && !arguments.json && arguments.images.iter().any(|path| path.is_dir()) {
        summary(predicted, &card.class_names, &counts)?;
    }
    if failed > 0 {
        eprintln!("{failed} of {} images could not be predicted", found.files.len());
    }
    Ok(if failed > 0 || !found.errors.is_empty() { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

/// The classes from the most probable one on; among equals in order.
fn ranked(probabilities: &[f64]) -> Vec<usize> {
    let mut ranked: Vec<usize> = (0..probabilities.len()).collect();
    ranked.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    ranked
}

/// The line of an image.
fn shown(
    arguments: &Arguments,
    names: &[String],
    file: &Path,
    probabilities: &[f64],
    ranked: &[usize],
) -> Result<String> {
    let top = &ranked[..ranked.len().min(arguments.top.max(1))];
    if arguments.json {
        let by_class: serde_json::Map<String, serde_json::Value> =
            names.iter().cloned().zip(probabilities.iter().map(|&probability| probability.into())).collect();
        let line = serde_json::json!({
            // JSON escapes what a line can't hold. Bytes that are no text have no form of their own in it.
            "path": file.to_str().map_or_else(|| printable(file), str::to_string),
            "class": names[ranked[0]],
            "probability": probabilities[ranked[0]],
            "probabilities": by_class,
        });
        return Ok(line.to_string());
    }
    if arguments.csv {
        let classes = top.iter().flat_map(|&class| [printable(&names[class]), probabilities[class].to_string()]);
        return record(std::iter::once(printable(file)).chain(classes));
    }
    let named = top.iter().map(|&class| format!("{} {:.1}%", printable(&names[class]), probabilities[class] * 100.0));
    Ok(format!("{}  {}", printable(file), named.collect::<Vec<_>>().join(", ")))
}

/// The heading of the CSV lines.
fn header(top: usize) -> Result<String> {
    let further = (2..=top).flat_map(|rank| [format!("class_{rank}"), format!("probability_{rank}")]);
    record(["path", "class", "probability"].map(String::from).into_iter().chain(further))
}

/// A line of CSV.
fn record(fields: impl Iterator<Item = String>) -> Result<String> {
    let failed = |error: &dyn std::fmt::Display| Error::config("csv", error.to_string());
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields.map(String::into_bytes)).map_err(|error| failed(&error))?;
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_string())
}

/// Prints how many images each class was predicted for, the most frequent first.
fn summary(images: usize, names: &[String], counts: &[usize]) -> Result<()> {
    let mut classes: Vec<usize> = (0..counts.len()).filter(|&class| counts[class] > 0).collect();
    classes.sort_by_key(|&class| std::cmp::Reverse(counts[class]));
    line(format_args!("\n{images} images"))?;
    classes.into_iter().try_for_each(|class| line(format_args!("{:>7}  {}", counts[class], printable(&names[class]))))
}

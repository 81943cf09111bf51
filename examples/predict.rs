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
use support::{Fitting, engine, log, report};
use tilegrad::data::{ImageSet, image_file};
use tilegrad::nn::models::Networks;
use tilegrad::train::{ModelCard, Predictor, most_probable};
use tilegrad::{Error, Result};

/// Number of images read and processed together.
const AT_ONCE: usize = 256;

/// Names what is on images: the most probable classes of each.
#[derive(Parser, Debug)]
#[command(version)]
struct Arguments {
    /// A model.safetensors that a training example has written.
    model: PathBuf,
    /// Image files (.jpg, .jpeg, .png), or folders of them, those within too.
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// How many classes are named for each image.
    #[arg(long, value_name = "K", default_value_t = 3)]
    top: usize,
    /// Prints a JSON array in place of lines: path, class, and all probabilities by class.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    fitting: Fitting,
    /// auto: the best adapter, or the CPU where there is none; cpu: the reference executor; else a part of an adapter's
    /// name.
    #[arg(long, value_name = "auto|cpu|NAME", default_value = "auto")]
    device: String,
}

fn main() -> ExitCode {
    log();
    report(predict(&Arguments::parse()))
}

fn predict(arguments: &Arguments) -> Result<()> {
    let card = ModelCard::read(&arguments.model)?;
    let mut files = Vec::new();
    for path in &arguments.images {
        find(path, &mut files)?;
    }
    if files.is_empty() {
        return Err(Error::data(&arguments.images[0], "holds no .jpg, .jpeg or .png file"));
    }
    let reading = arguments.fitting.images(card.image_size);
    let model = card.build(&Networks::new())?;
    let mut engine = engine(&arguments.device)?;
    let mut predictor = Predictor::load(&arguments.model, &card, &*model, &mut *engine)?;
    let (mut rows, mut skipped) = (Vec::new(), 0);
    for files in files.chunks(AT_ONCE) {
        let (mut images, mut read) = (Vec::new(), Vec::new());
        for file in files {
            match image_file(file, &reading) {
                Ok(pixels) => {
                    images.extend_from_slice(pixels.bytes());
                    read.push(file);
                }
                // One bad file among several does not stop the rest.
                Err(error) if arguments.images.len() > 1 || arguments.images[0].is_dir() => {
                    eprintln!("skipped  {error}");
                    skipped += 1;
                }
                Err(error) => return Err(error),
            }
        }
        let set = ImageSet::new(images, vec![0; read.len()], card.image_size, card.model.classes)?;
        for (file, probabilities) in read.iter().zip(predictor.probabilities(&set)?) {
            let best = most_probable(&probabilities);
            if arguments.json {
                let by_class: serde_json::Map<String, serde_json::Value> = card
                    .class_names
                    .iter()
                    .zip(&probabilities)
                    .map(|(name, probability)| (name.clone(), (*probability).into()))
                    .collect();
                rows.push(serde_json::json!({
                    "path": file.display().to_string(),
                    "class": card.class_names[best],
                    "probability": probabilities[best],
                    "probabilities": by_class,
                }));
                continue;
            }
            let mut order: Vec<usize> = (0..probabilities.len()).collect();
            order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
            let named: Vec<String> = order
                .iter()
                .take(arguments.top.max(1))
                .map(|&class| format!("{} {:.1}%", card.class_names[class], probabilities[class] * 100.0))
                .collect();
            println!("{}  {}", file.display(), named.join(", "));
        }
    }
    if arguments.json {
        println!("{:#}", serde_json::Value::from(rows));
    }
    if skipped == files.len() {
        return Err(Error::data(&arguments.images[0], "has no image that can be read"));
    }
    Ok(())
}

/// Finds the image files at `path`: the file itself, or all files in the folder and its subfolders, sorted.
fn find(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let system = |error| Error::io(path, error);
    if !std::fs::metadata(path).map_err(system)?.is_dir() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).map_err(system)? {
        entries.push(entry.map_err(system)?.path());
    }
    entries.sort();
    for entry in entries {
        let kind = entry.extension().map(|kind| kind.to_string_lossy().to_ascii_lowercase());
        if entry.is_dir() || matches!(kind.as_deref(), Some("jpg" | "jpeg" | "png")) {
            find(&entry, files)?;
        }
    }
    Ok(())
}

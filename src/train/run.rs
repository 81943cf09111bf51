//! The position of a run: its counts, its history, and its elapsed time.

use std::path::Path;
use std::str::FromStr;

use super::clocks::Clocks;
use super::history::{Epoch, History, Measured};
use super::weights::Metadata;
use crate::error::{Error, Result};

/// The position of a run. Together with the parameters and the state of the optimizer, the schedule and the
/// accumulators, it determines everything that follows. A [`super::Snapshot`] holds it.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Number of batches so far. Each draws different random numbers.
    pub steps: u32,
    /// Number of completed epochs.
    pub epochs: usize,
    /// Number of completed batches of the present epoch.
    pub batch: usize,
    /// Number of those whose losses are in the history.
    pub(super) noted: usize,
    /// The history so far.
    pub history: History,
    pub(super) clocks: Clocks,
}

impl Run {
    /// Seconds of the run so far, without interruptions.
    pub fn seconds(&self) -> f64 {
        self.clocks.seconds()
    }

    /// Seconds of the present epoch.
    pub fn epoch_seconds(&self) -> f64 {
        self.clocks.epoch_seconds()
    }

    /// A copy of the run with stopped clocks.
    pub(super) fn stopped(&self) -> Run {
        let mut run = self.clone();
        run.clocks.stop();
        run
    }

    /// The run as metadata of a file, without its losses.
    pub(super) fn to_metadata(&self) -> Metadata {
        let epochs: Vec<String> = self.history.epochs.iter().map(line).collect();
        let mut fields = Metadata::new();
        let mut field = |name: &str, value: String| fields.insert(name.to_string(), value);
        field("steps", self.steps.to_string());
        field("epochs", self.epochs.to_string());
        field("batch", self.batch.to_string());
        field("epoch_seconds", self.epoch_seconds().to_string());
        field("seconds", self.seconds().to_string());
        field("history", epochs.join("\n"));
        if self.history.epochs.iter().any(|epoch| !epoch.metrics.is_empty()) {
            field("history_metrics", metrics_of(&self.history.epochs));
        }
        fields
    }

    /// Parses the metadata of [`Run::to_metadata`], with the losses of its steps. `path` is the file that errors name.
    pub(super) fn of_metadata(path: &Path, metadata: &Metadata, losses: Vec<f32>) -> Result<Run> {
        let fields = Fields { path, metadata };
        let epochs = fields.text("history")?.lines().map(epoch_of).collect::<Option<Vec<Epoch>>>();
        let mut epochs = epochs.ok_or_else(|| Error::data(path, "metadata \"history\" is no list of epochs"))?;
        if let Some(text) = metadata.get("history_metrics") {
            let wrong = || Error::data(path, "metadata \"history_metrics\" is no list of an epoch's metrics each");
            let metrics = read_metrics(text).filter(|metrics| metrics.len() == epochs.len()).ok_or_else(wrong)?;
            epochs.iter_mut().zip(metrics).for_each(|(epoch, metrics)| epoch.metrics = metrics);
        }
        let (steps, batch) = (fields.get("steps")?, fields.get("batch")?);
        let mut clocks = Clocks::default();
        clocks.set(fields.get("seconds")?, fields.get("epoch_seconds")?);
        let history = History { epochs, losses, steps: steps as usize, ..History::default() };
        Ok(Run { steps, epochs: fields.get("epochs")?, batch, noted: batch, history, clocks })
    }
}

/// Formats the numbers of an epoch as one line, in text from which f64 is restored to the bit.
fn line(epoch: &Epoch) -> String {
    let Epoch {
        train_loss, train_accuracy, validation_loss, validation_accuracy, lr, seconds, images_per_second, ..
    } = epoch;
    format!(
        "{},{train_loss},{train_accuracy},{validation_loss},{validation_accuracy},{lr},{seconds},{images_per_second}",
        epoch.epoch
    )
}

/// Parses the output of [`line`].
fn epoch_of(line: &str) -> Option<Epoch> {
    let (epoch, rest) = line.split_once(',')?;
    let numbers = rest.split(',').map(|text| text.parse().ok()).collect::<Option<Vec<f64>>>()?;
    let &[train_loss, train_accuracy, validation_loss, validation_accuracy, lr, seconds, images_per_second] =
        &numbers[..]
    else {
        return None;
    };
    Some(Epoch {
        epoch: epoch.parse().ok()?,
        train_loss,
        train_accuracy,
        validation_loss,
        validation_accuracy,
        lr,
        seconds,
        images_per_second,
        metrics: Vec::new(),
    })
}

/// The metrics of every epoch as JSON: name and both numbers as text, from which f64 is restored to the bit.
fn metrics_of(epochs: &[Epoch]) -> String {
    let texts = |metric: &Measured| [metric.name.clone(), metric.train.to_string(), metric.validation.to_string()];
    let all: Vec<Vec<[String; 3]>> = epochs.iter().map(|epoch| epoch.metrics.iter().map(texts).collect()).collect();
    serde_json::json!(all).to_string()
}

/// Parses the output of [`metrics_of`].
fn read_metrics(text: &str) -> Option<Vec<Vec<Measured>>> {
    let all: Vec<Vec<[String; 3]>> = serde_json::from_str(text).ok()?;
    let metric = |[name, train, validation]: [String; 3]| {
        Some(Measured { name, train: train.parse().ok()?, validation: validation.parse().ok()? })
    };
    all.into_iter().map(|metrics| metrics.into_iter().map(metric).collect()).collect()
}

/// The metadata of a file being read.
pub(super) struct Fields<'a> {
    pub path: &'a Path,
    pub metadata: &'a Metadata,
}

impl Fields<'_> {
    pub fn text(&self, name: &str) -> Result<&str> {
        let text = self.metadata.get(name).map(String::as_str);
        text.ok_or_else(|| Error::data(self.path, format!("metadata \"{name}\" is missing")))
    }

    pub fn get<T: FromStr>(&self, name: &str) -> Result<T> {
        let text = self.text(name)?;
        text.parse().map_err(|_| Error::data(self.path, format!("metadata \"{name}\" is \"{text}\"")))
    }

    /// Returns an error unless the present run has the same setting.
    pub fn same(&self, name: &str, own: &impl std::fmt::Display) -> Result<()> {
        let (found, own) = (self.text(name)?, own.to_string());
        if found == own {
            return Ok(());
        }
        let message = format!("is of a run with {name} {found}, this one has {own}: give it the same, or a new folder");
        Err(Error::data(self.path, message))
    }
}

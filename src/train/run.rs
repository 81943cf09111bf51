//! Where a run is: how far, what it was like so far, and for how long it has gone on.

use std::path::Path;
use std::str::FromStr;

use super::clocks::Clocks;
use super::history::{Epoch, History, Measured};
use super::weights::Metadata;
use crate::error::{Error, Result};

/// Where a run is. With the parameters and what the optimizer, the schedule and the accumulators remember, all that decides
/// how it goes on; a [`super::Snapshot`] holds it.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Batches so far: no two draw the same random numbers.
    pub steps: u32,
    /// Epochs that are done.
    pub epochs: usize,
    /// Batches of the present epoch that are done.
    pub batch: usize,
    /// Those of them whose losses are in the history.
    pub(super) noted: usize,
    /// What it was like so far.
    pub history: History,
    pub(super) clocks: Clocks,
}

impl Run {
    /// Seconds of the run so far, interruptions left out.
    pub fn seconds(&self) -> f64 {
        self.clocks.seconds()
    }

    /// Seconds of its present epoch.
    pub fn epoch_seconds(&self) -> f64 {
        self.clocks.epoch_seconds()
    }

    /// The run as it is now, with clocks that stand still.
    pub(super) fn stopped(&self) -> Run {
        let mut run = self.clone();
        run.clocks.stop();
        run
    }

    /// As metadata of a file; the losses are not in it.
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

    /// What [`Run::to_metadata`] wrote, with the losses of its steps; `path` is what errors name.
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

/// The numbers of an epoch in one line; text keeps f64 to the bit.
fn line(epoch: &Epoch) -> String {
    let Epoch {
        train_loss, train_accuracy, validation_loss, validation_accuracy, lr, seconds, images_per_second, ..
    } = epoch;
    format!(
        "{},{train_loss},{train_accuracy},{validation_loss},{validation_accuracy},{lr},{seconds},{images_per_second}",
        epoch.epoch
    )
}

/// What [`line`] wrote.
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

/// The metrics of every epoch as JSON: name and both numbers as text, which f64 survives to the bit.
fn metrics_of(epochs: &[Epoch]) -> String {
    let texts = |metric: &Measured| [metric.name.clone(), metric.train.to_string(), metric.validation.to_string()];
    let all: Vec<Vec<[String; 3]>> = epochs.iter().map(|epoch| epoch.metrics.iter().map(texts).collect()).collect();
    serde_json::json!(all).to_string()
}

/// What [`metrics_of`] wrote.
fn read_metrics(text: &str) -> Option<Vec<Vec<Measured>>> {
    let all: Vec<Vec<[String; 3]>> = serde_json::from_str(text).ok()?;
    let metric = |[name, train, validation]: [String; 3]| {
        Some(Measured { name, train: train.parse().ok()?, validation: validation.parse().ok()? })
    };
    all.into_iter().map(|metrics| metrics.into_iter().map(metric).collect()).collect()
}

/// The metadata of a file that is being read.
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

    /// An error unless the run that goes on has the same setting.
    pub fn same(&self, name: &str, own: &impl std::fmt::Display) -> Result<()> {
        let (found, own) = (self.text(name)?, own.to_string());
        if found == own {
            return Ok(());
        }
        let message = format!("is of a run with {name} {found}, this one has {own}: give it the same, or a new folder");
        Err(Error::data(self.path, message))
    }
}

//! How a run trains: how long, in what portions, and what ends it.

use super::early_stopping::EarlyStopping;
use crate::error::{Error, Result};
use crate::ops::mixup::Mixup;

/// What to do about a loss that is infinite or not a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnNonFinite {
    /// The run ends with [`Error::NonFinite`], which names the step and the first tensor that went wrong.
    #[default]
    Stop,
    /// The run goes on, after an [`super::Event::NonFinite`] that says the same.
    Warn,
}

/// How long to train, and on what portions.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TrainOptions {
    /// Passes over the training images in all, those before a run was loaded included.
    pub epochs: usize,
    /// Images a step.
    pub batch_size: usize,
    /// Of the first weights and of the order of the images.
    pub seed: u64,
    /// Steps between two reports of loss and accuracy. A report comes when its numbers have, while later steps run already.
    pub report_every: usize,
    /// Batches whose gradients add up to one update: as if they were one batch, for models without batch norm. The last
    /// update of an epoch takes what is left.
    pub accumulate: usize,
    /// Ends the run before its last epoch, once nothing gets better.
    pub early_stopping: Option<EarlyStopping>,
    /// What to do about a loss that is infinite or not a number.
    pub on_non_finite: OnNonFinite,
    /// How much of each training target is spread evenly over the classes, 0 to 1; for [`super::Trainer::new`] alone, since other
    /// losses have their own settings.
    pub label_smoothing: f32,
    /// Mixes each batch with itself; accuracy in training then counts the class with the larger share. For [`super::Trainer::new`]
    /// alone, as label smoothing.
    pub mixup: Option<Mixup>,
}

impl Default for TrainOptions {
    /// One epoch, in batches of 64, an update each, under seed 0, to its end or to a loss that is not finite.
    fn default() -> Self {
        TrainOptions {
            epochs: 1,
            batch_size: 64,
            seed: 0,
            report_every: 10,
            accumulate: 1,
            early_stopping: None,
            on_non_finite: OnNonFinite::Stop,
            label_smoothing: 0.0,
            mixup: None,
        }
    }
}

impl TrainOptions {
    /// Sets the passes over the training images in all.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// Sets the images a step.
    pub fn batch_size(mut self, images: usize) -> Self {
        self.batch_size = images;
        self
    }

    /// Sets the seed of the first weights and of the order of the images.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the steps between two reports of loss and accuracy.
    pub fn report_every(mut self, steps: usize) -> Self {
        self.report_every = steps;
        self
    }

    /// Sets the batches whose gradients add up to one update.
    pub fn accumulate(mut self, batches: usize) -> Self {
        self.accumulate = batches;
        self
    }

    /// Sets what ends the run before its last epoch, or nothing.
    pub fn early_stopping(mut self, early_stopping: impl Into<Option<EarlyStopping>>) -> Self {
        self.early_stopping = early_stopping.into();
        self
    }

    /// Sets what to do about a loss that is not finite.
    pub fn on_non_finite(mut self, on_non_finite: OnNonFinite) -> Self {
        self.on_non_finite = on_non_finite;
        self
    }

    /// Sets how much of each training target is spread evenly over the classes, 0 to 1.
    pub fn label_smoothing(mut self, label_smoothing: f32) -> Self {
        self.label_smoothing = label_smoothing;
        self
    }

    /// Sets the mixing of each batch with itself, or none.
    pub fn mixup(mut self, mixup: impl Into<Option<Mixup>>) -> Self {
        self.mixup = mixup.into();
        self
    }

    /// Checks every number against its range.
    pub fn validate(&self) -> Result<()> {
        for (field, value) in [
            ("epochs", self.epochs),
            ("batch_size", self.batch_size),
            ("report_every", self.report_every),
            ("accumulate", self.accumulate),
        ] {
            if value == 0 {
                return Err(Error::config(field, "must be at least 1, it is 0"));
            }
        }
        if !(0.0..=1.0).contains(&self.label_smoothing) {
            let message = format!("must be 0 to 1, it is {}", self.label_smoothing);
            return Err(Error::config("label_smoothing", message));
        }
        self.mixup.map_or(Ok(()), |mixup| mixup.check())?;
        self.early_stopping.map_or(Ok(()), |early_stopping| early_stopping.validate())
    }
}

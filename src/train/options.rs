//! Options of a run: length, batch size, and conditions that end it.

use super::early_stopping::EarlyStopping;
use super::sampling::Sampling;
use crate::error::{Error, Result};
use crate::ops::mixup::Mixup;

/// The response to a loss that is infinite or NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnNonFinite {
    /// The run ends with [`Error::NonFinite`], which names the step and the first non-finite tensor.
    #[default]
    Stop,
    /// The run continues, after an [`super::Event::NonFinite`] with the same information.
    Warn,
}

/// Options of a training run.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TrainOptions {
    /// Total number of passes over the training images, including those before a run was loaded.
    pub epochs: usize,
    /// Number of images per step.
    pub batch_size: usize,
    /// Seed of the initial weights and of the order of the images.
    pub seed: u64,
    /// Number of steps between two reports of loss and accuracy. A report is made once its numbers have arrived, while
    /// later steps already run.
    pub report_every: usize,
    /// Number of batches whose gradients are accumulated for one update, as if they were one batch. It is meant for
    /// models without batch norm. The last update of an epoch takes the remaining batches.
    pub accumulate: usize,
    /// Ends the run before its last epoch once nothing improves.
    pub early_stopping: Option<EarlyStopping>,
    /// The response to a loss that is infinite or NaN.
    pub on_non_finite: OnNonFinite,
    /// The part of each training target that is spread evenly over the classes, 0 to 1. It applies to
    /// [`super::Trainer::new`] only, since other losses have their own settings.
    pub label_smoothing: f32,
    /// Mixes each batch with itself. Accuracy in training then counts the class with the larger share. It applies to
    /// [`super::Trainer::new`] only, like label smoothing.
    pub mixup: Option<Mixup>,
    /// The way in which an epoch draws its images.
    pub sampling: Sampling,
}

impl Default for TrainOptions {
    /// One epoch in batches of 64, one update per batch, under seed 0. The run stops at a non-finite loss.
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
            sampling: Sampling::Shuffled,
        }
    }
}

impl TrainOptions {
    /// Sets the total number of passes over the training images.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// Sets the number of images per step.
    pub fn batch_size(mut self, images: usize) -> Self {
        self.batch_size = images;
        self
    }

    /// Sets the seed of the initial weights and of the order of the images.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the number of steps between two reports of loss and accuracy.
    pub fn report_every(mut self, steps: usize) -> Self {
        self.report_every = steps;
        self
    }

    /// Sets the number of batches whose gradients are accumulated for one update.
    pub fn accumulate(mut self, batches: usize) -> Self {
        self.accumulate = batches;
        self
    }

    /// Sets or removes the condition that ends the run before its last epoch.
    pub fn early_stopping(mut self, early_stopping: impl Into<Option<EarlyStopping>>) -> Self {
        self.early_stopping = early_stopping.into();
        self
    }

    /// Sets the response to a non-finite loss.
    pub fn on_non_finite(mut self, on_non_finite: OnNonFinite) -> Self {
        self.on_non_finite = on_non_finite;
        self
    }

    /// Sets the part of each training target that is spread evenly over the classes, 0 to 1.
    pub fn label_smoothing(mut self, label_smoothing: f32) -> Self {
        self.label_smoothing = label_smoothing;
        self
    }

    /// Sets or removes the mixing of each batch with itself.
    pub fn mixup(mut self, mixup: impl Into<Option<Mixup>>) -> Self {
        self.mixup = mixup.into();
        self
    }

    /// Sets the way in which an epoch draws its images.
    pub fn sampling(mut self, sampling: Sampling) -> Self {
        self.sampling = sampling;
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

//! The best epoch of a run, and early stopping.

use super::history::{Epoch, History};
use crate::error::{Error, Result};

/// The criterion for comparing epochs: the loss as a whole, or accuracy. Other metrics of a loss can't be monitored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Monitor {
    /// The loss over the validation images; smaller is better.
    #[default]
    ValidationLoss,
    /// Share of correct predictions over the validation images; larger is better.
    ValidationAccuracy,
}

/// The error of a setting that looks at the accuracy of a loss that predicts no classes.
pub(super) fn no_accuracy(field: &str) -> Error {
    Error::config(field, "looks at the accuracy, and the loss predicts no classes: look at the validation loss")
}

impl Monitor {
    /// The criterion's value of an epoch, with the sign set so that smaller is better. A non-finite value counts as
    /// infinity.
    fn badness(self, epoch: &Epoch) -> f64 {
        let badness = match self {
            Monitor::ValidationLoss => epoch.validation_loss,
            Monitor::ValidationAccuracy => -epoch.validation_accuracy,
        };
        if badness.is_finite() { badness } else { f64::INFINITY }
    }
}

impl History {
    /// Returns the best epoch, the first among equals. `None` if no epoch was validated.
    pub fn best(&self, monitor: Monitor) -> Option<&Epoch> {
        // The first among equals.
        let validated = self.epochs.iter().filter(|epoch| epoch.is_validated());
        validated.min_by(|a, b| monitor.badness(a).total_cmp(&monitor.badness(b)))
    }
}

/// Ends a run once no epoch has improved on the best for `patience` epochs. Source: Prechelt, "Early stopping - but
/// when?", 1998. The names are PyTorch Lightning's.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct EarlyStopping {
    /// The criterion.
    pub monitor: Monitor,
    /// Number of consecutive epochs that may bring no improvement.
    pub patience: usize,
    /// Smallest change that counts as an improvement.
    pub min_delta: f64,
}

impl EarlyStopping {
    /// Stops after `patience` epochs without a smaller validation loss.
    pub fn new(patience: usize) -> Self {
        EarlyStopping { monitor: Monitor::default(), patience, min_delta: 0.0 }
    }

    /// Sets the criterion.
    pub fn monitor(mut self, monitor: Monitor) -> Self {
        self.monitor = monitor;
        self
    }

    /// Sets the smallest change that counts as an improvement.
    pub fn min_delta(mut self, min_delta: f64) -> Self {
        self.min_delta = min_delta;
        self
    }

    /// Checks every number against its range.
    pub fn validate(&self) -> Result<()> {
        if self.patience == 0 {
            return Err(Error::config("patience", "must be at least 1, it is 0"));
        }
        if !(self.min_delta.is_finite() && self.min_delta >= 0.0) {
            let message = format!("must be a finite number of at least 0, it is {}", self.min_delta);
            return Err(Error::config("min_delta", message));
        }
        Ok(())
    }

    /// True if the run should end after these epochs. The result depends on them alone, so an interrupted run ends at
    /// the same epoch.
    pub fn is_enough(&self, epochs: &[Epoch]) -> bool {
        let (mut best, mut since) = (f64::INFINITY, 0);
        for epoch in epochs {
            let badness = self.monitor.badness(epoch);
            if badness < best - self.min_delta || (best.is_infinite() && badness.is_finite()) {
                (best, since) = (badness, 0);
            } else {
                since += 1;
            }
            if since >= self.patience {
                return true;
            }
        }
        false
    }
}

//! Which epoch is the best, and when to stop waiting for a better one.

use super::history::{Epoch, History};
use crate::error::{Error, Result};

/// What epochs are compared by: the loss as a whole or accuracy. A loss's other metrics can't be monitored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Monitor {
    /// The loss over the validation images; smaller is better.
    #[default]
    ValidationLoss,
    /// The share of right predictions over the validation images; larger is better.
    ValidationAccuracy,
}

impl Monitor {
    /// The number of an epoch, turned so that smaller is better; not finite counts as infinitely bad.
    fn badness(self, epoch: &Epoch) -> f64 {
        let badness = match self {
            Monitor::ValidationLoss => epoch.validation_loss,
            Monitor::ValidationAccuracy => -epoch.validation_accuracy,
        };
        if badness.is_finite() { badness } else { f64::INFINITY }
    }
}

impl History {
    /// The best epoch, the first of equals.
    pub fn best(&self, monitor: Monitor) -> Option<&Epoch> {
        // The first of those that are equal.
        self.epochs.iter().min_by(|a, b| monitor.badness(a).total_cmp(&monitor.badness(b)))
    }
}

/// Ends a run once no epoch has been better than the best for a while. Source: Prechelt, "Early stopping - but when?", 1998;
/// the names are PyTorch Lightning's.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct EarlyStopping {
    /// What is looked at.
    pub monitor: Monitor,
    /// How many epochs in a row may bring nothing better.
    pub patience: usize,
    /// By how much an epoch must be better to count.
    pub min_delta: f64,
}

impl EarlyStopping {
    /// Stops after `patience` epochs without a smaller validation loss.
    pub fn new(patience: usize) -> Self {
        EarlyStopping { monitor: Monitor::default(), patience, min_delta: 0.0 }
    }

    /// Sets what is looked at.
    pub fn monitor(mut self, monitor: Monitor) -> Self {
        self.monitor = monitor;
        self
    }

    /// Sets by how much an epoch must be better to count.
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

    /// Whether these epochs are enough. It follows from them alone, so that a run that was interrupted ends where it would have.
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

//! A learning rate that decreases when a metric stops improving; the only rule with a state.

use std::collections::BTreeMap;

use super::{ScheduleRule, Unit, check, check_not_negative};
use crate::error::{Error, Result};
use crate::optim::optimizer::Optimizer;
use crate::optim::rates::Rates;

/// The direction in which a metric improves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Smaller is better, as for a loss.
    Min,
    /// Larger is better, as for an accuracy.
    Max,
}

/// The interpretation of a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThresholdMode {
    /// Relative to the best metric.
    Rel,
    /// In units of the metric.
    Abs,
}

/// torch.optim.lr_scheduler.ReduceLROnPlateau: `lr = max(lr * factor, min_lr)` once more than `patience` epochs in a
/// row did not improve on the best metric by `threshold`.
///
/// A NaN is no improvement. After a reduction, `cooldown` epochs don't count as bad. The state derived from the
/// observed metrics is saved with the optimizer. The settings are not saved; a resumed run uses its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReduceLrOnPlateau {
    /// The direction in which the metric improves.
    pub mode: Mode,
    /// Factor on the learning rate, 0 to below 1.
    pub factor: f64,
    /// Number of bad epochs in a row that cause no reduction.
    pub patience: usize,
    /// Minimum improvement on the best metric.
    pub threshold: f64,
    /// The interpretation of `threshold`.
    pub threshold_mode: ThresholdMode,
    /// Number of epochs after a reduction that don't count as bad.
    pub cooldown: usize,
    /// The lowest learning rate.
    pub min_lr: f64,
    /// Size up to which a reduction is skipped.
    pub eps: f64,
    /// The learning rate since the first reduction.
    lr: Option<f64>,
    best: Option<f64>,
    bad_epochs: usize,
    cooldown_left: usize,
}

impl Default for ReduceLrOnPlateau {
    fn default() -> Self {
        Self::new()
    }
}

impl ReduceLrOnPlateau {
    /// Creates the schedule with PyTorch's defaults.
    pub fn new() -> Self {
        ReduceLrOnPlateau {
            mode: Mode::Min,
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            threshold_mode: ThresholdMode::Rel,
            cooldown: 0,
            min_lr: 0.0,
            eps: 1e-8,
            lr: None,
            best: None,
            bad_epochs: 0,
            cooldown_left: 0,
        }
    }

    /// Sets the direction in which the metric improves.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets the factor on the learning rate.
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Sets the number of bad epochs in a row that cause no reduction.
    pub fn patience(mut self, patience: usize) -> Self {
        self.patience = patience;
        self
    }

    /// Sets the minimum improvement on the best metric, and its interpretation.
    pub fn threshold(mut self, threshold: f64, mode: ThresholdMode) -> Self {
        (self.threshold, self.threshold_mode) = (threshold, mode);
        self
    }

    /// Sets the number of epochs after a reduction that don't count as bad.
    pub fn cooldown(mut self, cooldown: usize) -> Self {
        self.cooldown = cooldown;
        self
    }

    /// Sets the lowest learning rate.
    pub fn min_lr(mut self, min_lr: f64) -> Self {
        self.min_lr = min_lr;
        self
    }

    /// Sets the size up to which a reduction is skipped.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// The best metric so far, or the worst possible value.
    fn best(&self) -> f64 {
        self.best.unwrap_or(match self.mode {
            Mode::Min => f64::INFINITY,
            Mode::Max => f64::NEG_INFINITY,
        })
    }

    fn is_better(&self, metric: f64) -> bool {
        let best = self.best();
        match (self.mode, self.threshold_mode) {
            (Mode::Min, ThresholdMode::Rel) => metric < best * (1.0 - self.threshold),
            (Mode::Min, ThresholdMode::Abs) => metric < best - self.threshold,
            (Mode::Max, ThresholdMode::Rel) => metric > best * (1.0 + self.threshold),
            (Mode::Max, ThresholdMode::Abs) => metric > best + self.threshold,
        }
    }
}

impl ScheduleRule for ReduceLrOnPlateau {
    fn validate(&self, optimizer: &dyn Optimizer) -> Result<()> {
        let field = |name| format!("ReduceLrOnPlateau.{name}");
        check(&field("factor"), self.factor, (0.0..1.0).contains(&self.factor), "of at least 0 and below 1")?;
        check_not_negative(&field("threshold"), self.threshold)?;
        if self.mode == Mode::Min && self.threshold_mode == ThresholdMode::Rel && self.threshold >= 1.0 {
            let message = format!("must be below 1 as a part of a metric to be made smaller, it is {}", self.threshold);
            return Err(Error::config(field("threshold"), message));
        }
        let range = format!("of 0 to lr, which is {}", optimizer.rates().lr);
        check(&field("min_lr"), self.min_lr, (0.0..=optimizer.rates().lr).contains(&self.min_lr), &range)?;
        check_not_negative(&field("eps"), self.eps)
    }

    fn lr(&self, base: f64, _: usize) -> f64 {
        self.lr.unwrap_or(base)
    }

    fn mode(&self) -> Mode {
        self.mode
    }

    fn observe(&mut self, base: f64, metric: f64) {
        if self.is_better(metric) {
            self.best = Some(metric);
            self.bad_epochs = 0;
        } else {
            self.bad_epochs += 1;
        }
        if self.cooldown_left > 0 {
            self.cooldown_left -= 1;
            self.bad_epochs = 0;
        }
        if self.bad_epochs > self.patience {
            let old = self.lr.unwrap_or(base);
            let new = (old * self.factor).max(self.min_lr);
            if old - new > self.eps {
                self.lr = Some(new);
            }
            self.cooldown_left = self.cooldown;
            self.bad_epochs = 0;
        }
    }

    fn state(&self) -> Vec<(&'static str, f64)> {
        let [bad_epochs, cooldown_left] = [self.bad_epochs, self.cooldown_left].map(|count| count as f64);
        let mut state =
            vec![("best", self.best()), ("num_bad_epochs", bad_epochs), ("cooldown_counter", cooldown_left)];
        // Before the first reduction the learning rate is still the optimizer's, which is a setting.
        state.extend(self.lr.map(|lr| ("lr", lr)));
        state
    }

    fn restore(&mut self, state: &BTreeMap<String, f64>) -> Result<(), String> {
        let field = |name: &str, fits: fn(f64) -> bool, expected: &str| match state.get(name) {
            None => Err(format!("\"{name}\" is missing")),
            Some(&value) if fits(value) => Ok(value),
            Some(value) => Err(format!("\"{name}\" is {value}, expected {expected}")),
        };
        let whole = |value: f64| value >= 0.0 && value.fract() == 0.0 && value <= f64::from(u32::MAX);
        let best = field("best", |value| !value.is_nan(), "a number")?;
        let bad_epochs = field("num_bad_epochs", whole, "a whole number of at least 0")?;
        let cooldown_left = field("cooldown_counter", whole, "a whole number of at least 0")?;
        let lr = match state.contains_key("lr") {
            true => Some(field("lr", |value| value.is_finite() && value >= 0.0, "a finite number of at least 0")?),
            false => None,
        };
        self.best = Some(best);
        (self.bad_epochs, self.cooldown_left, self.lr) = (bad_epochs as usize, cooldown_left as usize, lr);
        Ok(())
    }

    fn describe(&self, base: Rates, unit: Unit) -> String {
        let lr = base.lr;
        let better = match self.mode {
            Mode::Min => "smaller",
            Mode::Max => "larger",
        };
        let Self { factor, patience, min_lr, .. } = self;
        format!(
            "plateau: lr {lr}, times {factor} (down to {min_lr}) when the metric is not {better} for more than {}",
            unit.of(*patience)
        )
    }
}

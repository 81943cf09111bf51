//! Schedules: the learning rate and momentum of every step, equal to torch.optim.lr_scheduler's.
//!
//! A [`ScheduleRule`] is one of PyTorch's schedulers with its settings. A [`Schedule`] applies a rule to an optimizer's
//! rates, counted in steps or epochs. All arithmetic is in f64, in PyTorch's closed forms. PyTorch itself multiplies
//! step by step, which rounds differently in the last digits.

mod cosine;
mod decay;
mod named;
mod one_cycle;
mod plateau;

use std::collections::BTreeMap;
use std::fmt;

pub use cosine::{CosineAnnealingLr, Warmup};
pub use decay::{Constant, ExponentialLr, MultiStepLr, PolynomialLr, StepLr};
pub use one_cycle::{Anneal, OneCycleLr};
pub use plateau::{Mode, ReduceLrOnPlateau, ThresholdMode};

use super::optimizer::Optimizer;
use super::rates::Rates;
use crate::error::{Error, Result};

/// The unit that a schedule counts, which is when PyTorch's users call `scheduler.step()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Counts batches.
    Step,
    /// Counts passes over the training images.
    Epoch,
}

impl Unit {
    /// Formats a count with its unit: "1 step", "30 epochs".
    fn of(self, count: usize) -> String {
        format!("{count} {self}{}", if count == 1 { "" } else { "s" })
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unit::Step => "step",
            Unit::Epoch => "epoch",
        })
    }
}

/// A rule that gives the rates from the optimizer's own and a count of steps or epochs. PyTorch's schedulers are rules,
/// and custom types may be.
pub trait ScheduleRule: fmt::Debug + Send + Sync {
    /// Checks every setting against its range. `optimizer` is the optimizer whose rates the rule changes.
    fn validate(&self, optimizer: &dyn Optimizer) -> Result<()>;

    /// The unit that PyTorch's users count with this rule.
    fn unit(&self) -> Unit {
        Unit::Epoch
    }

    /// The learning rate after `count` steps or epochs, given the optimizer's as `base`.
    fn lr(&self, base: f64, count: usize) -> f64;

    /// The momentum after `count` steps or epochs, given the optimizer's as `base`.
    fn momentum(&self, base: f64, count: usize) -> f64 {
        let _ = count;
        base
    }

    /// The direction of the metric passed to [`ScheduleRule::observe`]: better when smaller, or when larger.
    fn mode(&self) -> Mode {
        Mode::Min
    }

    /// Takes the metric of a finished epoch. Only rules that depend on results need it.
    fn observe(&mut self, base: f64, metric: f64) {
        let _ = (base, metric);
    }

    /// The rule's state, derived from the observed metrics, by PyTorch's names. A saved run needs it to resume.
    fn state(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// Restores the [`ScheduleRule::state`] of another run. An error names the invalid field, and the rule stays
    /// unchanged.
    fn restore(&mut self, state: &BTreeMap<String, f64>) -> Result<(), String> {
        let _ = state;
        Ok(())
    }

    /// Describes the rule and its settings in one line.
    fn describe(&self, base: Rates, unit: Unit) -> String;
}

/// A rule applied to an optimizer's learning rate and momentum. It gives the optimizer's own rates. Each parameter
/// group multiplies the learning rate by its factor, and with it the floors `eta_min` and `min_lr`.
/// ```
/// use tilegrad::optim::{CosineAnnealingLr, Schedule, Sgd};
///
/// let sgd = Sgd::new(0.1).momentum(0.9);
/// let schedule = Schedule::new(&sgd, CosineAnnealingLr::new(90))?; // of 90 epochs
/// assert_eq!(schedule.at(0).lr, 0.1);
/// assert!((schedule.at(45).lr - 0.05).abs() < 1e-15);
/// assert_eq!(schedule.to_string(), "cosine: lr 0.1 to 0 over 90 epochs");
/// # Ok::<(), tilegrad::Error>(())
/// ```
#[derive(Debug)]
pub struct Schedule {
    base: Rates,
    unit: Unit,
    rule: Box<dyn ScheduleRule>,
}

impl Schedule {
    /// Applies `rule` to the learning rate and momentum of `optimizer`. An error names the setting that is out of
    /// range.
    pub fn new(optimizer: &dyn Optimizer, rule: impl ScheduleRule + 'static) -> Result<Self> {
        optimizer.validate()?;
        rule.validate(optimizer)?;
        let base = optimizer.rates();
        Ok(Schedule { base, unit: rule.unit(), rule: Box::new(rule) })
    }

    /// Keeps the optimizer's rates at every step.
    pub fn constant(optimizer: &dyn Optimizer) -> Result<Self> {
        Self::new(optimizer, Constant)
    }

    /// Sets the unit to count, in place of the one that PyTorch's users count with this rule.
    pub fn counting(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// The unit that the schedule counts.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// The rates after `count` units; those of the first step are `at(0)`.
    pub fn at(&self, count: usize) -> Rates {
        Rates { lr: self.rule.lr(self.base.lr, count), momentum: self.rule.momentum(self.base.momentum, count) }
    }

    /// The rates of the step after `steps` steps and `epochs` whole epochs of a run.
    pub fn rates(&self, steps: usize, epochs: usize) -> Rates {
        self.at(match self.unit {
            Unit::Step => steps,
            Unit::Epoch => epochs,
        })
    }

    /// The direction of the metric passed to [`Schedule::observe`]: better when smaller, such as a loss, or when
    /// larger.
    pub fn mode(&self) -> Mode {
        self.rule.mode()
    }

    /// Takes the metric of a finished epoch, on which [`ReduceLrOnPlateau`] depends; other rules ignore it.
    pub fn observe(&mut self, metric: f64) {
        self.rule.observe(self.base.lr, metric);
    }

    /// The schedule's state, derived from the observed metrics, by name; empty except for [`ReduceLrOnPlateau`].
    pub fn state(&self) -> Vec<(&'static str, f64)> {
        self.rule.state()
    }

    /// Restores the [`Schedule::state`] of another run. An error names the invalid field, and nothing is changed.
    pub fn restore(&mut self, state: &BTreeMap<String, f64>) -> Result<()> {
        self.rule.restore(state).map_err(|message| Error::config("schedule", message))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rule.describe(self.base, self.unit))
    }
}

/// Checks that `value` is finite and that it `fits`; the message describes the allowed values as `range`.
fn check(field: &str, value: f64, fits: bool, range: &str) -> Result<()> {
    if value.is_finite() && fits {
        return Ok(());
    }
    Err(Error::config(field, format!("must be a finite number {range}, it is {value}")))
}

/// Checks that `value` is a finite number of at least 0.
fn check_not_negative(field: &str, value: f64) -> Result<()> {
    check(field, value, value >= 0.0, "of at least 0")
}

/// Checks that a count is at least 1.
fn check_count(field: &str, value: usize) -> Result<()> {
    if value > 0 {
        return Ok(());
    }
    Err(Error::config(field, "must be at least 1, it is 0"))
}

//! Schedules: the learning rate and momentum of every step, equal to torch.optim.lr_scheduler's.
//!
//! A [`ScheduleRule`] is one of PyTorch's schedulers with its settings; a [`Schedule`] is a rule over an optimizer's rates,
//! counted in steps or in epochs. All arithmetic is in f64, in PyTorch's closed forms; PyTorch itself multiplies step
//! by step, which rounds differently in the last digits.

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

/// What a schedule counts: when PyTorch's users call `scheduler.step()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// After every batch.
    Step,
    /// After every pass over the training images.
    Epoch,
}

impl Unit {
    /// "1 step", "30 epochs".
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

/// How rates follow from the optimizer's own and a count of steps or epochs; PyTorch's schedulers are rules, and so may
/// be types of yours.
pub trait ScheduleRule: fmt::Debug + Send + Sync {
    /// Checks every setting against its range; `optimizer` is what the rates are for.
    fn validate(&self, optimizer: &dyn Optimizer) -> Result<()>;

    /// What PyTorch's users count with this rule.
    fn unit(&self) -> Unit {
        Unit::Epoch
    }

    /// The learning rate after `count` steps or epochs, where the optimizer's is `base`.
    fn lr(&self, base: f64, count: usize) -> f64;

    /// The momentum after `count` steps or epochs, where the optimizer's is `base`.
    fn momentum(&self, base: f64, count: usize) -> f64 {
        let _ = count;
        base
    }

    /// Whether [`ScheduleRule::observe`] takes something that is better when smaller, or when larger.
    fn mode(&self) -> Mode {
        Mode::Min
    }

    /// Takes the metric of an epoch that is done; only a rule that looks at results needs it.
    fn observe(&mut self, base: f64, metric: f64) {
        let _ = (base, metric);
    }

    /// What the rule remembers of the metrics that it has observed, by PyTorch's names: what a saved run needs to go on.
    fn state(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// Takes what [`ScheduleRule::state`] of another run gave, or says which field cannot be and changes nothing.
    fn restore(&mut self, state: &BTreeMap<String, f64>) -> Result<(), String> {
        let _ = state;
        Ok(())
    }

    /// The rule and its settings in one line.
    fn describe(&self, base: Rates, unit: Unit) -> String;
}

/// A rule over an optimizer's learning rate and momentum. What it gives are the optimizer's own rates; each parameter
/// group multiplies the learning rate by its factor, and with it the floors `eta_min` and `min_lr`.
///
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
    /// `rule` over the learning rate and momentum of `optimizer`; an error names the setting that is out of its range.
    pub fn new(optimizer: &dyn Optimizer, rule: impl ScheduleRule + 'static) -> Result<Self> {
        optimizer.validate()?;
        rule.validate(optimizer)?;
        let base = optimizer.rates();
        Ok(Schedule { base, unit: rule.unit(), rule: Box::new(rule) })
    }

    /// The optimizer's rates at every step.
    pub fn constant(optimizer: &dyn Optimizer) -> Result<Self> {
        Self::new(optimizer, Constant)
    }

    /// Counts in `unit`, in place of what PyTorch's users count with this rule.
    pub fn counting(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// What the schedule counts.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// The rates once `count` of the schedule's unit are done: those of the first step are `at(0)`.
    pub fn at(&self, count: usize) -> Rates {
        Rates { lr: self.rule.lr(self.base.lr, count), momentum: self.rule.momentum(self.base.momentum, count) }
    }

    /// The rates of the step that comes after so many steps and so many whole epochs of a run.
    pub fn rates(&self, steps: usize, epochs: usize) -> Rates {
        self.at(match self.unit {
            Unit::Step => steps,
            Unit::Epoch => epochs,
        })
    }

    /// Whether [`Schedule::observe`] takes something that is better when smaller, such as a loss, or when larger.
    pub fn mode(&self) -> Mode {
        self.rule.mode()
    }

    /// Takes the metric of an epoch that is done, on which [`ReduceLrOnPlateau`] decides; others don't look at it.
    pub fn observe(&mut self, metric: f64) {
        self.rule.observe(self.base.lr, metric);
    }

    /// What the schedule remembers of the metrics observed, by name; empty for all but [`ReduceLrOnPlateau`].
    pub fn state(&self) -> Vec<(&'static str, f64)> {
        self.rule.state()
    }

    /// Goes on from the [`Schedule::state`] of another run; the error says which field cannot be, and nothing is changed.
    pub fn restore(&mut self, state: &BTreeMap<String, f64>) -> Result<()> {
        self.rule.restore(state).map_err(|message| Error::config("schedule", message))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rule.describe(self.base, self.unit))
    }
}

/// Checks that `value` is a finite number that `fits` what the message calls `range`.
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

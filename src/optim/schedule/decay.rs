//! Rules that multiply the learning rate by a function of the count: constant, steps, powers and polynomials.

use super::{ScheduleRule, Unit, check_count, check_not_negative};
use crate::error::{Error, Result};
use crate::optim::optimizer::Optimizer;
use crate::optim::rates::Rates;

/// Constant rates, those of the optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Constant;

impl ScheduleRule for Constant {
    fn validate(&self, _: &dyn Optimizer) -> Result<()> {
        Ok(())
    }

    fn lr(&self, base: f64, _: usize) -> f64 {
        base
    }

    fn describe(&self, base: Rates, _: Unit) -> String {
        format!("constant: lr {}", base.lr)
    }
}

/// torch.optim.lr_scheduler.StepLR: `lr = base * gamma^floor(count / step_size)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepLr {
    /// Number of counts with the same learning rate.
    pub step_size: usize,
    /// Factor on the learning rate.
    pub gamma: f64,
}

impl StepLr {
    /// Creates a schedule that divides by ten every `step_size` counts.
    pub fn new(step_size: usize) -> Self {
        StepLr { step_size, gamma: 0.1 }
    }

    /// Sets the factor on the learning rate.
    pub fn gamma(mut self, gamma: f64) -> Self {
        self.gamma = gamma;
        self
    }
}

impl ScheduleRule for StepLr {
    fn validate(&self, _: &dyn Optimizer) -> Result<()> {
        check_count("StepLr.step_size", self.step_size)?;
        check_not_negative("StepLr.gamma", self.gamma)
    }

    fn lr(&self, base: f64, count: usize) -> f64 {
        base * power(self.gamma, count / self.step_size)
    }

    fn describe(&self, base: Rates, unit: Unit) -> String {
        format!("step: lr {}, times {} every {}", base.lr, self.gamma, unit.of(self.step_size))
    }
}

/// torch.optim.lr_scheduler.MultiStepLR: `lr = base * gamma^(number of milestones at or below count)`.
#[derive(Clone, Debug, PartialEq)]
pub struct MultiStepLr {
    /// Counts at which the learning rate decreases, ascending.
    pub milestones: Vec<usize>,
    /// Factor on the learning rate at each milestone.
    pub gamma: f64,
}

impl MultiStepLr {
    /// Creates a schedule that divides by ten at each of `milestones`.
    pub fn new(milestones: impl Into<Vec<usize>>) -> Self {
        MultiStepLr { milestones: milestones.into(), gamma: 0.1 }
    }

    /// Sets the factor on the learning rate.
    pub fn gamma(mut self, gamma: f64) -> Self {
        self.gamma = gamma;
        self
    }
}

impl ScheduleRule for MultiStepLr {
    fn validate(&self, _: &dyn Optimizer) -> Result<()> {
        let field = "MultiStepLr.milestones";
        if self.milestones.is_empty() {
            return Err(Error::config(field, "must hold at least one count; without any, the rule is Constant"));
        }
        if !self.milestones.is_sorted_by(|a, b| a < b) {
            let message = format!("must ascend, each above the one before it, they are {:?}", self.milestones);
            return Err(Error::config(field, message));
        }
        check_not_negative("MultiStepLr.gamma", self.gamma)
    }

    fn lr(&self, base: f64, count: usize) -> f64 {
        base * power(self.gamma, self.milestones.partition_point(|&milestone| milestone <= count))
    }

    fn describe(&self, base: Rates, unit: Unit) -> String {
        let milestones: Vec<String> = self.milestones.iter().map(usize::to_string).collect();
        format!("multistep: lr {}, times {} from {unit} {} on", base.lr, self.gamma, milestones.join(", "))
    }
}

/// torch.optim.lr_scheduler.ExponentialLR: `lr = base * gamma^count`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExponentialLr {
    /// Factor on the learning rate at every count.
    pub gamma: f64,
}

impl ExponentialLr {
    /// Creates a schedule that multiplies the learning rate by `gamma` at every count.
    pub fn new(gamma: f64) -> Self {
        ExponentialLr { gamma }
    }
}

impl ScheduleRule for ExponentialLr {
    fn validate(&self, _: &dyn Optimizer) -> Result<()> {
        check_not_negative("ExponentialLr.gamma", self.gamma)
    }

    fn lr(&self, base: f64, count: usize) -> f64 {
        base * power(self.gamma, count)
    }

    fn describe(&self, base: Rates, unit: Unit) -> String {
        format!("exponential: lr {}, times {} every {unit}", base.lr, self.gamma)
    }
}

/// torch.optim.lr_scheduler.PolynomialLR: `lr = base * (1 - min(count, total_iters) / total_iters)^power`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PolynomialLr {
    /// Count at which the learning rate reaches 0.
    pub total_iters: usize,
    /// Exponent; 1 for a linear decay.
    pub power: f64,
}

impl PolynomialLr {
    /// Creates a linear decay to 0 at `total_iters` counts.
    pub fn new(total_iters: usize) -> Self {
        PolynomialLr { total_iters, power: 1.0 }
    }

    /// Sets the exponent.
    pub fn power(mut self, power: f64) -> Self {
        self.power = power;
        self
    }
}

impl ScheduleRule for PolynomialLr {
    fn validate(&self, _: &dyn Optimizer) -> Result<()> {
        check_count("PolynomialLr.total_iters", self.total_iters)?;
        check_not_negative("PolynomialLr.power", self.power)
    }

    fn lr(&self, base: f64, count: usize) -> f64 {
        let done = count.min(self.total_iters) as f64 / self.total_iters as f64;
        base * (1.0 - done).powf(self.power)
    }

    fn describe(&self, base: Rates, unit: Unit) -> String {
        format!("polynomial: lr {} to 0 over {}, power {}", base.lr, unit.of(self.total_iters), self.power)
    }
}

/// `gamma^count`. `powi` would need a count that fits 32 bits.
fn power(gamma: f64, count: usize) -> f64 {
    gamma.powf(count as f64)
}

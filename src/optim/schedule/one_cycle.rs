//! One cycle: the learning rate rises and then falls far below its start, while the momentum falls and rises.

use std::f64::consts::PI;

use super::{ScheduleRule, Unit, check, check_count, check_not_negative};
use crate::error::{Error, Result};
use crate::optim::optimizer::Optimizer;
use crate::optim::rates::Rates;

/// The curve between two rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anneal {
    /// Half a wave of the cosine: `end + (start - end) / 2 * (1 + cos(pi * part))`.
    Cos,
    /// A straight line: `start + (end - start) * part`.
    Linear,
}

impl Anneal {
    fn at(self, start: f64, end: f64, part: f64) -> f64 {
        match self {
            Anneal::Cos => end + (start - end) / 2.0 * ((PI * part).cos() + 1.0),
            Anneal::Linear => (end - start) * part + start,
        }
    }
}

/// torch.optim.lr_scheduler.OneCycleLR, with the optimizer's learning rate as `max_lr`.
///
/// The learning rate rises from `max_lr / div_factor` to `max_lr` and falls to `max_lr / div_factor /
/// final_div_factor`. Meanwhile the momentum falls from `max_momentum` to `base_momentum` and rises again. With
/// `three_phase` the learning rate first falls as it rose, and then to its lowest value. The schedule counts steps.
/// After `total_steps` it stays constant (PyTorch raises an error). Source: Smith and Topin, "Super-convergence", 2018.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OneCycleLr {
    /// Number of steps of the whole run.
    pub total_steps: usize,
    /// Fraction of the steps during which the learning rate rises, 0 to 1.
    pub pct_start: f64,
    /// The curve between two rates.
    pub anneal_strategy: Anneal,
    /// True if the momentum changes too; the optimizer's momentum is then ignored.
    pub cycle_momentum: bool,
    /// The momentum at the highest learning rate.
    pub base_momentum: f64,
    /// The momentum at the lowest learning rates.
    pub max_momentum: f64,
    /// Ratio of the highest learning rate to the first.
    pub div_factor: f64,
    /// Ratio of the first learning rate to the last.
    pub final_div_factor: f64,
    /// True for three phases in place of two.
    pub three_phase: bool,
}

impl OneCycleLr {
    /// Creates the schedule with PyTorch's defaults over `total_steps` steps.
    pub fn new(total_steps: usize) -> Self {
        OneCycleLr {
            total_steps,
            pct_start: 0.3,
            anneal_strategy: Anneal::Cos,
            cycle_momentum: true,
            base_momentum: 0.85,
            max_momentum: 0.95,
            div_factor: 25.0,
            final_div_factor: 1e4,
            three_phase: false,
        }
    }

    /// Sets the fraction of the steps during which the learning rate rises.
    pub fn pct_start(mut self, pct_start: f64) -> Self {
        self.pct_start = pct_start;
        self
    }

    /// Sets the curve between two rates.
    pub fn anneal_strategy(mut self, anneal_strategy: Anneal) -> Self {
        self.anneal_strategy = anneal_strategy;
        self
    }

    /// Enables or disables the cycle of the momentum.
    pub fn cycle_momentum(mut self, cycle_momentum: bool) -> Self {
        self.cycle_momentum = cycle_momentum;
        self
    }

    /// Sets the momentum at the highest and at the lowest learning rates.
    pub fn momentum(mut self, base_momentum: f64, max_momentum: f64) -> Self {
        (self.base_momentum, self.max_momentum) = (base_momentum, max_momentum);
        self
    }

    /// Sets the ratio of the highest learning rate to the first.
    pub fn div_factor(mut self, div_factor: f64) -> Self {
        self.div_factor = div_factor;
        self
    }

    /// Sets the ratio of the first learning rate to the last.
    pub fn final_div_factor(mut self, final_div_factor: f64) -> Self {
        self.final_div_factor = final_div_factor;
        self
    }

    /// Selects three phases in place of two.
    pub fn three_phase(mut self, three_phase: bool) -> Self {
        self.three_phase = three_phase;
        self
    }

    /// The phase of the step after `count` others, and the fraction of the phase that is done.
    fn phase(&self, count: usize) -> (usize, f64) {
        let (rise, last) = (self.pct_start * self.total_steps as f64, self.total_steps as f64 - 1.0);
        let ends: &[f64] = if self.three_phase { &[rise - 1.0, 2.0 * rise - 2.0, last] } else { &[rise - 1.0, last] };
        let step = (count as f64).min(last);
        let phase = ends.iter().position(|&end| step <= end).unwrap_or(ends.len() - 1);
        let began = if phase == 0 { 0.0 } else { ends[phase - 1] };
        // A phase of length 0 is at its end (PyTorch divides by zero there).
        let part = if ends[phase] == began { 1.0 } else { (step - began) / (ends[phase] - began) };
        (phase, part)
    }

    /// The rate at `count`, if the phases lead from each of `rates` to the next.
    fn along(&self, rates: &[f64], count: usize) -> f64 {
        let (phase, part) = self.phase(count);
        self.anneal_strategy.at(rates[phase], rates[phase + 1], part)
    }
}

impl ScheduleRule for OneCycleLr {
    fn validate(&self, optimizer: &dyn Optimizer) -> Result<()> {
        check_count("OneCycleLr.total_steps", self.total_steps)?;
        check("OneCycleLr.pct_start", self.pct_start, (0.0..=1.0).contains(&self.pct_start), "of 0 to 1")?;
        if self.three_phase && self.pct_start > 0.5 {
            let message =
                format!("must be at most 0.5 with three_phase, which rises and falls by it, it is {}", self.pct_start);
            return Err(Error::config("OneCycleLr.pct_start", message));
        }
        check("OneCycleLr.div_factor", self.div_factor, self.div_factor > 0.0, "above 0")?;
        check("OneCycleLr.final_div_factor", self.final_div_factor, self.final_div_factor > 0.0, "above 0")?;
        if !self.cycle_momentum {
            return Ok(());
        }
        check_not_negative("OneCycleLr.max_momentum", self.max_momentum)?;
        let fits = (0.0..=self.max_momentum).contains(&self.base_momentum);
        let range = format!("of 0 to max_momentum, which is {}", self.max_momentum);
        check("OneCycleLr.base_momentum", self.base_momentum, fits, &range)?;
        if optimizer.needs_momentum() && self.base_momentum == 0.0 {
            let message = "must be above 0 with nesterov; or set cycle_momentum to false";
            return Err(Error::config("OneCycleLr.base_momentum", message));
        }
        Ok(())
    }

    fn unit(&self) -> Unit {
        Unit::Step
    }

    fn lr(&self, base: f64, count: usize) -> f64 {
        let first = base / self.div_factor;
        let lowest = first / self.final_div_factor;
        let rates: &[f64] = if self.three_phase { &[first, base, first, lowest] } else { &[first, base, lowest] };
        self.along(rates, count)
    }

    fn momentum(&self, base: f64, count: usize) -> f64 {
        if !self.cycle_momentum {
            return base;
        }
        let (low, high) = (self.base_momentum, self.max_momentum);
        self.along(&[high, low, high, high], count)
    }

    fn describe(&self, base: Rates, unit: Unit) -> String {
        let curve = match self.anneal_strategy {
            Anneal::Cos => "cosines",
            Anneal::Linear => "straight lines",
        };
        let phases = if self.three_phase { " in three phases" } else { "" };
        let momentum = match self.cycle_momentum {
            true => format!(", momentum {} to {} and back", self.max_momentum, self.base_momentum),
            false => String::new(),
        };
        format!(
            "onecycle: lr from 1/{} of {lr} up to {lr} over {}% of {}, then down to 1/{}{phases} by {curve}{momentum}",
            self.div_factor,
            self.pct_start * 100.0,
            unit.of(self.total_steps),
            self.div_factor * self.final_div_factor,
            lr = base.lr
        )
    }
}

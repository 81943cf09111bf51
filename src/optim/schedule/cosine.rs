//! Cosine annealing, with or without a linear warm-up.

use std::f64::consts::PI;

use super::{ScheduleRule, Unit, check, check_count, check_not_negative};
use crate::error::Result;
use crate::optim::optimizer::Optimizer;
use crate::optim::rates::Rates;

/// torch.optim.lr_scheduler.CosineAnnealingLR: `lr = eta_min + (base - eta_min) * (1 + cos(pi * count / t_max)) / 2`.
///
/// Beyond `t_max` the learning rate rises again, as in PyTorch. With a warm-up the rule is PyTorch's
/// `SequentialLR([LinearLR(start_factor, total_iters), CosineAnnealingLR(t_max)], milestones=[total_iters])`, so a
/// whole run has `total_iters + t_max` counts. Source: Loshchilov and Hutter, "SGDR", ICLR 2017, without the restarts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CosineAnnealingLr {
    /// Number of counts from the optimizer's learning rate to the lowest one.
    pub t_max: usize,
    /// The lowest learning rate.
    pub eta_min: f64,
    /// Linear warm-up before the cosine.
    pub warmup: Option<Warmup>,
}

/// torch.optim.lr_scheduler.LinearLR with `end_factor` 1: a linear increase to the optimizer's learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warmup {
    /// Number of counts until the optimizer's learning rate is reached.
    pub total_iters: usize,
    /// Ratio of the first learning rate to the optimizer's, above 0 and at most 1.
    pub start_factor: f64,
}

impl CosineAnnealingLr {
    /// Creates a schedule that decays to 0 over `t_max` counts.
    pub fn new(t_max: usize) -> Self {
        CosineAnnealingLr { t_max, eta_min: 0.0, warmup: None }
    }

    /// Sets the lowest learning rate.
    pub fn eta_min(mut self, eta_min: f64) -> Self {
        self.eta_min = eta_min;
        self
    }

    /// Adds a warm-up of `total_iters` counts, over which the learning rate rises from `start_factor` times its value.
    pub fn warmup(mut self, total_iters: usize, start_factor: f64) -> Self {
        self.warmup = Some(Warmup { total_iters, start_factor });
        self
    }
}

impl ScheduleRule for CosineAnnealingLr {
    fn validate(&self, _: &dyn Optimizer) -> Result<()> {
        check_count("CosineAnnealingLr.t_max", self.t_max)?;
        check_not_negative("CosineAnnealingLr.eta_min", self.eta_min)?;
        if let Some(Warmup { total_iters, start_factor }) = self.warmup {
            check_count("Warmup.total_iters", total_iters)?;
            let fits = start_factor > 0.0 && start_factor <= 1.0;
            check("Warmup.start_factor", start_factor, fits, "above 0 and at most 1")?;
        }
        Ok(())
    }

    fn lr(&self, base: f64, count: usize) -> f64 {
        let warm = self.warmup.map_or(0, |warmup| warmup.total_iters);
        match self.warmup {
            Some(Warmup { total_iters, start_factor }) if count < total_iters => {
                base * (start_factor + (1.0 - start_factor) * count as f64 / total_iters as f64)
            }
            _ => {
                let angle = PI * (count - warm) as f64 / self.t_max as f64;
                self.eta_min + (base - self.eta_min) * (1.0 + angle.cos()) / 2.0
            }
        }
    }

    fn describe(&self, base: Rates, unit: Unit) -> String {
        let down = format!("lr {} to {} over {}", base.lr, self.eta_min, unit.of(self.t_max));
        match self.warmup {
            None => format!("cosine: {down}"),
            Some(Warmup { total_iters, start_factor }) => {
                format!(
                    "cosine-warmup: lr from {start_factor} of {} up over {}, then {down}",
                    base.lr,
                    unit.of(total_iters)
                )
            }
        }
    }
}

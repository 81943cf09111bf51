//! Schedules by name, as on a command line, with settings that suit the length of a run.

use super::{
    CosineAnnealingLr, ExponentialLr, MultiStepLr, OneCycleLr, PolynomialLr, ReduceLrOnPlateau, Schedule, StepLr, Unit,
    check_count,
};
use crate::error::{Error, Result};
use crate::optim::optimizer::Optimizer;

/// Factor on the learning rate of an exponential schedule over a whole run.
const EXPONENTIAL: f64 = 0.01;
/// Reciprocal of the part of a run's steps that a warm-up takes.
const WARMUP: usize = 10;
/// Ratio of the first learning rate of a warm-up to the optimizer's.
const WARMUP_START: f64 = 0.01;

impl Schedule {
    /// The names that [`Schedule::named`] accepts.
    pub const NAMES: [&'static str; 9] = [
        "constant",
        "step",
        "multistep",
        "exponential",
        "cosine",
        "cosine-warmup",
        "onecycle",
        "plateau",
        "polynomial",
    ];

    /// Creates the schedule `name`, fitted to a run of `epochs` epochs of `steps_per_epoch` steps.
    ///
    /// - `step`: a tenth after each third of the epochs; `multistep`: a tenth after half and three quarters of them
    /// - `exponential`: a hundredth over the run, epoch by epoch
    /// - `cosine`, `polynomial`: to 0 over the run, epoch by epoch, by a cosine or linearly
    /// - `cosine-warmup`: from a hundredth of the learning rate up to it over a tenth of the steps, then the cosine,
    ///   step by step
    /// - `onecycle`: PyTorch's defaults, step by step; the momentum stays 0 if the optimizer's is
    /// - `plateau`: a tenth once the metric has not improved for more than a tenth of the epochs (1 to 10 of them)
    pub fn named(name: &str, optimizer: &dyn Optimizer, epochs: usize, steps_per_epoch: usize) -> Result<Self> {
        check_count("epochs", epochs)?;
        check_count("steps_per_epoch", steps_per_epoch)?;
        let steps = epochs.saturating_mul(steps_per_epoch);
        let half = (epochs / 2).max(1);
        match name {
            "constant" => Self::constant(optimizer),
            "step" => Self::new(optimizer, StepLr::new(epochs.div_ceil(3))),
            "multistep" => Self::new(optimizer, MultiStepLr::new([half, (epochs - epochs / 4).max(half + 1)])),
            "exponential" => Self::new(optimizer, ExponentialLr::new(EXPONENTIAL.powf(1.0 / epochs as f64))),
            "cosine" => Self::new(optimizer, CosineAnnealingLr::new(epochs)),
            "cosine-warmup" => {
                let warm = steps / WARMUP;
                let cosine = CosineAnnealingLr::new(steps - warm);
                let rule = if warm > 0 { cosine.warmup(warm, WARMUP_START) } else { cosine };
                Ok(Self::new(optimizer, rule)?.counting(Unit::Step))
            }
            "onecycle" => Self::new(optimizer, OneCycleLr::new(steps).cycle_momentum(optimizer.rates().momentum > 0.0)),
            "plateau" => Self::new(optimizer, ReduceLrOnPlateau::new().patience((epochs / 10).clamp(1, 10))),
            "polynomial" => Self::new(optimizer, PolynomialLr::new(epochs)),
            _ => {
                Err(Error::config("schedule", format!("\"{name}\" is not known; there are {}", Self::NAMES.join(", "))))
            }
        }
    }
}

//! Schedules by a word, as a command line takes them, with settings that suit the length of a run.

use super::{
    CosineAnnealingLr, ExponentialLr, MultiStepLr, OneCycleLr, PolynomialLr, ReduceLrOnPlateau, Schedule, StepLr, Unit,
    check_count,
};
use crate::error::{Error, Result};
use crate::optim::optimizer::Optimizer;

/// What the learning rate of an exponential schedule is multiplied by over a whole run.
const EXPONENTIAL: f64 = 0.01;
/// The part of a run that a warm-up takes: one in so many steps ..
const WARMUP: usize = 10;
/// .. and what of the learning rate it begins with.
const WARMUP_START: f64 = 0.01;

impl Schedule {
    /// The words that [`Schedule::named`] knows.
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

    /// The schedule called `name`, fitted to a run of `epochs` epochs of `steps_per_epoch` steps.
    ///
    /// - `step`: a tenth after each third of the epochs; `multistep`: a tenth after half and three quarters of them
    /// - `exponential`: a hundredth over the run, epoch by epoch
    /// - `cosine`, `polynomial`: to 0 over the run, epoch by epoch, by a cosine or a straight line
    /// - `cosine-warmup`: a tenth of the steps from a hundredth of the learning rate up to it, then the cosine, step by step
    /// - `onecycle`: PyTorch's defaults, step by step; the momentum stays 0 if the optimizer's is
    /// - `plateau`: a tenth once the metric has not got better for more than a tenth of the epochs (1 to 10 of them)
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

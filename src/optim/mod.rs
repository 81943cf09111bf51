//! Optimizers: settings on the host, one in-place update a parameter group on the tape; and schedules of their rates.

mod schedule;
mod sgd;

pub use schedule::{
    Anneal, Constant, CosineAnnealingLr, ExponentialLr, Mode, MultiStepLr, OneCycleLr, PolynomialLr, Rates,
    ReduceLrOnPlateau, Schedule, ScheduleRule, StepLr, ThresholdMode, Unit, Warmup,
};
pub use sgd::{ACCUMULATE, ParamGroup, Sgd};

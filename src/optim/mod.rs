//! Optimizers with settings on the host and one in-place update per parameter group on the tape, and schedules of their
//! rates.

mod optimizer;
mod rates;
mod schedule;
mod sgd;

pub use crate::ops::count_updates::UPDATES;
pub use optimizer::{ACCUMULATE, Clipping, Optimizer, ParamGroup, Update};
pub use rates::Rates;
pub use schedule::{
    Anneal, Constant, CosineAnnealingLr, ExponentialLr, Mode, MultiStepLr, OneCycleLr, PolynomialLr, ReduceLrOnPlateau,
    Schedule, ScheduleRule, StepLr, ThresholdMode, Unit, Warmup,
};
pub use sgd::Sgd;

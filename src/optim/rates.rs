//! The rates that a schedule changes from step to step.

/// Learning rate and momentum of a step, before a parameter group's factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// The learning rate.
    pub lr: f64,
    /// The momentum.
    pub momentum: f64,
}

//! Optimizers: settings on the host, one in-place update a parameter group on the tape.

mod sgd;

pub use sgd::{ACCUMULATE, ParamGroup, Sgd};

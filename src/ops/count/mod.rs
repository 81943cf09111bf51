//! Counts over many batches: losses, correct predictions, the confusion matrix.

pub mod confusion;
pub mod metrics;

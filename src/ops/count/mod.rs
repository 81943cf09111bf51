//! What is counted over many batches: losses, right predictions, the confusion matrix.

pub mod confusion;
pub mod metrics;

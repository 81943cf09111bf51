//! Losses and their parts.

pub mod log_softmax;
pub mod mse_loss;
pub mod nll_loss;
pub(crate) mod rows;
pub mod softmax_cross_entropy;

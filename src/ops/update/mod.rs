//! In-place work of the optimizer: gradient accumulation, clipping, SGD.

pub mod accumulate_grad;
pub mod clip_grad_norm;
pub mod count_updates;
pub mod sgd;

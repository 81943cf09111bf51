//! Operations that only plans create, by the rewrite rules in `plan/fuse.rs`; no tape has them.

pub mod activation_in_place;
pub mod batch_norm2d_from_partials;
pub mod conv2d_statistics;
pub mod epilogue;
pub mod max_pool2d_grad_relu;
pub mod softmax_cross_entropy_both;

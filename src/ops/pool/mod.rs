//! Pooling over windows.

pub mod adaptive_avg_pool2d;
pub mod avg_pool2d;
pub mod max_pool2d;

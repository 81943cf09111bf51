//! Operations that only a plan makes, by the rules of [`crate::plan::fuse`]; no tape has them.

pub mod conv2d_statistics;
pub mod epilogue;

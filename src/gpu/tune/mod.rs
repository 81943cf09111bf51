//! Which of several kernels is fastest on this device, and whether it is right.

pub(super) mod judge;
mod trial;
pub(in crate::gpu) mod tuner;
mod winners;

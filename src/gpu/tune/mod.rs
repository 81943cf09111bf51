//! Which of several kernels is fastest on this device.

mod trial;
pub(in crate::gpu) mod tuner;
mod winners;

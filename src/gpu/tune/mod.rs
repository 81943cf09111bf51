//! Selection of the fastest correct kernel on this device.

pub(super) mod judge;
mod trial;
pub(in crate::gpu) mod tuner;
mod winners;

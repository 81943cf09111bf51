//! Measurements on a device: its peak rates, and the times of a step and its dispatches.

pub(in crate::gpu) mod facts;
pub(in crate::gpu) mod peak;
pub(in crate::gpu) mod profile;
pub(in crate::gpu) mod profiler;
pub(in crate::gpu) mod timestamps;
pub(in crate::gpu) mod timing;

//! What is measured on a device: what it can do, how long a step and its dispatches take.

pub(in crate::gpu) mod facts;
pub(in crate::gpu) mod peak;
pub(in crate::gpu) mod profile;
pub(in crate::gpu) mod profiler;
pub(in crate::gpu) mod timestamps;
pub(in crate::gpu) mod timing;

//! The device layer, the only code that names wgpu or naga. It runs plans and does not know what a convolution is for.
//!
//! [`Device`] opens an adapter and turns wgpu's errors into typed ones. `pipelines` links and reflects WGSL. [`Store`]
//! keeps parameters, states and data sets. [`Session`] runs a [`crate::plan::Plan`] over a store. [`Profile`] shows the
//! time of a step by dispatch, and [`Peak`] the device's peak rates. [`Tuner`] finds the fastest of several kernels.

mod adapter;
mod cache;
mod device;
mod failure;
mod mapping;
mod measure;
mod memory;
mod pipelines;
mod readback;
mod ring;
mod session;
mod store;
mod tune;
mod units;

pub use device::{Counters, Device, DeviceOptions};
pub use measure::peak::Peak;
pub use measure::profile::{Group, Profile, Timing};
pub use measure::timing::{Clock, Elapsed};
pub use pipelines::{Access, Reflection, reflect};
pub use readback::Readback;
pub use session::{Session, SessionOptions};
pub use store::Store;
pub use tune::judge::{Specimen, Tolerance, Verdict};
pub use tune::tuner::{TuneEvent, Tuner, Tuning};
pub use units::{KnownDevice, known_device, known_devices};

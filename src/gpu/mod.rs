//! The device: the only code that names wgpu or naga. It runs plans and does not know what a convolution is for.
//!
//! [`Device`] picks an adapter and turns wgpu's errors into typed ones; `kernel` links and reflects WGSL; [`Store`] keeps
//! parameters, states and data sets; [`Session`] runs a [`crate::plan::Plan`] over a store; [`Profile`] says
//! where the time of a step goes, [`Peak`] what the device can do at best; [`Tuner`] finds out which of several kernels is fastest.

mod cache;
mod device;
mod facts;
mod files;
mod kernel;
mod memory;
mod peak;
mod profile;
mod profiler;
mod ring;
mod session;
mod store;
mod timestamps;
mod timing;
mod trial;
mod tuner;
mod winners;

pub use device::{Counters, Device, DeviceOptions};
pub(crate) use files::write_whole;
pub use kernel::{Access, Reflection, reflect};
pub use peak::Peak;
pub use profile::{Group, Profile, Timing};
pub use session::{Session, SessionOptions};
pub use store::Store;
pub use timing::{Clock, Elapsed};
pub use tuner::{TuneEvent, Tuner, Tuning};

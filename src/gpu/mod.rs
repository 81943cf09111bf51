//! The device: the only code that names wgpu or naga. It runs plans and does not know what a convolution is for.
//!
//! [`Device`] picks an adapter and turns wgpu's errors into typed ones; `kernel` links and reflects WGSL; [`Store`] keeps
//! parameters, states and data sets; [`Session`] runs a [`crate::plan::Plan`] over a store; [`Peak`] is what a device can do at best.

mod device;
mod kernel;
mod memory;
mod peak;
mod ring;
mod session;
mod store;
mod timestamps;

pub use device::{Counters, Device, DeviceOptions};
pub use kernel::{Access, Reflection, reflect};
pub use peak::Peak;
pub use session::{Session, SessionOptions};
pub use store::Store;

//! From a node's tensors to dispatches, as plain data: what a device is, kernels as WGSL files, dispatches, which of several
//! kernels to take.

mod caps;
mod choices;
mod dispatch;
mod lowering;
mod params;
mod pieces;
mod wgsl;

pub use caps::{Caps, DeviceClass};
pub use choices::{Choices, Chosen, Key, candidates};
pub use dispatch::{Binding, Dispatch, Extent, FlatBuffer, Operand, Serial};
pub use lowering::Lowering;
pub use params::{Field, Params, Uniform};
#[doc(hidden)]
pub use params::{fields, padded};
pub use pieces::Pieces;
pub(crate) use pieces::tensor_pieces;
pub(crate) use wgsl::source;
pub use wgsl::{Constant, Kernel, Source};

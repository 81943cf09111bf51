//! Lowering from a node's tensors to dispatches, as plain data: device capabilities, kernels as WGSL files, dispatches,
//! and the choice among candidates.

mod candidate;
mod caps;
mod choices;
mod dispatch;
mod epilogue;
mod lowering;
mod params;
mod pieces;
mod wgsl;

pub use candidate::{Candidate, Make, Needs, in_order};
pub(crate) use caps::MULTIPLY_ADDS_PER_BYTE;
pub use caps::{Caps, DeviceClass};
pub use choices::{Choice, Choices, Key};
pub use dispatch::{Binding, Dispatch, Extent, FlatBuffer, Operand, Serial};
pub use epilogue::{Epilogue, Steps};
pub use lowering::{Lowering, Tensors};
pub use params::{Field, Params, Uniform};
#[doc(hidden)]
pub use params::{fields, padded};
pub use pieces::Pieces;
pub(crate) use pieces::{over_a_binding, tensor_pieces, too_large};
pub(crate) use wgsl::source;
pub use wgsl::{HeaderConstant, Kernel, Source};

//! What a run shows of itself: TensorBoard's event files, sheets of pictures, confusion matrices, and curves with the
//! feature `curves`.
//!
//! Plain data in, files or PNG bytes out: nothing here knows a device, and nothing changes a run.

mod colour;
pub mod confusion;
#[cfg(feature = "curves")]
pub mod curves;
mod picture;
pub mod sheet;
pub mod tensorboard;

pub use picture::Picture;

//! What a run shows of itself: TensorBoard's event files, sheets of pictures, confusion matrices.
//!
//! Plain data in, files or PNG bytes out: nothing here knows a device, and nothing changes a run.

mod colour;
pub mod confusion;
mod picture;
pub mod sheet;
pub mod tensorboard;

pub use picture::Picture;

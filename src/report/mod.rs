//! Reports of a run: TensorBoard event files, sheets of pictures and of batches, predictions by image, confusion matrices,
//! reports by class, and curves with the feature `curves`.
//!
//! They take plain data and produce files or PNG bytes. They use no device and do not affect a run.

pub mod batch;
mod class_report;
mod colour;
pub mod confusion;
#[cfg(feature = "curves")]
pub mod curves;
mod fonts;
mod names;
mod picture;
pub mod predictions;
pub mod sheet;
pub mod tensorboard;

pub use class_report::{Averages, ClassReport, ReportedClass};
pub use picture::Picture;
pub use predictions::Prediction;

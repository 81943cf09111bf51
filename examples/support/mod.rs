//! What the training examples share: their command line, the choice of a device, progress, and the files of a run.

mod curves;
mod options;
mod run;

pub use options::Options;
pub use run::{Problem, run};

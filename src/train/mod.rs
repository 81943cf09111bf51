//! Training: engines that run tapes, the loop over epochs, its history, and files of parameters.

pub mod checkpoint;
mod diagnosis;
mod engine;
mod history;
mod trainer;

pub use diagnosis::{Diagnosis, Fit};
pub use engine::{CpuEngine, Engine, GpuEngine, ProgramId};
pub use history::{Epoch, History};
pub use trainer::{Event, TrainOptions, Trainer};

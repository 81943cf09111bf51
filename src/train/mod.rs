//! Training: engines that run tapes, the loop over epochs, its history, and files of parameters and optimizer state.

pub mod checkpoint;
mod convert;
mod diagnosis;
mod engine;
mod history;
pub mod optimizer_state;
mod pinned;
mod trainer;

pub use diagnosis::{Diagnosis, Fit};
pub use engine::{CpuEngine, Engine, GpuEngine, ProgramId};
pub use history::{Epoch, History};
pub use trainer::{Event, TrainOptions, Trainer};

//! Training: engines that run tapes, the loop over epochs, its history, and files of models, optimizers and whole runs.

mod callback;
mod card;
pub mod checkpoint;
mod checkpoints;
mod clocks;
mod convert;
mod cpu_engine;
mod diagnosis;
mod early_stopping;
mod engine;
mod fit;
mod fits;
mod gpu_engine;
mod history;
mod keep_best;
pub mod optimizer_state;
mod pinned;
mod predictor;
mod restore;
mod run_files;
mod snapshot;
mod trainer;
mod tripwire;

pub use callback::{Callback, Event, Flow};
pub use card::ModelCard;
pub use checkpoints::{Checkpoints, Found};
pub use cpu_engine::CpuEngine;
pub use diagnosis::{Diagnosis, Fit};
pub use early_stopping::{EarlyStopping, Monitor};
pub use engine::{Engine, ProgramId, Sink};
pub use gpu_engine::GpuEngine;
pub use history::{Epoch, History};
pub use keep_best::KeepBest;
pub use predictor::{FirstLayer, Predictor};
pub use snapshot::Snapshot;
pub use trainer::{OnNonFinite, TrainOptions, Trainer};

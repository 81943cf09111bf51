//! What the examples with networks share: their command line, the choice of a device, progress, and the files of a run.

#![allow(dead_code, unused_imports, reason = "each example uses a part of it")]

pub mod colour;
pub mod curves;
mod options;
mod profile;
mod run;
mod tuning;

pub use options::{Defaults, Options, SGD_HELP};
pub use profile::{check_profile, write_profile};
pub use run::{Problem, engine, report, run, train};

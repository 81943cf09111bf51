//! Shared parts of the examples with networks: their command line, the choice of a device, progress, and the files of a
//! run.

#![allow(dead_code, unused_imports, reason = "each example uses a part of it")]

mod batch;
pub mod colour;
pub mod config;
mod download;
mod options;
mod output;
mod profile;
mod reading;
mod results;
mod run;
mod supply;
mod tuning;
mod watch;

pub use download::download;
pub use options::{Defaults, Options, SGD_HELP};
pub use output::{ended, line};
pub use profile::{check_profile, write_profile};
pub use reading::{Limits, Reading};
pub use run::{Problem, engine, log, report, run, train};
pub use supply::Supply;

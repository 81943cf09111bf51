//! Placeholder
pub mod data;
pub mod error;
pub mod gpu;
pub mod graph;
pub mod nn;
pub mod ops;
pub mod optim;
pub mod plan;
pub mod reference;
pub mod rng;
pub mod shape;
pub mod train;
pub use error::{Error, Result};

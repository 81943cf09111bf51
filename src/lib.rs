//! Placeholder
pub mod data;
pub mod error;
pub mod graph;
pub mod ops;
pub mod plan;
pub mod reference;
pub mod rng;
pub mod shape;
pub use error::{Error, Result};

//! Normalisation.

pub mod batch_norm2d;

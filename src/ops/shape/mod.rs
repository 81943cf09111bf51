//! Operations that only move elements: other shapes, other positions.

pub mod concat;
pub mod flatten;
pub mod narrow;
pub mod rows_of_pixels;
pub mod upsample;
pub mod zero_pad2d;

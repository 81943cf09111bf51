//! The tape: tensors and the nodes that make them, as plain data, and the autodiff that appends gradient nodes to it.
//!
//! A tape knows no device. [`Tape`] is built by the methods that each operation's file in [`crate::ops`] adds to it
//! (`tape.conv2d(..)`, `tape.relu(..)`); [`Tape::backward`] walks it once in reverse.

mod autodiff;
mod tape;

pub use tape::{Node, NodeId, RANDOM, Role, Spec, Stage, Tape, Tensor, TensorId};

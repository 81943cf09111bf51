//! The operations, one module each or one per family: attributes, shape rule, gradient rule, kernels and CPU twin.
//!
//! An operation is a small struct of attributes that implements [`Operation`](crate::graph::Operation) and
//! [`Twin`](crate::twin::Twin). Its shaders are in the folder of the same name in `shaders/`. No list of operations
//! exists: adding one touches its module, its shaders, its tests and the `mod` lines.

mod batch;
pub mod conv2d;
mod count;
mod elementwise;
pub mod fused;
mod loss;
mod norm;
mod pool;
mod product;
pub mod reduce;
mod shape;
mod update;

// Operations of a family are exported beside the others: ops::max_pool2d, not ops::pool::max_pool2d.
pub use batch::*;
pub use count::*;
pub use elementwise::*;
pub use loss::*;
pub use norm::*;
pub use pool::*;
pub use product::*;
pub use shape::*;
pub use update::*;

use crate::error::Result;
use crate::graph::Misfit;
use crate::shape::{Layout, Shape};
use crate::tensor::{Spec, Tensor};

/// Checks that an operation has `expected` operands; the tape's builder methods always pass the right number.
pub(crate) fn arity(inputs: &[&Tensor], expected: &[usize]) -> Result<(), Misfit> {
    if expected.contains(&inputs.len()) {
        Ok(())
    } else {
        let message = format!("takes {expected:?} operands, got {}", inputs.len());
        Err(Misfit::between(message, expected.first().copied().unwrap_or(0), inputs.len()))
    }
}

/// The extents of an [N, C, H, W] operand; the error describes what it is instead.
pub(crate) fn nchw(tensor: &Tensor, what: &str) -> Result<[usize; 4], Misfit> {
    match tensor.shape.nchw() {
        Some(dims) if !tensor.shape.is_empty() => Ok(dims),
        _ => Err(Misfit::Shape(format!("{what} must be [N,C,H,W] with no empty extent, it is {}", tensor.shape))),
    }
}

/// Number of channels of a [N, C, H, W] or [N, C] operand whose channels are contiguous in memory.
pub(crate) fn channels_of(tensor: &Tensor, what: &str) -> Result<usize, Misfit> {
    match (tensor.layout, tensor.shape.dims()) {
        (Layout::ChannelsLast, &[_, c, _, _]) | (Layout::RowMajor, &[_, c]) if !tensor.shape.is_empty() => Ok(c),
        _ => Err(Misfit::Shape(format!(
            "{what} must be [N,C,H,W] or [N,C] with no empty extent, it is {}",
            tensor.shape
        ))),
    }
}

/// The output of these extents, or an error if kernels could not count its elements.
pub(crate) fn bounded(dims: [usize; 4]) -> Result<Vec<Spec>, Misfit> {
    let len = dims.iter().try_fold(1_usize, |len, &extent| len.checked_mul(extent));
    match len.filter(|&len| len <= i32::MAX as usize) {
        Some(_) => Ok(vec![Spec::f32(dims)]),
        None => Err(Misfit::Shape(format!("the output would be {}, more than 2^31 elements", Shape::from(dims)))),
    }
}

/// Checks that both axes of `value` are at least 1.
pub(crate) fn positive(what: &str, value: [usize; 2]) -> Result<(), Misfit> {
    if value[0] == 0 || value[1] == 0 {
        return Err(Misfit::Attribute(format!("{what} must be at least 1 on both axes, it is {value:?}")));
    }
    Ok(())
}

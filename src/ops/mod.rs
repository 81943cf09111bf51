//! The operations, one file each: attributes, shape rule, gradient rule and the kernels that it becomes.
//!
//! An operation is a small struct of attributes that implements [`Operation`]; its CPU twin has the same file name in
//! [`crate::reference`] and its shaders start with the same name in `shaders/`. Adding one touches those three places,
//! one test and the `mod` lines: nothing anywhere lists the operations.

pub mod accumulate_grad;
pub mod activation;
pub mod adaptive_avg_pool2d;
pub mod add;
pub mod augmentation;
pub mod avg_pool2d;
pub mod batch_norm2d;
mod choices;
pub mod clip_grad_norm;
pub mod column_sum;
pub mod concat;
pub mod confusion;
pub mod conv2d;
mod conv2d_params;
pub mod conv2d_statistics;
pub mod copy;
mod depthwise;
mod dispatch;
pub mod dropout;
mod elementwise;
mod few;
pub mod finish;
pub mod flatten;
pub mod gather;
mod kernel;
pub mod log_softmax;
mod lowering;
pub mod matmul;
pub mod max_pool2d;
pub mod metrics;
pub mod mixup;
pub mod mse_loss;
pub mod mul;
pub mod narrow;
pub mod nll_loss;
mod pieces;
mod product;
pub mod reduce;
pub mod scale;
pub mod sgd;
pub mod softmax_cross_entropy;
pub mod sub;
pub mod transform;
pub mod upsample;
mod window;
mod winograd;
pub mod zero_pad2d;

use std::any::Any;
use std::fmt::Debug;

pub use choices::{Choices, Chosen, Key, candidates};
pub use dispatch::{Binding, Dispatch, Extent, Serial};
pub use lowering::{Caps, Constant, DeviceClass, FlatBuffer, Kernel, Lowering, Operand, Source};
pub(crate) use lowering::{bytes_of, params, source};
pub use pieces::Pieces;
pub(crate) use pieces::tensor_pieces;

use crate::error::Result;
use crate::graph::{Node, Spec, Tape, Tensor, TensorId};
use crate::reference::DynTwin;
use crate::shape::{Layout, Shape};

/// Why a shape rule refuses its operands; the tape adds the operation and the node's name.
#[derive(Clone, Debug, PartialEq)]
pub enum Misfit {
    /// The operands do not fit each other or the operation.
    Shape(String),
    /// An attribute is outside its range.
    Attribute(String),
}

/// An operation with its attributes.
pub trait Operation: DynTwin + Debug + Any + Send + Sync {
    /// PyTorch's name for it.
    fn name(&self) -> &'static str;

    /// The shape rule: the outputs for these inputs, or what does not fit.
    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit>;

    /// The gradient rule: appends nodes to `tape` and gives the gradient of each input that `needs` one.
    ///
    /// `grad_outputs` has an entry for each output, `None` where nothing depends on it.
    fn gradient(
        &self,
        tape: &mut Tape,
        node: &Node,
        grad_outputs: &[Option<TensorId>],
        needs: &[bool],
    ) -> Result<Vec<Option<TensorId>>> {
        let _ = (tape, grad_outputs);
        Err(crate::Error::Attribute {
            op: self.name(),
            name: node.name.clone(),
            message: format!("has no gradient, and {} of its inputs need one", needs.len()),
        })
    }

    /// Whether output 0 is input 0 in memory, so that nothing need be computed.
    fn is_view(&self, inputs: &[&Tensor]) -> bool {
        let _ = inputs;
        false
    }

    /// Whether its kernels change input 0 in its memory, which is output 0 then. A plan makes such nodes, no tape has them.
    fn is_in_place(&self) -> bool {
        false
    }

    /// How many products are added up for the outputs, by which a model's cost is judged; 0 for what has none.
    fn multiply_adds(&self, inputs: &[&Tensor]) -> u64 {
        let _ = inputs;
        0
    }

    /// Whether its kernels can finish the elements of output 0 before they store them: then [`Operation::lower`] puts what
    /// [`Lowering`] has for that into each of them.
    fn finishes(&self) -> bool {
        false
    }

    /// The names of the kernel variants that are right for these operands on this device, the best first.
    fn variants(&self, inputs: &[&Tensor], caps: &Caps) -> Vec<&'static str> {
        let _ = (inputs, caps);
        vec!["direct"]
    }

    /// The names of the tiles that `variant` can be computed in on this device, the one to take without a choice first;
    /// none for a variant that has no tiles.
    fn tiles(&self, variant: &str, inputs: &[&Tensor], caps: &Caps) -> Vec<&'static str> {
        let _ = (variant, inputs, caps);
        Vec::new()
    }

    /// Appends the dispatches that compute the outputs.
    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()>;
}

/// Checks that an operation has `expected` operands; the tape's builder methods always pass as many.
pub(crate) fn arity(inputs: &[&Tensor], expected: &[usize]) -> Result<(), Misfit> {
    if expected.contains(&inputs.len()) {
        Ok(())
    } else {
        Err(Misfit::Shape(format!("takes {expected:?} operands, got {}", inputs.len())))
    }
}

/// The extents of an [N, C, H, W] operand, or the error that says what it has instead.
pub(crate) fn nchw(tensor: &Tensor, what: &str) -> Result<[usize; 4], Misfit> {
    match tensor.shape.nchw() {
        Some(dims) if !tensor.shape.is_empty() => Ok(dims),
        _ => Err(Misfit::Shape(format!("{what} must be [N,C,H,W] with no empty extent, it is {}", tensor.shape))),
    }
}

/// How many channels a [N, C, H, W] or [N, C] operand has whose channels lie side by side in memory.
pub(crate) fn channels_of(tensor: &Tensor, what: &str) -> Result<usize, Misfit> {
    match (tensor.layout, tensor.shape.dims()) {
        (Layout::ChannelsLast, &[_, c, _, _]) | (Layout::RowMajor, &[_, c]) if !tensor.shape.is_empty() => Ok(c),
        _ => Err(Misfit::Shape(format!(
            "{what} must be [N,C,H,W] or [N,C] with no empty extent, it is {}",
            tensor.shape
        ))),
    }
}

/// The output of these extents, or an error where kernels could not count its elements.
pub(crate) fn bounded(dims: [usize; 4]) -> Result<Vec<Spec>, Misfit> {
    let len = dims.iter().try_fold(1_usize, |len, &extent| len.checked_mul(extent));
    match len.filter(|&len| len <= i32::MAX as usize) {
        Some(_) => Ok(vec![Spec::f32(dims)]),
        None => Err(Misfit::Shape(format!("the output would be {}, more than 2^31 elements", Shape::from(dims)))),
    }
}

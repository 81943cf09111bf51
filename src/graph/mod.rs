//! The tape: tensors and the nodes that make them, as plain data, what an operation is, and the autodiff that appends gradient
//! nodes to a tape.
//!
//! A tape knows no device. [`Tape`] is built by the methods that each operation's file in [`crate::ops`] adds to it
//! (`tape.conv2d(..)`, `tape.relu(..)`); [`Tape::backward`] walks it once in reverse.

mod autodiff;
mod tape;

pub use crate::tensor::{Role, Spec, Tensor, TensorId};
pub use tape::{Node, NodeId, RANDOM, Stage, Tape};

use std::any::Any;
use std::fmt::Debug;

use crate::error::Result;
use crate::kernel::{Caps, Lowering};
use crate::twin::DynTwin;

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

//! The tape: tensors and the nodes that make them, as plain data, what an operation is, and the autodiff that appends gradient
//! nodes to a tape.
//!
//! A tape knows no device. [`Tape`] is built by the methods that each operation's file in [`crate::ops`] adds to it
//! (`tape.conv2d(..)`, `tape.relu(..)`); [`Tape::backward`] walks it once in reverse.

mod autodiff;
mod tape;

pub use crate::tensor::{Role, Spec, Tensor, TensorId, Values};
pub use tape::{Node, NodeId, Purpose, RANDOM, Stage, Tape};

use std::any::Any;
use std::fmt::Debug;

use crate::error::{Mismatch, Quantity, Result};
use crate::kernel::{Candidate, Caps, Lowering, Tensors};
use crate::shape::Window;
use crate::twin::DynTwin;

/// Why a shape rule refuses its operands; the tape adds the operation and the node's name.
#[derive(Clone, Debug, PartialEq)]
pub enum Misfit {
    /// The operands do not fit each other or the operation.
    Shape(String),
    /// The operands do not fit each other by two values that should agree.
    Mismatch(String, Box<Mismatch>),
    /// An attribute is outside its range.
    Attribute(String),
}

impl Misfit {
    /// A misfit of two values that should agree, which the message tells.
    pub fn between(message: String, expected: impl Into<Quantity>, found: impl Into<Quantity>) -> Self {
        Misfit::Mismatch(message, Box::new(Mismatch { expected: expected.into(), found: found.into() }))
    }

    /// The message.
    pub fn into_message(self) -> String {
        match self {
            Misfit::Shape(message) | Misfit::Mismatch(message, _) | Misfit::Attribute(message) => message,
        }
    }
}

/// The gradient of a tensor, if there is one.
pub type Grad = Option<TensorId>;

/// An operation with its attributes.
pub trait Operation: DynTwin + Debug + Any + Send + Sync {
    /// PyTorch's name for it.
    fn name(&self) -> &'static str;

    /// The shape rule: the outputs for these inputs, or what does not fit.
    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit>;

    /// The gradient rule: appends nodes to `tape` and gives the gradient of each input that `needs` one.
    ///
    /// `grad_outputs` has an entry for each output, `None` where nothing depends on it.
    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], needs: &[bool]) -> Result<Vec<Grad>> {
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

    /// Whether its kernels change input 0 in its memory, which is output 0 then. A plan makes such nodes where nothing else reads the input.
    fn is_in_place(&self) -> bool {
        false
    }

    /// How many products are added up for the outputs, by which a model's cost is judged; 0 for what has none.
    fn multiply_adds(&self, inputs: &[&Tensor]) -> u64 {
        let _ = inputs;
        0
    }

    /// The window that it moves over the image that is operand 0, by which a model's receptive field is told; `None` for
    /// what looks at one pixel for each of its output's.
    fn window(&self, inputs: &[&Tensor]) -> Option<Window> {
        let _ = inputs;
        None
    }

    /// Whether its kernels apply an epilogue to output 0 ([`Lowering::epilogue`]), so that a plan may give them the work of
    /// the nodes after it.
    fn has_epilogue(&self) -> bool {
        false
    }

    /// The operation with its attributes as a file of choices names it, in PyTorch's words: "conv2d stride=1,1 ..".
    ///
    /// An operation with more than one candidate has one. It goes to disk, so a test holds its form.
    fn key(&self) -> Option<String> {
        None
    }

    /// Everything that is right for a node of these tensors, in order of preference on this device; a plan asks once.
    ///
    /// An operation with one kernel leaves this alone and has [`Operation::lower`]. What the device does not have, the plan
    /// leaves out ([`Candidate::needs`]).
    fn candidates<'a>(&'a self, tensors: &Tensors<'_>, caps: &Caps) -> Vec<Candidate<'a>> {
        let _ = (tensors, caps);
        vec![Candidate::new("direct", |lowering| self.lower(lowering))]
    }

    /// Pushes the dispatches of the one kernel of an operation that has no more; others have [`Operation::candidates`].
    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let _ = lowering;
        Err(crate::Error::Validation(format!("{} has no kernel", self.name())))
    }
}

//! The tape: tensors and the nodes that compute them, as plain data; the trait of an operation; and autodiff, which
//! appends gradient nodes to a tape.
//!
//! A tape knows no device. Each operation's file in [`crate::ops`] adds the methods that build a [`Tape`]
//! (`tape.conv2d(..)`, `tape.relu(..)`). [`Tape::backward`] walks it once in reverse.

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

/// Reason why a shape rule rejects its operands. The tape adds the operation and the node's name.
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
    /// Returns PyTorch's name for the operation.
    fn name(&self) -> &'static str;

    /// The shape rule: returns the outputs for these inputs, or the reason why they do not fit.
    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit>;

    /// The gradient rule: appends nodes to `tape` and returns the gradient of each input that `needs` one.
    ///
    /// `grad_outputs` has one entry per output, `None` if nothing depends on that output.
    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], needs: &[bool]) -> Result<Vec<Grad>> {
        let _ = (tape, grad_outputs);
        Err(crate::Error::Attribute {
            op: self.name(),
            name: node.name.clone(),
            message: format!("has no gradient, and {} of its inputs need one", needs.len()),
        })
    }

    /// True if output 0 shares the memory of input 0, in which case nothing is computed.
    fn is_view(&self, inputs: &[&Tensor]) -> bool {
        let _ = inputs;
        false
    }

    /// True if its kernels update input 0 in place, as output 0. A plan creates such nodes only where nothing else
    /// reads the input.
    fn is_in_place(&self) -> bool {
        false
    }

    /// Number of multiply-adds for the outputs, a measure of a model's cost; 0 for an operation without products.
    fn multiply_adds(&self, inputs: &[&Tensor]) -> u64 {
        let _ = inputs;
        0
    }

    /// The window that it slides over operand 0, an image, for a model's receptive field; `None` for an operation that
    /// reads one pixel per output pixel.
    fn window(&self, inputs: &[&Tensor]) -> Option<Window> {
        let _ = inputs;
        None
    }

    /// True if its kernels apply an epilogue to output 0 ([`Lowering::epilogue`]). A plan may then fuse the nodes after
    /// it into the epilogue.
    fn has_epilogue(&self) -> bool {
        false
    }

    /// The operation with its attributes as written to a file of choices, in PyTorch's terms: "conv2d stride=1,1 ..".
    ///
    /// Every operation with more than one candidate has a key. It is written to disk, so a test holds its format.
    fn key(&self) -> Option<String> {
        None
    }

    /// Returns every candidate that is right for a node of these tensors, in order of preference on this device. A plan
    /// calls it once per node.
    ///
    /// An operation with one kernel keeps the default and implements [`Operation::lower`]. The plan omits candidates
    /// whose needs the device does not meet ([`Candidate::needs`]).
    fn candidates<'a>(&'a self, tensors: &Tensors<'_>, caps: &Caps) -> Vec<Candidate<'a>> {
        let _ = (tensors, caps);
        vec![Candidate::new("direct", |lowering| self.lower(lowering))]
    }

    /// Pushes the dispatches of an operation with a single kernel; others implement [`Operation::candidates`].
    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let _ = lowering;
        Err(crate::Error::Validation(format!("{} has no kernel", self.name())))
    }
}

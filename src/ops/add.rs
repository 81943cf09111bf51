//! The sum of two tensors of one shape: residual connections, and gradients that meet.

use super::elementwise::{binary, same_shape};
use super::lowering::{Lowering, source};
use super::{Misfit, Operation};
use crate::error::Result;
use crate::graph::{Node, Spec, Tape, Tensor, TensorId};

/// `a + b`, both of one shape and layout.
#[derive(Clone, Copy, Debug)]
pub struct Add;

impl Tape {
    /// `a + b`, as a residual connection has it.
    pub fn add(&mut self, name: &str, a: TensorId, b: TensorId) -> Result<TensorId> {
        Ok(self.append(name, Add, &[a, b], &[])?[0])
    }
}

impl Operation for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        same_shape(inputs)
    }

    fn gradient(
        &self,
        _tape: &mut Tape,
        _node: &Node,
        grad_outputs: &[Option<TensorId>],
        _needs: &[bool],
    ) -> Result<Vec<Option<TensorId>>> {
        Ok(vec![grad_outputs[0]; 2])
    }

    fn finishes(&self) -> bool {
        true
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        binary(lowering, "add", source!("add.wgsl"))
    }
}

//! The difference of two tensors of one shape.

use super::elementwise::{binary, same_shape};
use super::lowering::{Lowering, source};
use super::{Misfit, Operation};
use crate::error::Result;
use crate::graph::{Node, Spec, Tape, Tensor, TensorId};

/// `a - b`, both of one shape and layout. Source: torch.sub, without broadcasting.
#[derive(Clone, Copy, Debug)]
pub struct Sub;

impl Tape {
    /// `a - b`, element by element.
    pub fn sub(&mut self, name: &str, a: TensorId, b: TensorId) -> Result<TensorId> {
        Ok(self.append(name, Sub, &[a, b], &[])?[0])
    }
}

impl Operation for Sub {
    fn name(&self) -> &'static str {
        "sub"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        same_shape(inputs)
    }

    fn gradient(
        &self,
        tape: &mut Tape,
        node: &Node,
        grad_outputs: &[Option<TensorId>],
        needs: &[bool],
    ) -> Result<Vec<Option<TensorId>>> {
        let negative = match grad_outputs[0].filter(|_| needs[1]) {
            Some(grad_output) => Some(tape.scale(&node.name, grad_output, -1.0)?),
            None => None,
        };
        Ok(vec![grad_outputs[0], negative])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        binary(lowering, "sub", source!("sub.wgsl"))
    }
}

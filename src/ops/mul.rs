//! The elementwise product of two tensors of one shape.

use super::elementwise::{binary, same_shape};
use super::lowering::{Lowering, source};
use super::{Misfit, Operation};
use crate::error::Result;
use crate::graph::{Node, Spec, Tape, Tensor, TensorId};

/// `a b`, both of one shape and layout. Source: torch.mul, without broadcasting.
#[derive(Clone, Copy, Debug)]
pub struct Mul;

impl Tape {
    /// `a b`, element by element.
    pub fn mul(&mut self, name: &str, a: TensorId, b: TensorId) -> Result<TensorId> {
        Ok(self.append(name, Mul, &[a, b], &[])?[0])
    }
}

impl Operation for Mul {
    fn name(&self) -> &'static str {
        "mul"
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
        let mut grads = vec![None; 2];
        let Some(grad_output) = grad_outputs[0] else { return Ok(grads) };
        for (i, other) in [node.inputs[1], node.inputs[0]].into_iter().enumerate() {
            if needs[i] {
                grads[i] = Some(tape.mul(&node.name, grad_output, other)?);
            }
        }
        Ok(grads)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        binary(lowering, "mul", source!("mul.wgsl"))
    }
}

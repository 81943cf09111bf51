//! The elementwise product of two tensors of one shape.

use crate::error::Result;
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Lowering, source};
use crate::ops::elementwise::{binary, same_shape};
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

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

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], needs: &[bool]) -> Result<Vec<Grad>> {
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
        binary(lowering, "mul", source!("elementwise/mul.wgsl"))
    }
}

impl Twin for Mul {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (a, b) = (inputs.real(0), inputs.real(1));
        for ((y, &a), &b) in outputs.real(0).iter_mut().zip(a).zip(b) {
            *y = a * b;
        }
    }
}

//! The difference of two tensors of one shape.

use crate::error::Result;
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Lowering, source};
use crate::ops::elementwise::{binary, same_shape};
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

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

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], needs: &[bool]) -> Result<Vec<Grad>> {
        let negative = match grad_outputs[0].filter(|_| needs[1]) {
            Some(grad_output) => Some(tape.scale(&node.name, grad_output, -1.0)?),
            None => None,
        };
        Ok(vec![grad_outputs[0], negative])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        binary(lowering, "sub", source!("elementwise/sub.wgsl"))
    }
}

impl Twin for Sub {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (a, b) = (inputs.real(0), inputs.real(1));
        for ((y, &a), &b) in outputs.real(0).iter_mut().zip(a).zip(b) {
            *y = a - b;
        }
    }
}

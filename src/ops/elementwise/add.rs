//! The sum of two tensors of one shape: residual connections, and gradients that meet.

use crate::error::Result;
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Lowering, source};
use crate::ops::elementwise::{binary, same_shape};
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

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

    fn gradient(&self, _tape: &mut Tape, _node: &Node, grad_outputs: &[Grad], _needs: &[bool]) -> Result<Vec<Grad>> {
        Ok(vec![grad_outputs[0]; 2])
    }

    fn has_epilogue(&self) -> bool {
        true
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        binary(lowering, "add", source!("elementwise/add.wgsl"))
    }
}

impl Twin for Add {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (a, b) = (inputs.real(0), inputs.real(1));
        for ((y, &a), &b) in outputs.real(0).iter_mut().zip(a).zip(b) {
            *y = a + b;
        }
    }
}

//! A copy, for a tensor that is needed in two places.

use crate::error::Result;
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Kernel, Lowering, source};
use crate::ops::arity;
use crate::ops::elementwise::elementwise;
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// A copy of the input.
#[derive(Clone, Copy, Debug)]
pub struct Copy;

impl Tape {
    /// Appends a copy of `input` in separate memory.
    pub fn copy(&mut self, name: &str, input: TensorId) -> Result<TensorId> {
        Ok(self.append(name, Copy, &[input], &[])?[0])
    }
}

impl Operation for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        Ok(vec![Spec::like(inputs[0])])
    }

    fn gradient(&self, _tape: &mut Tape, _node: &Node, grad_outputs: &[Grad], _needs: &[bool]) -> Result<Vec<Grad>> {
        Ok(vec![grad_outputs[0]])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let files =
            [source!("elementwise/copy.wgsl"), source!("elementwise/activation.wgsl"), source!("lib/each.wgsl")];
        elementwise(lowering, Kernel::new("copy", &files).constant("WG", 64), &["input"])
    }
}

impl Twin for Copy {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        outputs.real(0).copy_from_slice(inputs.real(0));
    }
}

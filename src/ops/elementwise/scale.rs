//! A tensor times a constant.

use crate::error::Result;
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Kernel, Lowering, source};
use crate::ops::arity;
use crate::ops::elementwise::elementwise_with;
use crate::params;
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// `factor x`. Source: torch.mul of a tensor and a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The constant factor.
    pub factor: f32,
}

params! {
    /// Number of E of the header in the tensors, and the constant.
    pub(crate) struct Params { len: u32, factor: f32 }
}

impl Tape {
    /// Appends `factor x`, element by element.
    pub fn scale(&mut self, name: &str, input: TensorId, factor: f32) -> Result<TensorId> {
        Ok(self.append(name, Scale { factor }, &[input], &[])?[0])
    }
}

impl Operation for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        Ok(vec![Spec::like(inputs[0])])
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], _needs: &[bool]) -> Result<Vec<Grad>> {
        let Some(grad_output) = grad_outputs[0] else { return Ok(vec![None]) };
        Ok(vec![Some(tape.append(&node.name, *self, &[grad_output], &[])?[0])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let files =
            [source!("elementwise/scale.wgsl"), source!("elementwise/activation.wgsl"), source!("lib/each.wgsl")];
        let kernel = Kernel::new("scale", &files).constant("WG", 64);
        let params = |len| Params { len, factor: self.factor };
        elementwise_with(lowering, kernel, &["input"], &params)
    }
}

impl Twin for Scale {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let factor = R::of(f64::from(self.factor));
        for (y, &x) in outputs.real(0).iter_mut().zip(inputs.real(0)) {
            *y = x * factor;
        }
    }
}

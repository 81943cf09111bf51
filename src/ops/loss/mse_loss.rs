//! The squared error of two tensors, and its gradient.

use crate::error::Result;
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Kernel, Lowering, source};
use crate::ops::arity;
use crate::ops::elementwise::{elementwise_with, same_shape};
use crate::ops::reduce::sum_terms;
use crate::ops::softmax_cross_entropy::Reduction;
use crate::params;
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// The mean or the sum of (input - target)² over all elements. Source: torch.nn.MSELoss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MseLoss {
    /// Mean or sum; every element counts 1.
    pub reduction: Reduction,
}

/// The gradient of [`MseLoss`] by its first operand. Operands are grad_output, input and target; for the gradient by
/// the target the last two are exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MseLossGrad(pub MseLoss);

params! {
    /// Number of E of the header in the tensors, and the factor of their difference.
    pub(crate) struct Params { len: u32, scale: f32 }
}

impl Tape {
    /// Appends the mean or the sum, \[1\], of the squared differences of two tensors of one shape.
    pub fn mse_loss(
        &mut self,
        name: &str,
        input: TensorId,
        target: TensorId,
        reduction: Reduction,
    ) -> Result<TensorId> {
        Ok(self.append(name, MseLoss { reduction }, &[input, target], &[])?[0])
    }
}

impl MseLoss {
    /// Factor of a sum over `len` elements.
    pub(crate) fn scale(&self, len: usize) -> f64 {
        match self.reduction {
            Reduction::Mean => 1.0 / len as f64,
            Reduction::Sum => 1.0,
        }
    }
}

impl Operation for MseLoss {
    fn name(&self) -> &'static str {
        "mse_loss"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        same_shape(inputs)?;
        if inputs[0].shape.is_empty() {
            return Err(Misfit::Shape(format!("input must have no empty extent, it is {}", inputs[0].shape)));
        }
        Ok(vec![Spec::f32([1])])
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], needs: &[bool]) -> Result<Vec<Grad>> {
        let mut grads = vec![None; 2];
        let Some(grad_output) = grad_outputs[0] else { return Ok(grads) };
        let (input, target) = (node.inputs[0], node.inputs[1]);
        for (i, operands) in [[grad_output, input, target], [grad_output, target, input]].iter().enumerate() {
            if needs[i] {
                grads[i] = Some(tape.append(&node.name, MseLossGrad(*self), operands, &[])?[0]);
            }
        }
        Ok(grads)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let len = lowering.input_tensor(0).shape.len();
        let inputs = [("input", lowering.input(0)), ("targets", lowering.input(1))];
        let kernel = Kernel::new("mse_loss", &[source!("loss/mse_loss.wgsl")]);
        let output = lowering.output(0);
        sum_terms(lowering, kernel, &inputs, output, [1, len as u32, 1], self.scale(len) as f32);
        Ok(())
    }
}

impl Operation for MseLossGrad {
    fn name(&self) -> &'static str {
        "mse_loss_grad"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[3])?;
        Ok(vec![Spec::like(inputs[1])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let scale = 2.0 * self.0.scale(lowering.input_tensor(1).shape.len()) as f32;
        let files = [source!("loss/mse_loss_grad.wgsl"), source!("lib/each.wgsl")];
        let kernel = Kernel::new("mse_loss_grad", &files).constant("WG", 64);
        let params = |len| Params { len, scale };
        elementwise_with(lowering, kernel, &["grad_output", "input", "targets"], &params)
    }
}

impl Twin for MseLoss {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (input, target) = (inputs.real(0), inputs.real(1));
        let sum: R = input.iter().zip(target).map(|(&x, &t)| (x - t) * (x - t)).sum();
        outputs.real(0)[0] = sum * R::of(self.scale(input.len()));
    }
}

impl Twin for MseLossGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (grad_output, input, target) = (inputs.real(0)[0], inputs.real(1), inputs.real(2));
        let scale = R::of(2.0 * self.0.scale(input.len())) * grad_output;
        for ((dx, &x), &t) in outputs.real(0).iter_mut().zip(input).zip(target) {
            *dx = (x - t) * scale;
        }
    }
}

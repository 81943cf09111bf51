//! The fused gradient of max pooling and of the relu before it. The value of a window's winner is the pooling's output.

use crate::error::Result;
use crate::graph::{Misfit, Operation};
use crate::kernel::{Candidate, Caps, Tensors};
use crate::ops::arity;
use crate::ops::max_pool2d::{MaxPool2dGrad, grad_candidates};
use crate::tensor::{Spec, Tensor};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// The gradient of a relu whose output was pooled. Operands are grad_output, the indices of the winners and the
/// pooling's output.
#[derive(Clone, Debug)]
pub struct MaxPool2dGradRelu(pub MaxPool2dGrad);

impl Operation for MaxPool2dGradRelu {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[3])?;
        self.0.infer(&inputs[..2])
    }

    fn key(&self) -> Option<String> {
        Some(format!("{} + relu_grad", self.0.key()?))
    }

    fn candidates<'a>(&'a self, tensors: &Tensors<'_>, _caps: &Caps) -> Vec<Candidate<'a>> {
        grad_candidates(&self.0, tensors, true)
    }
}

impl Twin for MaxPool2dGradRelu {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (grad_output, indices, output) = (inputs.real(0), inputs.ints(1), inputs.real(2));
        let [_, _, out_h, out_w] = inputs.nchw(0);
        let [_, _, in_h, in_w] = inputs.output_nchw(0);
        let grad_input = outputs.real(0);
        for (i, ((&dy, &index), &winner)) in grad_output.iter().zip(indices).zip(output).enumerate() {
            if winner <= R::default() {
                continue;
            }
            if let Ok(index) = usize::try_from(index) {
                grad_input[i / (out_h * out_w) * in_h * in_w + index] += dy;
            }
        }
    }
}

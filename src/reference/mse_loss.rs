//! The squared error and its gradient.

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::mse_loss::{MseLoss, MseLossGrad};

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

//! relu, sigmoid, tanh.

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::activation::{Activation, ActivationGrad};

impl Twin for Activation {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (zero, one) = (R::default(), R::of(1.0));
        for (y, &x) in outputs.real(0).iter_mut().zip(inputs.real(0)) {
            *y = match self {
                // Written so that NaN, which no comparison holds for, stays.
                Activation::Relu => {
                    if x <= zero {
                        zero
                    } else {
                        x
                    }
                }
                Activation::Sigmoid => one / (one + (-x).exp()),
                Activation::Tanh => x.tanh(),
            };
        }
    }
}

impl Twin for ActivationGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (zero, one) = (R::default(), R::of(1.0));
        let (output, grad_output) = (inputs.real(0), inputs.real(1));
        let grad_input = outputs.real(0);
        for ((dx, &y), &dy) in grad_input.iter_mut().zip(output).zip(grad_output) {
            *dx = match self.0 {
                Activation::Relu => {
                    if y <= zero {
                        zero
                    } else {
                        dy
                    }
                }
                Activation::Sigmoid => dy * y * (one - y),
                Activation::Tanh => dy * (one - y * y),
            };
        }
    }
}

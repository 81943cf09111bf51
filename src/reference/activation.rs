//! relu, sigmoid, tanh, leaky_relu, gelu, silu.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::activation::{Activation, ActivationGrad, ActivationInPlace, Approximate};

/// x (1 + erf(x/√2)) / 2 or its approximation by tanh, and the derivative by x.
fn gelu<R: Real>(x: R, approximate: Approximate) -> (R, R) {
    let (half, one) = (R::of(0.5), R::of(1.0));
    let (share, slope) = match approximate {
        Approximate::None => {
            let share = half * (one + (x * R::of(FRAC_1_SQRT_2)).erf());
            (share, (-half * x * x).exp() * half * R::of(FRAC_2_SQRT_PI * FRAC_1_SQRT_2))
        }
        Approximate::Tanh => {
            let (root, cubic) = (R::of(FRAC_2_SQRT_PI * FRAC_1_SQRT_2), R::of(0.044715));
            let tanh = (root * (x + cubic * x * x * x)).tanh();
            let inner = root * (one + R::of(3.0) * cubic * x * x);
            (half * (one + tanh), half * (one - tanh * tanh) * inner)
        }
    };
    (x * share, share + x * slope)
}

/// x / (1 + exp(-x)), and its derivative by x.
fn silu<R: Real>(x: R) -> (R, R) {
    let one = R::of(1.0);
    let share = one / (one + (-x).exp());
    (x * share, share * (one + x * (one - share)))
}

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
                Activation::LeakyRelu { negative_slope } => {
                    if x > zero {
                        x
                    } else {
                        x * R::of(f64::from(*negative_slope))
                    }
                }
                Activation::Gelu(approximate) => gelu(x, *approximate).0,
                Activation::Silu => silu(x).0,
            };
        }
    }
}

impl Twin for ActivationInPlace {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        self.0.eval(inputs, outputs);
    }
}

impl Twin for ActivationGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (zero, one) = (R::default(), R::of(1.0));
        let (saved, grad_output) = (inputs.real(0), inputs.real(1));
        let grad_input = outputs.real(0);
        // y is the output, or the input where the output does not say enough.
        for ((dx, &y), &dy) in grad_input.iter_mut().zip(saved).zip(grad_output) {
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
                Activation::LeakyRelu { negative_slope } => {
                    if y > zero {
                        dy
                    } else {
                        dy * R::of(f64::from(negative_slope))
                    }
                }
                Activation::Gelu(approximate) => dy * gelu(y, approximate).1,
                Activation::Silu => dy * silu(y).1,
            };
        }
    }
}

//! The elementwise product of two tensors.

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::mul::Mul;

impl Twin for Mul {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (a, b) = (inputs.real(0), inputs.real(1));
        for ((y, &a), &b) in outputs.real(0).iter_mut().zip(a).zip(b) {
            *y = a * b;
        }
    }
}

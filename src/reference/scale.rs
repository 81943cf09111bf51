//! A tensor times a constant.

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::scale::Scale;

impl Twin for Scale {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let factor = R::of(f64::from(self.factor));
        for (y, &x) in outputs.real(0).iter_mut().zip(inputs.real(0)) {
            *y = x * factor;
        }
    }
}

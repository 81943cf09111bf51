//! Sums and means: in PyTorch's order of elements every dim that is summed over comes after those that stay.

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::reduce::{Reduce, ReduceGrad};

/// What a sum of so many terms is multiplied by.
fn scale<R: Real>(mean: bool, terms: usize) -> R {
    if mean { R::of(1.0) / R::of(terms as f64) } else { R::of(1.0) }
}

impl Twin for Reduce {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let terms = self.terms(inputs.dims(0));
        for (y, x) in outputs.real(0).iter_mut().zip(inputs.real(0).chunks(terms)) {
            *y = x.iter().copied().sum::<R>() * scale(self.mean, terms);
        }
    }
}

impl Twin for ReduceGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let terms = self.reduce.terms(self.input.shape.dims());
        for (dx, &dy) in outputs.real(0).chunks_mut(terms).zip(inputs.real(0)) {
            dx.fill(dy * scale(self.reduce.mean, terms));
        }
    }
}

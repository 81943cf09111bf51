//! A run of channels, and its gradient.

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::narrow::{Narrow, NarrowGrad};

impl Twin for Narrow {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let dims = inputs.dims(0);
        let plane: usize = dims[2..].iter().product();
        let images = inputs.real(0).chunks(dims[1] * plane);
        for (y, x) in outputs.real(0).chunks_mut(self.length * plane).zip(images) {
            y.copy_from_slice(&x[self.start * plane..][..self.length * plane]);
        }
    }
}

impl Twin for NarrowGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let dims = inputs.dims(0);
        let plane: usize = dims[2..].iter().product();
        let images = inputs.real(0).chunks(dims[1] * plane);
        for (dx, dy) in outputs.real(0).chunks_mut(self.channels * plane).zip(images) {
            dx[self.start * plane..][..dy.len()].copy_from_slice(dy);
        }
    }
}

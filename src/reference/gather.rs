//! A batch collected from a data set.

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::gather::{Gather, GatherLabels};

impl Twin for Gather {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let [_, channels, h, w] = inputs.output_nchw(0);
        let image = channels * h * w;
        let (scale, shift) = (R::of(f64::from(self.scale)), R::of(f64::from(self.shift)));
        for (output, &index) in outputs.real(0).chunks_mut(image).zip(inputs.ints(1)) {
            let bytes = &inputs.bytes(0)[index as usize * image..][..image];
            // Bytes lie [h, w, channels], as image files have them.
            for (i, output) in output.iter_mut().enumerate() {
                let byte = bytes[i % (h * w) * channels + i / (h * w)];
                *output = R::of(f64::from(byte)) * scale + shift;
            }
        }
    }
}

impl Twin for GatherLabels {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        for (output, &index) in outputs.ints(0).iter_mut().zip(inputs.ints(1)) {
            *output = inputs.ints(0)[index as usize];
        }
    }
}

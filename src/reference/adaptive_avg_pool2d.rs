//! adaptive_avg_pool2d and its gradient.

use std::ops::Range;

use super::{Inputs, Outputs, Real, Twin, fill_nchw};
use crate::ops::adaptive_avg_pool2d::{AdaptiveAvgPool2d, AdaptiveAvgPool2dGrad};

/// The inputs of output `o`, and, with the sizes exchanged, the outputs that an input belongs to.
fn window(o: usize, size: usize, count: usize) -> Range<usize> {
    o * size / count..((o + 1) * size).div_ceil(count)
}

impl Twin for AdaptiveAvgPool2d {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let x = inputs.real(0);
        let [_, channels, in_h, in_w] = inputs.nchw(0);
        let [out_h, out_w] = self.output;
        fill_nchw(outputs.real(0), inputs.output_nchw(0), |n, c, oh, ow| {
            let (rows, columns) = (window(oh, in_h, out_h), window(ow, in_w, out_w));
            let size = R::of((rows.len() * columns.len()) as f64);
            let line = |h: usize| ((n * channels + c) * in_h + h) * in_w;
            let values = rows.flat_map(|h| columns.clone().map(move |w| x[line(h) + w]));
            values.sum::<R>() / size
        });
    }
}

impl Twin for AdaptiveAvgPool2dGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let dy = inputs.real(0);
        let [_, channels, out_h, out_w] = inputs.nchw(0);
        let dims = inputs.output_nchw(0);
        let [_, _, in_h, in_w] = dims;
        fill_nchw(outputs.real(0), dims, |n, c, h, w| {
            let mut sum = R::default();
            for oh in window(h, out_h, in_h) {
                for ow in window(w, out_w, in_w) {
                    let size = window(oh, in_h, out_h).len() * window(ow, in_w, out_w).len();
                    sum += dy[((n * channels + c) * out_h + oh) * out_w + ow] / R::of(size as f64);
                }
            }
            sum
        });
    }
}

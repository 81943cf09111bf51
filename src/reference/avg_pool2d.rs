//! avg_pool2d and its gradient.

use std::ops::Range;

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::avg_pool2d::{AvgPool2d, AvgPool2dGrad};

impl AvgPool2d {
    /// Along one axis: the window of output `o` clipped to the input, and its length clipped to the padded input.
    fn window(&self, o: usize, axis: usize, size: usize) -> (Range<usize>, usize) {
        let first = o * self.stride[axis];
        let end = (first + self.kernel[axis]).min(size + 2 * self.padding[axis]);
        let inside = |place: usize| place.saturating_sub(self.padding[axis]).min(size);
        (inside(first)..inside(end), end - first)
    }

    /// The window of an output pixel clipped to the input, and its divisor.
    fn place(&self, oh: usize, ow: usize, in_h: usize, in_w: usize) -> (Range<usize>, Range<usize>, f64) {
        let ((rows, height), (columns, width)) = (self.window(oh, 0, in_h), self.window(ow, 1, in_w));
        let divisor = match self.divisor_override {
            Some(divisor) => divisor,
            None if self.count_include_pad => height * width,
            None => rows.len() * columns.len(),
        };
        (rows, columns, divisor as f64)
    }
}

impl Twin for AvgPool2d {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let input = inputs.real(0);
        let [_, _, in_h, in_w] = inputs.nchw(0);
        let [_, _, out_h, out_w] = inputs.output_nchw(0);
        for (i, y) in outputs.real(0).iter_mut().enumerate() {
            let plane = i / (out_h * out_w);
            let (rows, columns, divisor) = self.place(i / out_w % out_h, i % out_w, in_h, in_w);
            if rows.is_empty() || columns.is_empty() {
                continue;
            }
            let mut sum = R::default();
            for h in rows {
                for w in columns.clone() {
                    sum += input[(plane * in_h + h) * in_w + w];
                }
            }
            *y = sum / R::of(divisor);
        }
    }
}

impl Twin for AvgPool2dGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let [_, _, out_h, out_w] = inputs.nchw(0);
        let [_, _, in_h, in_w] = inputs.output_nchw(0);
        let grad_input = outputs.real(0);
        for (i, &dy) in inputs.real(0).iter().enumerate() {
            let plane = i / (out_h * out_w);
            let (rows, columns, divisor) = self.pool.place(i / out_w % out_h, i % out_w, in_h, in_w);
            for h in rows {
                for w in columns.clone() {
                    grad_input[(plane * in_h + h) * in_w + w] += dy / R::of(divisor);
                }
            }
        }
    }
}

//! Twins of conv2d and its gradients, as in the formulas.
//!
//! The loops over pixels are innermost, one weight at a time, which lets a compiler vectorise over pixels where the
//! stride is
//! 1. An element of the output or of grad_input adds its products in the order of the outer loops.

use std::ops::Range;

use crate::ops::conv2d::{Conv2dAttributes, Conv2dGradInput, Conv2dGradWeight};
use crate::twin::{Inputs, Outputs, Real, Twin, fill_nchw, fill_planes};

/// Outputs along one axis, of 0..`size`, whose tap `k` lies within the input 0..`input`.
fn outputs_of_tap(k: usize, stride: usize, dilation: usize, pad: usize, input: usize, size: usize) -> Range<usize> {
    let first = pad.saturating_sub(k * dilation).div_ceil(stride);
    let end = (input + pad).saturating_sub(k * dilation).div_ceil(stride).min(size);
    first.min(end)..end
}

/// The pairs of (output row, input row) and the columns that meet at a tap of the window.
struct Tap {
    rows: Range<usize>,
    columns: Range<usize>,
    conv: Conv2dAttributes,
    tap: [usize; 2],
}

impl Tap {
    /// Creates tap [kh, kw] for planes of these heights and widths.
    fn new(conv: &Conv2dAttributes, tap: [usize; 2], input: [usize; 2], output: [usize; 2]) -> Self {
        let along = |axis: usize| {
            let pad = conv.padding[axis * 2];
            outputs_of_tap(tap[axis], conv.stride[axis], conv.dilation[axis], pad, input[axis], output[axis])
        };
        Tap { rows: along(0), columns: along(1), conv: *conv, tap }
    }

    /// Input position of output `o`'s tap along an axis.
    fn input(&self, axis: usize, o: usize) -> usize {
        o * self.conv.stride[axis] + self.tap[axis] * self.conv.dilation[axis] - self.conv.padding[axis * 2]
    }

    /// Calls `line` for every row of outputs with its index in output and input, and the first column in the input.
    fn lines(&self, mut line: impl FnMut(usize, usize, usize)) {
        if self.columns.is_empty() {
            return;
        }
        let first = self.input(1, self.columns.start);
        self.rows.clone().for_each(|row| line(row, self.input(0, row), first));
    }
}

impl Twin for Conv2dAttributes {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (x, weight) = (inputs.real(0), inputs.real(1));
        let bias = (inputs.len() == 3).then(|| inputs.real(2));
        let [_, channels, in_h, in_w] = inputs.nchw(0);
        let [_, group_in, kernel_h, kernel_w] = inputs.nchw(1);
        let dims = inputs.output_nchw(0);
        let [_, out_c, out_h, out_w] = dims;
        let group_out = out_c / self.groups;
        fill_planes(outputs.real(0), dims, |n, co, output| {
            for ci in 0..group_in {
                let plane = n * channels + co / group_out * group_in + ci;
                let input = &x[plane * in_h * in_w..][..in_h * in_w];
                for kh in 0..kernel_h {
                    for kw in 0..kernel_w {
                        let by = weight[((co * group_in + ci) * kernel_h + kh) * kernel_w + kw];
                        let tap = Tap::new(self, [kh, kw], [in_h, in_w], [out_h, out_w]);
                        tap.lines(|oh, ih, iw| {
                            let to = &mut output[oh * out_w..][tap.columns.clone()];
                            let from = &input[ih * in_w + iw..];
                            let add = |(sum, &x): (&mut R, &R)| *sum += x * by;
                            match self.stride[1] {
                                1 => to.iter_mut().zip(from).for_each(add),
                                stride => to.iter_mut().zip(from.iter().step_by(stride)).for_each(add),
                            }
                        });
                    }
                }
            }
            if let Some(bias) = bias {
                output.iter_mut().for_each(|sum| *sum += bias[co]);
            }
        });
    }
}

impl Twin for Conv2dGradInput {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (grad_output, weight) = (inputs.real(0), inputs.real(1));
        let [_, out_c, out_h, out_w] = inputs.nchw(0);
        let [_, group_in, kernel_h, kernel_w] = inputs.nchw(1);
        let dims = inputs.output_nchw(0);
        let [_, _, in_h, in_w] = dims;
        let Conv2dAttributes { stride, groups, .. } = self.conv;
        let group_out = out_c / groups;
        fill_planes(outputs.real(0), dims, |n, ci, grad_input| {
            for kh in 0..kernel_h {
                for kw in 0..kernel_w {
                    let tap = Tap::new(&self.conv, [kh, kw], [in_h, in_w], [out_h, out_w]);
                    for co in ci / group_in * group_out..(ci / group_in + 1) * group_out {
                        let by = weight[((co * group_in + ci % group_in) * kernel_h + kh) * kernel_w + kw];
                        let grad = &grad_output[(n * out_c + co) * out_h * out_w..][..out_h * out_w];
                        tap.lines(|oh, ih, iw| {
                            let from = &grad[oh * out_w..][tap.columns.clone()];
                            let to = &mut grad_input[ih * in_w + iw..];
                            let add = |(sum, &grad): (&mut R, &R)| *sum += grad * by;
                            match stride[1] {
                                1 => to.iter_mut().zip(from).for_each(add),
                                stride => to.iter_mut().step_by(stride).zip(from).for_each(add),
                            }
                        });
                    }
                }
            }
        });
    }
}

impl Twin for Conv2dGradWeight {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (x, grad_output) = (inputs.real(0), inputs.real(1));
        let [batch, in_c, in_h, in_w] = inputs.nchw(0);
        let [_, out_c, out_h, out_w] = inputs.nchw(1);
        let dims = inputs.output_nchw(0);
        let Conv2dAttributes { stride, groups, .. } = self.conv;
        let group_out = out_c / groups;
        fill_nchw(outputs.real(0), dims, |co, ci, kh, kw| {
            let tap = Tap::new(&self.conv, [kh, kw], [in_h, in_w], [out_h, out_w]);
            // One sum per column; they are added up at the end.
            let mut sums = vec![R::default(); tap.columns.len()];
            for n in 0..batch {
                let input = &x[(n * in_c + co / group_out * dims[1] + ci) * in_h * in_w..][..in_h * in_w];
                let grad = &grad_output[(n * out_c + co) * out_h * out_w..][..out_h * out_w];
                tap.lines(|oh, ih, iw| {
                    let grads = &grad[oh * out_w..][tap.columns.clone()];
                    let from = &input[ih * in_w + iw..];
                    let add = |((sum, &grad), &x): ((&mut R, &R), &R)| *sum += x * grad;
                    let pairs = sums.iter_mut().zip(grads);
                    match stride[1] {
                        1 => pairs.zip(from).for_each(add),
                        stride => pairs.zip(from.iter().step_by(stride)).for_each(add),
                    }
                });
            }
            sums.into_iter().sum()
        });
    }
}

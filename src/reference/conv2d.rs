//! conv2d and its gradients, as the formulas say.

use std::ops::Range;

use super::{Inputs, Outputs, Real, Twin, fill_nchw};
use crate::ops::conv2d::{Conv2d, Conv2dGradInput, Conv2dGradWeight};

/// Where tap `k` of the window of output `o` lies in the input, if it does.
fn tap(o: usize, k: usize, stride: usize, dilation: usize, pad: usize, size: usize) -> Option<usize> {
    (o * stride + k * dilation).checked_sub(pad).filter(|&i| i < size)
}

/// The output whose window has tap `k` at input `i`, if there is one.
fn untap(i: usize, k: usize, stride: usize, dilation: usize, pad: usize, size: usize) -> Option<usize> {
    let from = (i + pad).checked_sub(k * dilation)?;
    (from % stride == 0 && from / stride < size).then_some(from / stride)
}

/// The outputs 0..`size` whose tap `k` lies within the input 0..`input`.
fn outputs_of_tap(k: usize, stride: usize, dilation: usize, pad: usize, input: usize, size: usize) -> Range<usize> {
    let first = pad.saturating_sub(k * dilation).div_ceil(stride);
    let end = (input + pad).saturating_sub(k * dilation).div_ceil(stride).min(size);
    first.min(end)..end
}

impl Twin for Conv2d {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (x, weight) = (inputs.real(0), inputs.real(1));
        let bias = (inputs.len() == 3).then(|| inputs.real(2));
        let [_, channels, in_h, in_w] = inputs.nchw(0);
        let [_, group_in, kernel_h, kernel_w] = inputs.nchw(1);
        let dims = inputs.output_nchw(0);
        let group_out = dims[1] / self.groups;
        fill_nchw(outputs.real(0), dims, |n, co, oh, ow| {
            let mut sum = R::default();
            for ci in 0..group_in {
                let plane = n * channels + co / group_out * group_in + ci;
                for kh in 0..kernel_h {
                    let Some(h) = tap(oh, kh, self.stride[0], self.dilation[0], self.padding[0], in_h) else {
                        continue;
                    };
                    for kw in 0..kernel_w {
                        let Some(w) = tap(ow, kw, self.stride[1], self.dilation[1], self.padding[2], in_w) else {
                            continue;
                        };
                        let by = ((co * group_in + ci) * kernel_h + kh) * kernel_w + kw;
                        sum += x[(plane * in_h + h) * in_w + w] * weight[by];
                    }
                }
            }
            sum + bias.map_or(R::default(), |bias| bias[co])
        });
    }
}

impl Twin for Conv2dGradInput {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (grad_output, weight) = (inputs.real(0), inputs.real(1));
        let [_, out_c, out_h, out_w] = inputs.nchw(0);
        let [_, group_in, kernel_h, kernel_w] = inputs.nchw(1);
        let Conv2d { stride, padding, dilation, groups } = self.conv;
        let group_out = out_c / groups;
        fill_nchw(outputs.real(0), inputs.output_nchw(0), |n, ci, ih, iw| {
            let mut sum = R::default();
            for kh in 0..kernel_h {
                let Some(oh) = untap(ih, kh, stride[0], dilation[0], padding[0], out_h) else { continue };
                for kw in 0..kernel_w {
                    let Some(ow) = untap(iw, kw, stride[1], dilation[1], padding[2], out_w) else { continue };
                    for co in ci / group_in * group_out..(ci / group_in + 1) * group_out {
                        let by = ((co * group_in + ci % group_in) * kernel_h + kh) * kernel_w + kw;
                        sum += grad_output[((n * out_c + co) * out_h + oh) * out_w + ow] * weight[by];
                    }
                }
            }
            sum
        });
    }
}

impl Twin for Conv2dGradWeight {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (x, grad_output) = (inputs.real(0), inputs.real(1));
        let [batch, in_c, in_h, in_w] = inputs.nchw(0);
        let [_, out_c, out_h, out_w] = inputs.nchw(1);
        let dims = inputs.output_nchw(0);
        let Conv2d { stride, padding, dilation, groups } = self.conv;
        let group_out = out_c / groups;
        fill_nchw(outputs.real(0), dims, |co, ci, kh, kw| {
            let rows = outputs_of_tap(kh, stride[0], dilation[0], padding[0], in_h, out_h);
            let columns = outputs_of_tap(kw, stride[1], dilation[1], padding[2], in_w, out_w);
            let mut sum = R::default();
            for n in 0..batch {
                let from = n * in_c + co / group_out * dims[1] + ci;
                let to = n * out_c + co;
                for oh in rows.clone() {
                    let h = oh * stride[0] + kh * dilation[0] - padding[0];
                    for ow in columns.clone() {
                        let w = ow * stride[1] + kw * dilation[1] - padding[2];
                        sum += x[(from * in_h + h) * in_w + w] * grad_output[(to * out_h + oh) * out_w + ow];
                    }
                }
            }
            sum
        });
    }
}

//! max_pool2d and its gradient.

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::max_pool2d::{MaxPool2d, MaxPool2dGrad};

impl Twin for MaxPool2d {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let input = inputs.real(0);
        let [_, _, in_h, in_w] = inputs.nchw(0);
        let [batch, channels, out_h, out_w] = inputs.output_nchw(0);
        for plane in 0..batch * channels {
            for place in 0..out_h * out_w {
                let (oh, ow) = (place / out_w, place % out_w);
                let mut winner: Option<(usize, R)> = None;
                for kh in 0..self.kernel[0] {
                    for kw in 0..self.kernel[1] {
                        let h = (oh * self.stride[0] + kh * self.dilation[0]).checked_sub(self.padding[0]);
                        let w = (ow * self.stride[1] + kw * self.dilation[1]).checked_sub(self.padding[1]);
                        let (Some(h), Some(w)) = (h, w) else { continue };
                        if h >= in_h || w >= in_w {
                            continue;
                        }
                        let value = input[(plane * in_h + h) * in_w + w];
                        // The first of equals wins; NaN wins over all before it.
                        if winner.is_none_or(|(_, best)| value > best || value.to_f64().is_nan()) {
                            winner = Some((h * in_w + w, value));
                        }
                    }
                }
                // A dilated window may have all its taps in the padding: nobody wins, and nobody gets its gradient.
                let (index, value) =
                    winner.map_or((-1, R::of(f64::NEG_INFINITY)), |(index, value)| (index as i32, value));
                outputs.real(0)[plane * out_h * out_w + place] = value;
                outputs.ints(1)[plane * out_h * out_w + place] = index;
            }
        }
    }
}

impl Twin for MaxPool2dGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (grad_output, indices) = (inputs.real(0), inputs.ints(1));
        let [_, _, out_h, out_w] = inputs.nchw(0);
        let [_, _, in_h, in_w] = inputs.output_nchw(0);
        let grad_input = outputs.real(0);
        for (i, (&dy, &index)) in grad_output.iter().zip(indices).enumerate() {
            if self.relu && inputs.real(2)[i] <= R::default() {
                continue;
            }
            if let Ok(index) = usize::try_from(index) {
                grad_input[i / (out_h * out_w) * in_h * in_w + index] += dy;
            }
        }
    }
}

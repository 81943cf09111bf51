//! Nearest upsampling and its gradient.

use super::{Inputs, Outputs, Real, Twin, fill_nchw};
use crate::ops::upsample::{Upsample, UpsampleGrad};

impl Twin for Upsample {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let input = inputs.real(0);
        let [_, c, in_h, in_w] = inputs.nchw(0);
        let [scale_h, scale_w] = self.scale_factor;
        fill_nchw(outputs.real(0), inputs.output_nchw(0), |n, channel, oh, ow| {
            input[((n * c + channel) * in_h + oh / scale_h) * in_w + ow / scale_w]
        });
    }
}

impl Twin for UpsampleGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let grad_output = inputs.real(0);
        let [_, c, out_h, out_w] = inputs.nchw(0);
        let [scale_h, scale_w] = self.0.scale_factor;
        fill_nchw(outputs.real(0), inputs.output_nchw(0), |n, channel, h, w| {
            let mut sum = R::default();
            for oh in h * scale_h..(h + 1) * scale_h {
                let row = &grad_output[((n * c + channel) * out_h + oh) * out_w..][..out_w];
                sum += row[w * scale_w..][..scale_w].iter().copied().sum();
            }
            sum
        });
    }
}

//! Zero padding and cropping.

use super::{Inputs, Outputs, Real, Twin, fill_nchw};
use crate::ops::zero_pad2d::ZeroPad2d;

impl Twin for ZeroPad2d {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let input = inputs.real(0);
        let [_, c, in_h, in_w] = inputs.nchw(0);
        let [top, _, left, _] = self.padding;
        let inside = |o: usize, before: isize, size: usize| {
            usize::try_from(o as isize - before).ok().filter(|&place| place < size)
        };
        fill_nchw(outputs.real(0), inputs.output_nchw(0), |n, channel, oh, ow| {
            match (inside(oh, top, in_h), inside(ow, left, in_w)) {
                (Some(h), Some(w)) => input[((n * c + channel) * in_h + h) * in_w + w],
                _ => R::default(),
            }
        });
    }
}

//! A batch collected from a data set.

use rayon::prelude::*;

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::gather::{Gather, GatherLabels};

impl Gather {
    /// One image as numbers, [C, H, W], of its bytes [H, W, C]; `item` is its place in the data set, and `random` what
    /// [`crate::rng::draw`] gives for the step.
    pub(crate) fn image<R: Real>(
        &self,
        bytes: &[u8],
        [channels, h, w]: [usize; 3],
        item: u32,
        random: &[i32],
        output: &mut [R],
    ) {
        let crop = self.augment.map(|augment| augment.crop(random, item));
        for (i, output) in output.iter_mut().enumerate() {
            let (channel, y, x) = (i / (h * w), i / w % h, i % w);
            let source = match crop {
                Some(crop) => crop.source([h, w], y, x),
                None => Some([y, x]),
            };
            let byte = source.map_or(0, |[row, column]| bytes[(row * w + column) * channels + channel]);
            let [scale, shift] = [self.scale, self.shift].map(|values| R::of(f64::from(values[channel.min(3)])));
            *output = R::of(f64::from(byte)) * scale + shift;
        }
    }
}

impl Twin for Gather {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let [_, channels, h, w] = inputs.output_nchw(0);
        let image = channels * h * w;
        let random = if self.augment.is_some() { inputs.ints(2) } else { &[] };
        outputs.real(0).par_chunks_mut(image.max(1)).zip(inputs.ints(1)).for_each(|(output, &index)| {
            let bytes = &inputs.bytes(0)[index as usize * image..][..image];
            self.image(bytes, [channels, h, w], index as u32, random, output);
        });
    }
}

impl Twin for GatherLabels {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        for (output, &index) in outputs.ints(0).iter_mut().zip(inputs.ints(1)) {
            *output = inputs.ints(0)[index as usize];
        }
    }
}

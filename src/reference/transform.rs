//! A batch collected from a data set, its images changed at random.

use rayon::prelude::*;

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::augmentation::{DRAWN, Drawn, ONE};
use crate::ops::transform::{FRACTION, Transform};

/// The largest value of a pixel.
const BRIGHTEST: i64 = 255 << FRACTION;

/// The image's bytes, [H, W, C], and what was drawn for it.
struct Image<'a> {
    bytes: &'a [u8],
    channels: usize,
    height: usize,
    width: usize,
    drawn: Drawn,
    resized: bool,
}

/// Pixel `x` of `to` lies between two of `from`: the first, the second, and the second's weight in 4096ths.
fn between(x: usize, from: i32, to: usize) -> (i64, i64, i64) {
    let (from, to) = (i64::from(from), to as i64);
    let halves = ((2 * x as i64 + 1) * from - to).max(0);
    let low = halves / (2 * to);
    ((low), (low + 1).min(from - 1), (halves % (2 * to) * 4096 + to) / (2 * to))
}

/// `f x + (1 - f) y` with f in 4096ths.
fn blend(x: i64, y: i64, factor: i32) -> i64 {
    let (factor, one) = (i64::from(factor), i64::from(ONE));
    ((factor * x + (one - factor) * y + one / 2) >> 12).clamp(0, BRIGHTEST)
}

fn gray(color: &[i64]) -> i64 {
    match color {
        [r, g, b] => (19589 * r + 38470 * g + 7471 * b + (1 << 15)) >> 16,
        _ => color[0],
    }
}

impl Image<'_> {
    /// 0 outside of the image.
    fn byte(&self, row: i64, column: i64, channel: usize) -> i64 {
        match (usize::try_from(row), usize::try_from(column)) {
            (Ok(y), Ok(x)) if y < self.height && x < self.width => {
                i64::from(self.bytes[(y * self.width + x) * self.channels + channel])
            }
            _ => 0,
        }
    }

    /// The channels of what comes to row `y` and column `x`, after crop and flip, in 16ths of a byte.
    fn sample(&self, y: usize, x: usize, color: &mut [i64]) {
        let Drawn { top, left, height, width, flip, .. } = self.drawn;
        let (top, left) = (i64::from(top), i64::from(left));
        let x = if flip != 0 { self.width - 1 - x } else { x };
        for (channel, value) in color.iter_mut().enumerate() {
            if !self.resized {
                *value = self.byte(top + y as i64, left + x as i64, channel) << FRACTION;
                continue;
            }
            let (y0, y1, weight_y) = between(y, height, self.height);
            let (x0, x1, weight_x) = between(x, width, self.width);
            let line = |row: i64| {
                let byte = |column: i64| self.byte(top + row, left + column, channel);
                byte(x0) * (4096 - weight_x) + byte(x1) * weight_x
            };
            *value = (line(y0) * (4096 - weight_y) + line(y1) * weight_y + (1 << 19)) >> 20;
        }
    }
}

impl Transform {
    /// One image as numbers, [C, H, W], of its bytes [H, W, C], changed by what was drawn for it.
    pub(crate) fn image<R: Real>(
        &self,
        bytes: &[u8],
        [channels, height, width]: [usize; 3],
        drawn: Drawn,
        output: &mut [R],
    ) {
        let resized = self.augmentation.resized_crop.is_some();
        let image = Image { bytes, channels, height, width, drawn, resized };
        let (pixels, jitter) = (height * width, self.augmentation.jitter);
        let jittered = jitter != Default::default();
        let mut color = vec![0; channels];
        let brightened = |pixel: usize, color: &mut [i64]| {
            image.sample(pixel / width, pixel % width, color);
            if jittered {
                color.iter_mut().for_each(|value| *value = blend(*value, 0, drawn.brightness));
            }
        };
        let mut mean = 0;
        if jitter.contrast > 0.0 {
            for pixel in 0..pixels {
                brightened(pixel, &mut color);
                mean += gray(&color);
            }
            mean = (mean + pixels as i64 / 2) / pixels as i64;
        }
        let side = self.augmentation.cutout as i64;
        let inside = |at: usize, begin: i32| (0..side).contains(&(at as i64 - i64::from(begin)));
        for pixel in 0..pixels {
            brightened(pixel, &mut color);
            if jittered {
                color.iter_mut().for_each(|value| *value = blend(*value, mean, drawn.contrast));
                let own = gray(&color);
                color.iter_mut().for_each(|value| *value = blend(*value, own, drawn.saturation));
            }
            let cut = inside(pixel / width, drawn.cutout_top) && inside(pixel % width, drawn.cutout_left);
            for (channel, &value) in color.iter().enumerate() {
                let [high, low, shift] = {
                    let [high, low] = self.scale_parts(channel);
                    [high, low, self.shift[channel.min(3)]].map(|x| R::of(f64::from(x)))
                };
                let value = R::of(value as f64);
                let normalised = (value * high + shift) + value * low;
                output[channel * pixels + pixel] = if cut { R::default() } else { normalised };
            }
        }
    }
}

impl Twin for Transform {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let [_, channels, h, w] = inputs.output_nchw(0);
        let image = channels * h * w;
        let draws = inputs.ints(2).par_chunks(DRAWN);
        outputs.real(0).par_chunks_mut(image.max(1)).zip(inputs.ints(1)).zip(draws).for_each(
            |((output, &index), words)| {
                let bytes = &inputs.bytes(0)[index as usize * image..][..image];
                self.image(bytes, [channels, h, w], Drawn::from_words(words), output);
            },
        );
    }
}

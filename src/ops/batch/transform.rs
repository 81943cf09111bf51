//! Gathering of a batch from a resident data set, with images augmented by values drawn on the host: cropped or
//! resized, flipped, colour-jittered, normalised, with a cutout square.

use rayon::prelude::*;

use crate::error::Result;
use crate::graph::{Misfit, Operation, Tape};
use crate::kernel::{DeviceClass, Dispatch, Extent, Kernel, Lowering, Operand, source};
use crate::ops::arity;
use crate::ops::augmentation::{Augmentation, DRAWN, Drawn, ONE};
use crate::ops::gather::{differing_channels, misfit};
use crate::params;
use crate::shape::{DType, Layout};
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// `scale value + shift` of the indexed images after augmentation. Operands are images [count, C, H, W], indices \[N\]
/// and i32 draws [N, 10], each row the words of an [`augmentation::Drawn`](super::augmentation::Drawn).
///
/// Pixels are integers in 16ths of a byte until the normalisation, and all operations on them are integer operations,
/// so that every device and the twin agree to the bit. Source: torchvision's transforms on float images, to a 16th of a
/// byte per step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transform {
    /// Factor of a byte, per channel; channels from the fourth on share the last.
    pub scale: [f32; 4],
    /// Offset added to the product, per channel in the same way.
    pub shift: [f32; 4],
    /// The augmentation.
    pub augmentation: Augmentation,
    /// Height and width of the output; `None` for those of the images.
    pub output: Option<[usize; 2]>,
}

/// Number of fractional bits of a pixel, for 16ths of a byte.
pub(crate) const FRACTION: u32 = 4;

params! {
    /// Scale of a 16th of a byte in two parts, and shift; the batch's rows and their extents; words per image; the
    /// images of this piece; the side of the cutout square; the extents of the images.
    pub(crate) struct Params {
        scale_high: [f32; 4], scale_low: [f32; 4], shift: [f32; 4],
        rows: u32, pixels: u32, channels: u32, height: u32, width: u32, words: u32, first: u32, count: u32,
        cutout: u32, image_height: u32, image_width: u32, pad0: u32,
    }
}

impl Tape {
    /// Gathers images as numbers, [N, C, H, W], for the indices of a batch, each augmented by its row of `draws`.
    pub fn transform(
        &mut self,
        name: &str,
        images: TensorId,
        indices: TensorId,
        draws: TensorId,
        op: Transform,
    ) -> Result<TensorId> {
        Ok(self.append(name, op, &[images, indices, draws], &[])?[0])
    }
}

impl Transform {
    /// Height and width of the output for images of these extents.
    fn output(&self, extents: [usize; 2]) -> [usize; 2] {
        self.output.unwrap_or(extents)
    }

    /// The scale of a 16th of a byte of `channel`, as a sum of two factors of 12 bits.
    ///
    /// A pixel has 12 bits too, so both products are exact. A device that fuses multiply and add without rounding the
    /// product therefore gets the same result.
    pub(crate) fn scale_parts(&self, channel: usize) -> [f32; 2] {
        let scale = self.scale[channel.min(3)] / (1 << FRACTION) as f32;
        let high = f32::from_bits(scale.to_bits() & !0xfff);
        [high, scale - high]
    }
}

impl Operation for Transform {
    fn name(&self) -> &'static str {
        "transform"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[3])?;
        let (&[_, c, h, w], &[n]) = (inputs[0].shape.dims(), inputs[1].shape.dims()) else {
            return Err(misfit(inputs));
        };
        if inputs[0].dtype != DType::U8 || inputs[0].layout != Layout::ChannelsLast {
            return Err(misfit(inputs));
        }
        if inputs[2].dtype != DType::I32 || inputs[2].shape.dims() != [n, DRAWN] {
            return Err(Misfit::Shape(format!("draws must be i32 [{n},{DRAWN}], they are {}", inputs[2].shape)));
        }
        differing_channels(c, &self.scale, &self.shift)?;
        let [height, width] = self.output([h, w]);
        if height.min(width) == 0 {
            return Err(Misfit::Attribute(format!("output must be at least 1x1, it is {height}x{width}")));
        }
        self.augmentation.check_to([c, h, w], [height, width])?;
        Ok(vec![Spec::f32([n, c, height, width])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let [rows, channels, height, width] = lowering.output_dims(0);
        let [_, _, image_height, image_width] = lowering.input_dims(0);
        let part = |part: usize| [0, 1, 2, 3].map(|channel| self.scale_parts(channel)[part]);
        let params = Params {
            scale_high: part(0),
            scale_low: part(1),
            shift: self.shift,
            rows,
            pixels: height * width,
            channels,
            height,
            width,
            words: (channels * image_height * image_width).div_ceil(4),
            cutout: self.augmentation.cutout as u32,
            image_height,
            image_width,
            ..Params::default()
        };
        let jitter = self.augmentation.jitter;
        let contrast = jitter.contrast > 0.0;
        let means = contrast.then(|| lowering.scratch(u64::from(rows) * 4));
        let geometry = match self.augmentation.resized_crop {
            Some(_) => source!("batch/transform_resized.wgsl"),
            None => source!("batch/transform_cropped.wgsl"),
        };
        let shared = [source!("batch/transform_pixel.wgsl"), geometry, source!("lib/divide.wgsl")];
        let files = [source!("batch/transform.wgsl"), source!("lib/each.wgsl")];
        let mut kernel = Kernel::new("transform", &files).with(&shared);
        kernel = if jitter == Default::default() {
            kernel.with(&[source!("batch/transform_color_none.wgsl")])
        } else if contrast {
            kernel.with(&[source!("batch/transform_color.wgsl"), source!("batch/transform_mean.wgsl")])
        } else {
            kernel.with(&[source!("batch/transform_color.wgsl"), source!("batch/transform_mean_none.wgsl")])
        };
        let gray = [
            source!("batch/transform_gray.wgsl"),
            source!("batch/transform_color.wgsl"),
            source!("batch/transform_mean_none.wgsl"),
            source!("lib/workgroup_sum.wgsl"),
            source!("lib/workgroup.wgsl"),
        ];
        // A software device runs a workgroup of this width at once, so that it never waits at a barrier.
        let width: u32 = if lowering.caps().class == DeviceClass::Software { 8 } else { 64 };
        let gray = Kernel::new("transform/gray", &gray).with(&shared).constant("WG", width);
        let kernel = kernel.constant("WG", 64);
        for (piece, (first, count)) in lowering.input_pieces(0)?.rows().enumerate() {
            let params = Params { first: first as u32, count: count as u32, ..params };
            let operands = [
                ("data", lowering.input_piece(0, piece)),
                ("indices", lowering.input(1)),
                ("draws", lowering.input(2)),
            ];
            let output = lowering.output(0);
            let mut dispatch = |kernel: &Kernel, extent, elements: u32, results: &[(&'static str, Operand)]| {
                lowering.push(
                    Dispatch::new(kernel.clone(), &params, extent)
                        .elements(elements)
                        .bind_all(operands.iter().chain(results).copied()),
                );
            };
            let extent = Extent::Invocations(u64::from(rows) * u64::from(params.pixels));
            match means {
                Some(means) => {
                    dispatch(
                        &gray,
                        Extent::Workgroups(u64::from(rows)),
                        params.pixels.div_ceil(width) + width.ilog2(),
                        &[("gray_means", means)],
                    );
                    dispatch(&kernel, extent, params.channels, &[("means", means), ("output", output)]);
                }
                None => dispatch(&kernel, extent, params.channels, &[("output", output)]),
            }
        }
        Ok(())
    }
}

/// Largest value of a pixel.
const BRIGHTEST: i64 = 255 << FRACTION;

/// Bytes of the image, [H, W, C], and the values drawn for it.
struct Image<'a> {
    bytes: &'a [u8],
    channels: usize,
    height: usize,
    width: usize,
    /// Height and width of the output.
    output: [usize; 2],
    drawn: Drawn,
    resized: bool,
}

/// Interpolation of pixel `x` of `to` from `from` pixels: the first, the second, and the second's weight in 4096ths.
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
    /// Returns the byte; 0 outside the image.
    fn byte(&self, row: i64, column: i64, channel: usize) -> i64 {
        match (usize::try_from(row), usize::try_from(column)) {
            (Ok(y), Ok(x)) if y < self.height && x < self.width => {
                i64::from(self.bytes[(y * self.width + x) * self.channels + channel])
            }
            _ => 0,
        }
    }

    /// Computes the channels of row `y` and column `x` after crop and flip, in 16ths of a byte.
    fn sample(&self, y: usize, x: usize, color: &mut [i64]) {
        let Drawn { top, left, height, width, flip, .. } = self.drawn;
        let (top, left) = (i64::from(top), i64::from(left));
        let [rows, columns] = self.output;
        let x = if flip != 0 { columns - 1 - x } else { x };
        for (channel, value) in color.iter_mut().enumerate() {
            if !self.resized {
                *value = self.byte(top + y as i64, left + x as i64, channel) << FRACTION;
                continue;
            }
            let (y0, y1, weight_y) = between(y, height, rows);
            let (x0, x1, weight_x) = between(x, width, columns);
            let line = |row: i64| {
                let byte = |column: i64| self.byte(top + row, left + column, channel);
                byte(x0) * (4096 - weight_x) + byte(x1) * weight_x
            };
            *value = (line(y0) * (4096 - weight_y) + line(y1) * weight_y + (1 << 19)) >> 20;
        }
    }
}

impl Transform {
    /// Converts the bytes [H, W, C] of one image to numbers [C, H, W] of the output's extents, augmented by the values
    /// drawn for it.
    pub(crate) fn image<R: Real>(
        &self,
        bytes: &[u8],
        [channels, height, width]: [usize; 3],
        drawn: Drawn,
        output: &mut [R],
    ) {
        let resized = self.augmentation.resized_crop.is_some();
        let to = self.output([height, width]);
        let image = Image { bytes, channels, height, width, output: to, drawn, resized };
        let [height, width] = to;
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
        let [_, channels, h, w] = inputs.nchw(0);
        let (image, [height, width]) = (channels * h * w, self.output([h, w]));
        let draws = inputs.ints(2).par_chunks(DRAWN);
        outputs.real(0).par_chunks_mut((channels * height * width).max(1)).zip(inputs.ints(1)).zip(draws).for_each(
            |((output, &index), words)| {
                let bytes = &inputs.bytes(0)[index as usize * image..][..image];
                self.image(bytes, [channels, h, w], Drawn::from_words(words), output);
            },
        );
    }
}

//! Gathering of a batch from a resident data set: images converted from bytes to numbers, optionally cropped and
//! flipped at random, and labels.

use rayon::prelude::*;

use crate::error::Result;
use crate::graph::{Misfit, Operation, Tape};
use crate::kernel::{Dispatch, Extent, Kernel, Lowering, source};
use crate::ops::arity;
use crate::params;
use crate::rng::{Rng, drawn};
use crate::shape::{DType, Layout};
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// Random number stream of [`Augment`].
const STREAM: &str = "augment";
/// Largest padding. Twice that plus one is still far below the limit of 32 bits.
const MOST_PADDING: usize = 1 << 15;

/// `scale byte + shift` of the indexed images. Operands are images [count, C, H, W] and indices \[N\], and with
/// `augment` the input of [`Tape::random`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gather {
    /// Factor of a byte, per channel; channels from the fourth on share the last.
    pub scale: [f32; 4],
    /// Offset added to the product, per channel in the same way.
    pub shift: [f32; 4],
    /// Random augmentation of the images, if any.
    pub augment: Option<Augment>,
}

/// A random crop and a random flip, drawn for each image in each step: torchvision's `RandomCrop([H, W], padding)` and
/// then `RandomHorizontalFlip(flip)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augment {
    /// Black pixels (zero bytes) added on each side before the crop to the image's own extents.
    pub padding: usize,
    /// Probability of a horizontal flip.
    pub flip: f32,
}

impl Default for Augment {
    /// The usual setting for CIFAR-10: 4 pixels on each side, and every second image flipped on average.
    fn default() -> Self {
        Augment { padding: 4, flip: 0.5 }
    }
}

/// Values drawn for one image: the corner of the crop in the padded image, and the flip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    /// Number of rows cropped at the top, 0 to 2 `padding`.
    pub top: usize,
    /// Number of columns cropped on the left, 0 to 2 `padding`.
    pub left: usize,
    /// True if the image is then flipped horizontally.
    pub flip: bool,
    padding: usize,
}

impl Augment {
    /// Checks both settings against their ranges.
    pub fn check(&self) -> Result<(), Misfit> {
        if self.padding > MOST_PADDING {
            return Err(Misfit::Attribute(format!("padding must be at most {MOST_PADDING}, it is {}", self.padding)));
        }
        if !(0.0..=1.0).contains(&self.flip) {
            return Err(Misfit::Attribute(format!("flip must be 0 to 1, it is {}", self.flip)));
        }
        Ok(())
    }

    /// Draws the crop of image `item` of its data set. `random` comes from [`crate::rng::draw`] for the step.
    pub fn crop(&self, random: &[i32], item: u32) -> Crop {
        let (rng, step) = drawn(STREAM, random);
        let [top, left, flip, _] = rng.words_at(step, item);
        let below = |word: u32| ((u64::from(word) * (2 * self.padding as u64 + 1)) >> 32) as usize;
        Crop { top: below(top), left: below(left), flip: flip >> 8 < self.flip_below(), padding: self.padding }
    }

    /// Threshold below which a random 24-bit number flips an image.
    fn flip_below(&self) -> u32 {
        (self.flip * 16_777_216.0).ceil() as u32
    }
}

impl Crop {
    /// Source row and column, in an image of `height` x `width`, of row `y` and column `x`; `None` in the padding.
    pub fn source(&self, [height, width]: [usize; 2], y: usize, x: usize) -> Option<[usize; 2]> {
        let across = if self.flip { width - 1 - x } else { x };
        let row = (y + self.top).checked_sub(self.padding)?;
        let column = (across + self.left).checked_sub(self.padding)?;
        (row < height && column < width).then_some([row, column])
    }
}

/// The indexed labels: operands are labels \[count\] and indices \[N\].
#[derive(Clone, Copy, Debug)]
pub struct GatherLabels;

params! {
    /// Scale and shift of a byte; the batch's rows and their extents; words per image; the images of this piece; the
    /// augmentation and its random number stream.
    pub(crate) struct Params {
        scale: [f32; 4], shift: [f32; 4],
        rows: u32, pixels: u32, channels: u32, height: u32, width: u32, words: u32, first: u32, count: u32,
        padding: u32, flip: u32, stream_low: u32, stream_high: u32,
    }
}

params! {
    /// Number of rows of the batch, and the labels of this piece.
    pub(crate) struct LabelParams { rows: u32, first: u32, count: u32 }
}

impl Tape {
    /// Gathers images as numbers, [N, C, H, W], for the indices of a batch.
    pub fn gather(&mut self, name: &str, images: TensorId, indices: TensorId, op: Gather) -> Result<TensorId> {
        let mut inputs = vec![images, indices];
        if op.augment.is_some() {
            inputs.push(self.random()?);
        }
        Ok(self.append(name, op, &inputs, &[])?[0])
    }

    /// Gathers labels, \[N\], for the indices of a batch.
    pub fn gather_labels(&mut self, name: &str, labels: TensorId, indices: TensorId) -> Result<TensorId> {
        Ok(self.append(name, GatherLabels, &[labels, indices], &[])?[0])
    }
}

impl Operation for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[2 + usize::from(self.augment.is_some())])?;
        let (&[_, c, h, w], &[n]) = (inputs[0].shape.dims(), inputs[1].shape.dims()) else {
            return Err(misfit(inputs));
        };
        if inputs[0].dtype != DType::U8 || inputs[0].layout != Layout::ChannelsLast {
            return Err(misfit(inputs));
        }
        differing_channels(c, &self.scale, &self.shift)?;
        if let Some(augment) = self.augment {
            augment.check()?;
            if inputs[2].dtype != DType::I32 || inputs[2].shape.len() != 4 {
                return Err(Misfit::Shape(format!("random must be i32 [4], it is {}", inputs[2].shape)));
            }
        }
        Ok(vec![Spec::f32([n, c, h, w])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let [rows, channels, height, width] = lowering.output_dims(0);
        let [stream_low, stream_high] = Rng::new(0, STREAM).stream();
        let mut params = Params {
            scale: self.scale,
            shift: self.shift,
            rows,
            pixels: height * width,
            channels,
            height,
            width,
            words: (channels * height * width).div_ceil(4),
            stream_low,
            stream_high,
            ..Params::default()
        };
        let mut kernel = Kernel::new(
            "gather",
            &[source!("batch/gather.wgsl"), source!("lib/divide.wgsl"), source!("lib/each.wgsl")],
        );
        match self.augment {
            Some(augment) => {
                (params.padding, params.flip) = (augment.padding as u32, augment.flip_below());
                kernel = kernel.with(&[source!("batch/gather_augmented.wgsl"), source!("lib/philox.wgsl")]);
                kernel.name = "gather/augmented";
            }
            None => kernel = kernel.with(&[source!("batch/gather_whole.wgsl")]),
        }
        let kernel = kernel.constant("WG", 64);
        for (piece, (first, count)) in lowering.input_pieces(0)?.rows().enumerate() {
            let params = Params { first: first as u32, count: count as u32, ..params };
            let (data, indices, output) = (lowering.input_piece(0, piece), lowering.input(1), lowering.output(0));
            let random = self.augment.map(|_| lowering.input(2));
            let extent = Extent::Invocations(u64::from(rows) * u64::from(params.pixels));
            lowering.push(
                Dispatch::new(kernel.clone(), &params, extent)
                    .bind("data", data)
                    .bind("indices", indices)
                    .bind("output", output)
                    .elements(params.channels)
                    .bind_all(random.map(|random| ("random", random))),
            );
        }
        Ok(())
    }
}

/// Refuses unequal scales or shifts if the images have more channels than there are numbers.
pub(crate) fn differing_channels(channels: usize, scale: &[f32; 4], shift: &[f32; 4]) -> Result<(), Misfit> {
    let differ = |values: &[f32; 4]| values.iter().any(|value| value != &values[0]);
    if channels > 4 && (differ(scale) || differ(shift)) {
        return Err(Misfit::Attribute(format!(
            "scale and shift can differ among up to 4 channels, the images have {channels}: set all four alike"
        )));
    }
    Ok(())
}

/// Describes the operands expected, and those found instead.
pub(crate) fn misfit(inputs: &[&Tensor]) -> Misfit {
    Misfit::Shape(format!(
        "images must be bytes [count,C,H,W] and indices [N], they are {} of {:?} and {}",
        inputs[0].shape, inputs[0].dtype, inputs[1].shape
    ))
}

impl Operation for GatherLabels {
    fn name(&self) -> &'static str {
        "gather_labels"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[2])?;
        match (inputs[0].shape.dims(), inputs[1].shape.dims()) {
            (&[_], &[n]) if inputs[0].dtype == DType::I32 => Ok(vec![Spec::i32([n])]),
            _ => Err(Misfit::Shape(format!(
                "labels must be i32 [count] and indices [N], they are {} of {:?} and {}",
                inputs[0].shape, inputs[0].dtype, inputs[1].shape
            ))),
        }
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let rows = lowering.output_dims(0)[0];
        // One dispatch for each piece of the labels. Each fills the rows whose index lies in its piece.
        for (piece, (first, count)) in lowering.input_pieces(0)?.rows().enumerate() {
            let params = LabelParams { rows, first: first as u32, count: count as u32 };
            let kernel = Kernel::new("gather_labels", &[source!("batch/gather_labels.wgsl"), source!("lib/each.wgsl")]);
            let (data, indices, output) = (lowering.input_piece(0, piece), lowering.input(1), lowering.output(0));
            lowering.push(
                Dispatch::new(kernel.constant("WG", 64), &params, Extent::Invocations(u64::from(rows)))
                    .elements(1_u32)
                    .bind("data", data)
                    .bind("indices", indices)
                    .bind("output", output),
            );
        }
        Ok(())
    }
}

impl Gather {
    /// Converts the bytes [H, W, C] of one image to numbers [C, H, W]. `item` is its index in the data set, and
    /// `random` comes from [`crate::rng::draw`] for the step.
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

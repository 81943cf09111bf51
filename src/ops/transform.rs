//! A batch collected from a data set that lies on the device, its images changed by what the host has drawn for each:
//! cropped or resized, flipped, jittered in colour, normalised, with a square cut out.

use super::augmentation::{Augmentation, DRAWN};
use super::dispatch::Extent;
use super::gather::{differing_channels, misfit};
use super::lowering::{Kernel, Lowering, Operand, bytes_of, params, source};
use super::{Misfit, Operation, arity};
use crate::error::Result;
use crate::graph::{Spec, Tape, Tensor, TensorId};
use crate::shape::{DType, Layout};

/// `scale value + shift` of the images that the indices name after random changes: operands are images [count, C, H, W],
/// indices \[N\] and i32 draws [N, 10], the words of an [`augmentation::Drawn`](super::augmentation::Drawn) each.
///
/// Pixels are whole 16ths of a byte until they are normalised, and all that is done to them is whole numbers, so that
/// every device and the twin agree to the bit. Source: torchvision's transforms on float images, to a 16th of a byte a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transform {
    /// What a byte is multiplied by, for each channel; channels from the fourth on share the last.
    pub scale: [f32; 4],
    /// What is added, for each channel in the same way.
    pub shift: [f32; 4],
    /// What is done.
    pub augmentation: Augmentation,
}

/// The 16ths of a byte, as the bits that they take.
pub(crate) const FRACTION: u32 = 4;

params! {
    /// How a 16th of a byte becomes a number, in two parts; rows asked for and their extents; words of an image; the images
    /// of this piece; the side of the square that is cut out.
    Params {
        scale_high: [f32; 4], scale_low: [f32; 4], shift: [f32; 4],
        rows: u32, pixels: u32, channels: u32, height: u32, width: u32, words: u32, first: u32, count: u32,
        cutout: u32, pad0: u32, pad1: u32, pad2: u32,
    }
}

impl Tape {
    /// Images as numbers, [N, C, H, W], for the indices of a batch, each changed by its row of `draws`.
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
    /// What a 16th of a byte of `channel` is multiplied by, as a sum of two factors of 12 bits.
    ///
    /// A pixel has 12 bits too, so both products are exact, and a device that multiplies and adds in one go, without
    /// rounding the product, gets the same.
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
        self.augmentation.check([c, h, w])?;
        Ok(vec![Spec::f32([n, c, h, w])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let [rows, channels, height, width] = lowering.output_dims(0);
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
            words: (channels * height * width).div_ceil(4),
            cutout: self.augmentation.cutout as u32,
            ..Params::default()
        };
        let jitter = self.augmentation.jitter;
        let contrast = jitter.contrast > 0.0;
        let means = contrast.then(|| lowering.scratch(u64::from(rows) * 4));
        let geometry = match self.augmentation.resized_crop {
            Some(_) => source!("transform_resized.wgsl"),
            None => source!("transform_cropped.wgsl"),
        };
        let shared = [source!("transform_pixel.wgsl"), geometry, source!("lib/divide.wgsl"), source!("lib/index.wgsl")];
        let mut kernel = Kernel::new("transform", &[source!("transform.wgsl")]).with(&shared);
        kernel = if jitter == Default::default() {
            kernel.with(&[source!("transform_color_none.wgsl")])
        } else if contrast {
            kernel.with(&[source!("transform_color.wgsl"), source!("transform_mean.wgsl")])
        } else {
            kernel.with(&[source!("transform_color.wgsl"), source!("transform_mean_none.wgsl")])
        };
        let gray =
            [source!("transform_gray.wgsl"), source!("transform_color.wgsl"), source!("transform_mean_none.wgsl")];
        let gray = Kernel::new("transform/gray", &gray).with(&shared).constant("WG", 64);
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
                let dispatch = lowering.dispatch(kernel.clone(), bytes_of!(Params, &params), extent);
                dispatch.elements(elements);
                for &(name, operand) in operands.iter().chain(results) {
                    dispatch.bind(name, operand);
                }
            };
            let extent = Extent::Invocations(u64::from(rows) * u64::from(params.pixels));
            match means {
                Some(means) => {
                    dispatch(
                        &gray,
                        Extent::Workgroups(u64::from(rows)),
                        params.pixels.div_ceil(64) + 64,
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

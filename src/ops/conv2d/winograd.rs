//! Kernels of a convolution by Winograd's F(2x2, 3x3): 16 products of transformed tiles in place of 36 multiply-adds
//! for every four results, a factor of 2.25 fewer. Source: Lavin and Gray, arXiv 1509.09308.
//!
//! An infinite or NaN value reaches all four results of every tile whose patch contains it, not only the results whose
//! window contains it, since patches are differences of their elements.

use super::params::{Params as Convolution, Problem};
use crate::kernel::{Candidate, Caps, DeviceClass, Dispatch, Extent, Kernel, Lowering, Needs, Source, source};
use crate::ops::product::matmul::{self, Matmul};
use crate::params;

params! {
    /// Extents of source and result, the tiles of a dispatch, and channels, counted in vectors of four.
    pub(crate) struct Params {
        source_h: u32, source_w: u32, pad_top: u32, pad_left: u32,
        result_h: u32, result_w: u32, tiles_h: u32, tiles_w: u32,
        first_tile: u32, tiles: u32, depth: u32, columns: u32,
        weight_rows: u32, weight_columns: u32,
    }
}

/// Number of matrices, one per position in a patch.
const PLACES: u32 = 16;
/// Maximum bytes of transformed patches and sums at a time: on a software device the largest size without a slowdown,
/// on others what stays in a large cache. A convolution that needs less takes less.
const SOFTWARE_BYTES: u64 = 8 << 20;
const GPU_BYTES: u64 = 24 << 20;
/// Granularity of a chunk in tiles, so that chunks are whole rows of a product's tiles.
const CHUNK_STEP: u32 = 128;
/// Minimum number of channels on both sides, and of tiles, from which the transforms save more than they cost, as
/// measured on a software device with two cores. A patch's elements are loaded and stored once for as many
/// multiply-adds as there are channels, and the weights are transformed once for all tiles.
const LEAST_CHANNELS: u32 = 48;
const LEAST_TILES: u32 = 64;
/// Minimum number of tiles on a GPU, below which most of a product's workgroup tile is unused.
const LEAST_TILES_OF_GPU: u32 = 256;

/// A convolution in these kernels' terms: the result is a sum over `depth` channels of the source.
struct Winograd {
    batch: u32,
    /// Height, width and channels.
    source: [u32; 3],
    result: [u32; 3],
    /// Rows and columns of zeros before the source.
    pad: [u32; 2],
    /// True for the input's gradient: the weight is rotated by 180 degrees, and its rows and columns are exchanged.
    turned: bool,
}

impl Winograd {
    /// The forward pass: the source is the input, the result the output.
    fn forward(of: &Convolution) -> Self {
        Winograd {
            batch: of.m / (of.out_h * of.out_w),
            source: [of.in_h, of.in_w, of.in_c],
            result: [of.out_h, of.out_w, of.out_c],
            pad: [of.pad_top, of.pad_left],
            turned: false,
        }
    }

    /// The gradient by the input: the source is grad_output, the window is rotated and begins at its other end.
    fn grad_input(of: &Convolution) -> Self {
        Winograd {
            batch: of.m / (of.in_h * of.in_w),
            source: [of.out_h, of.out_w, of.out_c],
            result: [of.in_h, of.in_w, of.in_c],
            pad: [2 - of.pad_top, 2 - of.pad_left],
            turned: true,
        }
    }

    /// Number of tiles of an image along height and width.
    fn tiles(&self) -> [u32; 2] {
        [self.result[0].div_ceil(2), self.result[1].div_ceil(2)]
    }

    /// Size in bytes of all transformed weights.
    fn weight_bytes(&self) -> u64 {
        u64::from(PLACES) * 4 * u64::from(self.source[2]) * u64::from(self.result[2])
    }

    /// Size in bytes of a tile's patches and sums.
    fn tile_bytes(&self) -> u64 {
        u64::from(PLACES) * 4 * (u64::from(self.source[2]) + u64::from(self.result[2]))
    }

    /// Creates the candidate, whose bindings must hold the weights and the smallest chunk.
    fn candidate(self, names: [&'static str; 3]) -> Vec<Candidate<'static>> {
        let binding = self.weight_bytes().max(u64::from(CHUNK_STEP) * self.tile_bytes());
        let lower = move |lowering: &mut Lowering<'_>| {
            self.lower(lowering, names);
            Ok(())
        };
        vec![Candidate::new("winograd", lower).needs(Needs { binding, ..Needs::default() })]
    }

    /// Number of tiles computed at a time. It depends on shapes and the device class alone.
    fn chunk(&self, caps: &Caps) -> u32 {
        let bytes = if caps.class == DeviceClass::Software { SOFTWARE_BYTES } else { GPU_BYTES };
        let step = u64::from(CHUNK_STEP);
        let most = bytes.min(caps.max_binding) / self.tile_bytes() / step * step;
        let [tiles_h, tiles_w] = self.tiles();
        let all = u64::from(self.batch) * u64::from(tiles_h) * u64::from(tiles_w);
        // Chunks of nearly equal size.
        let chunks = all.div_ceil(most.max(step));
        all.div_ceil(chunks).next_multiple_of(step).min(all) as u32
    }

    /// Computes the result from source and weight, operands 0 and 1, and the bias if there are three operands.
    fn lower(&self, lowering: &mut Lowering<'_>, names: [&'static str; 3]) {
        let (source, weight, result) = (lowering.input(0), lowering.input(1), lowering.output(0));
        let epilogue = lowering.epilogue(0).bias(lowering.optional_input(2));
        let [tiles_h, tiles_w] = self.tiles();
        let [depth, columns] = [self.source[2] / 4, self.result[2] / 4];
        let [weight_rows, weight_columns] =
            if self.turned { [self.result[2], depth] } else { [self.source[2], columns] };
        let mut params = Params {
            source_h: self.source[0],
            source_w: self.source[1],
            pad_top: self.pad[0],
            pad_left: self.pad[1],
            result_h: self.result[0],
            result_w: self.result[1],
            tiles_h,
            tiles_w,
            depth,
            columns,
            weight_rows,
            weight_columns,
            ..Params::default()
        };
        let (all, chunk) = (self.batch * tiles_h * tiles_w, self.chunk(lowering.caps()));
        let bytes = |channels: u32| u64::from(PLACES) * u64::from(chunk) * u64::from(channels) * 4;
        let weights = lowering.scratch(self.weight_bytes());
        let patches = lowering.scratch(bytes(self.source[2]));
        let sums = lowering.scratch(bytes(self.result[2]));

        let product = Matmul { transpose_a: false, transpose_b: self.turned };
        let [of_weight, of_input, of_output] = names;
        let extent = Extent::Invocations(u64::from(weight_rows) * u64::from(weight_columns));
        let transform = kernel(of_weight, source!("conv2d/winograd_weight.wgsl")).flag("TURNED", self.turned);
        let dispatch = Dispatch::new(transform, &params, extent);
        lowering.push(dispatch.bind("weight", weight).bind("transformed", weights).elements(PLACES));
        for first_tile in (0..all).step_by(chunk as usize) {
            (params.first_tile, params.tiles) = (first_tile, chunk.min(all - first_tile));
            let extent = |channels: u32| Extent::Invocations(u64::from(params.tiles) * u64::from(channels));
            let transform = kernel(of_input, source!("conv2d/winograd_input.wgsl"));
            let dispatch = Dispatch::new(transform, &params, extent(depth));
            lowering.push(dispatch.bind("source", source).bind("patches", patches).elements(PLACES));
            // One product per position in a patch.
            let extents = [params.tiles, self.result[2], self.source[2]];
            matmul::side_by_side(lowering, &product, PLACES, extents, [patches, weights, sums]);
            let transform = kernel(of_output, source!("conv2d/winograd_output.wgsl")).elements(4);
            let dispatch = Dispatch::new(transform, &params, extent(columns))
                .bind("sums", sums)
                .bind("result", result)
                .elements(PLACES);
            lowering.push(epilogue.apply(dispatch));
        }
    }

    /// True if these kernels are expected to be the fastest on the device: a software device or an NVIDIA card, since
    /// no other GPU has been measured.
    ///
    /// On a GPU they save 5 of 9 multiply-adds of each pixel and pair of channels, and write and read patches and sums,
    /// 36 bytes for each pixel and channel, and transformed weights. Products reach half of a device's peak. This agrees
    /// with what was measured on an H100: 0.9 of the time without them at 64 channels, 1.2 at 128, 1.6 at 256.
    fn wins(&self, caps: &Caps) -> bool {
        let [tiles_h, tiles_w] = self.tiles();
        let tiles = self.batch * tiles_h * tiles_w;
        let [depth, columns] = [self.source[2], self.result[2]];
        if caps.class == DeviceClass::Software {
            return depth.min(columns) >= LEAST_CHANNELS && tiles >= LEAST_TILES;
        }
        let [pixels, depth, columns] = [4 * tiles, depth, columns].map(f64::from);
        let pairs = depth * columns;
        let bytes = 36.0 * (depth + columns) * pixels + 164.0 * pairs;
        caps.nvidia
            && tiles >= LEAST_TILES_OF_GPU
            && 10.0 * pairs * pixels > bytes * f64::from(caps.multiply_adds_per_byte)
    }
}

fn kernel(name: &'static str, file: Source) -> Kernel {
    let files = [file, source!("conv2d/winograd.wgsl"), source!("lib/divide.wgsl"), source!("lib/each.wgsl")];
    Kernel::new(name, &files).constant("WG", 64)
}

/// True if the kernels of this file are right: a 3x3 window with stride 1, padded by at most 2, over whole vectors of
/// channels.
fn is_right(of: &Problem) -> bool {
    let (conv, params) = (&of.conv, &of.params);
    let plain = conv.stride == [1; 2] && conv.dilation == [1; 2] && conv.groups == 1;
    let window = [params.kernel_h, params.kernel_w] == [3; 2] && conv.padding.iter().all(|&pad| pad <= 2);
    plain && window && params.in_c.is_multiple_of(4) && params.out_c.is_multiple_of(4)
}

/// Computes output from input, weight and, if there are three operands, bias.
pub(super) fn forward(of: &Problem) -> Vec<Candidate<'static>> {
    if !is_right(of) {
        return Vec::new();
    }
    let names = ["conv2d/winograd_weight", "conv2d/winograd_input", "conv2d/winograd_output"];
    Winograd::forward(&of.params).candidate(names)
}

/// Computes grad_input from grad_output and weight.
pub(super) fn grad_input(of: &Problem) -> Vec<Candidate<'static>> {
    if !is_right(of) {
        return Vec::new();
    }
    let names =
        ["conv2d_grad_input/winograd_weight", "conv2d_grad_input/winograd_input", "conv2d_grad_input/winograd_output"];
    Winograd::grad_input(&of.params).candidate(names)
}

/// The forward pass where these kernels are expected to be the fastest.
pub(super) fn forward_where_it_wins(of: &Problem) -> Vec<Candidate<'static>> {
    let wins = is_right(of) && Winograd::forward(&of.params).wins(&of.caps);
    if wins { forward(of) } else { Vec::new() }
}

/// grad_input where these kernels are expected to be the fastest.
pub(super) fn grad_input_where_it_wins(of: &Problem) -> Vec<Candidate<'static>> {
    let wins = is_right(of) && Winograd::grad_input(&of.params).wins(&of.caps);
    if wins { grad_input(of) } else { Vec::new() }
}

//! The kernels of a convolution by Winograd's F(2x2, 3x3): 16 products of transformed tiles in place of 36 multiply-adds for
//! every four results, so 2.25 times fewer. Source: Lavin and Gray, arXiv 1509.09308.
//!
//! A value that is infinite or NaN reaches all four results of each tile whose patch it lies in, not only those whose window it
//! lies in, since patches are differences of their elements.

use super::params::{Params as Convolution, Problem};
use crate::kernel::{Candidate, Caps, DeviceClass, Dispatch, Extent, Kernel, Lowering, Needs, Source, source};
use crate::ops::product::matmul::{self, Matmul};
use crate::params;

params! {
    /// Extents of source and result, the tiles that a dispatch sees, and channels, which count vectors of four.
    pub(crate) struct Params {
        source_h: u32, source_w: u32, pad_top: u32, pad_left: u32,
        result_h: u32, result_w: u32, tiles_h: u32, tiles_w: u32,
        first_tile: u32, tiles: u32, depth: u32, columns: u32,
        weight_rows: u32, weight_columns: u32,
    }
}

/// Matrices, one for each place of a patch.
const PLACES: u32 = 16;
/// Bytes of transformed patches and sums together at a time: on a software device no more than what runs as fast, on others what stays
/// in a large cache. A convolution that needs less takes less.
const SOFTWARE_BYTES: u64 = 8 << 20;
const GPU_BYTES: u64 = 24 << 20;
/// Tiles of a chunk are whole rows of a product's tiles.
const CHUNK_STEP: u32 = 128;
/// What makes the transforms cost less than they save, as measured on a software device with two cores: so many channels on
/// both sides, since a patch's elements are loaded and stored once for as many multiply-adds, and so many tiles, since the
/// weights are transformed once for them.
const LEAST_CHANNELS: u32 = 48;
const LEAST_TILES: u32 = 64;

/// A convolution in these kernels' terms: the result is a sum over `depth` channels of the source.
struct Winograd {
    batch: u32,
    /// Lines, columns and channels.
    source: [u32; 3],
    result: [u32; 3],
    /// Lines and columns of zeros before the source.
    pad: [u32; 2],
    /// Whether it is the input's gradient: the weight is turned by half a circle, and its rows and columns change places.
    turned: bool,
}

impl Winograd {
    /// The output as the result of the input.
    fn forward(of: &Convolution) -> Self {
        Winograd {
            batch: of.m / (of.out_h * of.out_w),
            source: [of.in_h, of.in_w, of.in_c],
            result: [of.out_h, of.out_w, of.out_c],
            pad: [of.pad_top, of.pad_left],
            turned: false,
        }
    }

    /// The input's gradient as the result of the output's: the window is turned, and begins at its other end.
    fn grad_input(of: &Convolution) -> Self {
        Winograd {
            batch: of.m / (of.in_h * of.in_w),
            source: [of.out_h, of.out_w, of.out_c],
            result: [of.in_h, of.in_w, of.in_c],
            pad: [2 - of.pad_top, 2 - of.pad_left],
            turned: true,
        }
    }

    /// Tiles of an image: lines and columns.
    fn tiles(&self) -> [u32; 2] {
        [self.result[0].div_ceil(2), self.result[1].div_ceil(2)]
    }

    /// Bytes of all transformed weights.
    fn weight_bytes(&self) -> u64 {
        u64::from(PLACES) * 4 * u64::from(self.source[2]) * u64::from(self.result[2])
    }

    /// Bytes of a tile's patches and sums.
    fn tile_bytes(&self) -> u64 {
        u64::from(PLACES) * 4 * (u64::from(self.source[2]) + u64::from(self.result[2]))
    }

    /// The candidate: bindings must hold the weights and the smallest chunk.
    fn candidate(self, names: [&'static str; 3]) -> Vec<Candidate<'static>> {
        let binding = self.weight_bytes().max(u64::from(CHUNK_STEP) * self.tile_bytes());
        let lower = move |lowering: &mut Lowering<'_>| {
            self.lower(lowering, names);
            Ok(())
        };
        vec![Candidate::new("winograd", lower).needs(Needs { binding, ..Needs::default() })]
    }

    /// How many tiles are computed at a time. It depends on shapes and the class of the device alone.
    fn chunk(&self, caps: &Caps) -> u32 {
        let bytes = if caps.class == DeviceClass::Software { SOFTWARE_BYTES } else { GPU_BYTES };
        let step = u64::from(CHUNK_STEP);
        let most = bytes.min(caps.max_binding) / self.tile_bytes() / step * step;
        let [tiles_h, tiles_w] = self.tiles();
        let all = u64::from(self.batch) * u64::from(tiles_h) * u64::from(tiles_w);
        // Chunks about as large as one another.
        let chunks = all.div_ceil(most.max(step));
        all.div_ceil(chunks).next_multiple_of(step).min(all) as u32
    }

    /// Result from source and weight, operands 0 and 1, and, if there are three, the bias.
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
            // A product for each place of a patch.
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

    /// Whether these kernels need the least time on a software device.
    fn wins(&self) -> bool {
        let [tiles_h, tiles_w] = self.tiles();
        self.source[2].min(self.result[2]) >= LEAST_CHANNELS && self.batch * tiles_h * tiles_w >= LEAST_TILES
    }
}

fn kernel(name: &'static str, file: Source) -> Kernel {
    let files = [file, source!("conv2d/winograd.wgsl"), source!("lib/divide.wgsl"), source!("lib/each.wgsl")];
    Kernel::new(name, &files).constant("WG", 64)
}

/// Whether the kernels of this file are right: a window of 3x3 that moves by 1, padded by at most 2, over whole vectors of
/// channels.
fn is_right(of: &Problem) -> bool {
    let (conv, params) = (&of.conv, &of.params);
    let plain = conv.stride == [1; 2] && conv.dilation == [1; 2] && conv.groups == 1;
    let window = [params.kernel_h, params.kernel_w] == [3; 2] && conv.padding.iter().all(|&pad| pad <= 2);
    plain && window && params.in_c.is_multiple_of(4) && params.out_c.is_multiple_of(4)
}

/// Output from input, weight and, if there are three operands, bias.
pub(super) fn forward(of: &Problem) -> Vec<Candidate<'static>> {
    if !is_right(of) {
        return Vec::new();
    }
    let names = ["conv2d/winograd_weight", "conv2d/winograd_input", "conv2d/winograd_output"];
    Winograd::forward(&of.params).candidate(names)
}

/// grad_input from grad_output and weight.
pub(super) fn grad_input(of: &Problem) -> Vec<Candidate<'static>> {
    if !is_right(of) {
        return Vec::new();
    }
    let names =
        ["conv2d_grad_input/winograd_weight", "conv2d_grad_input/winograd_input", "conv2d_grad_input/winograd_output"];
    Winograd::grad_input(&of.params).candidate(names)
}

/// The forward pass where these kernels need the least time on a software device.
pub(super) fn forward_where_it_wins(of: &Problem) -> Vec<Candidate<'static>> {
    let wins = is_right(of) && Winograd::forward(&of.params).wins();
    if wins { forward(of) } else { Vec::new() }
}

/// grad_input where these kernels need the least time on a software device.
pub(super) fn grad_input_where_it_wins(of: &Problem) -> Vec<Candidate<'static>> {
    let wins = is_right(of) && Winograd::grad_input(&of.params).wins();
    if wins { grad_input(of) } else { Vec::new() }
}

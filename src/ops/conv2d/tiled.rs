//! A convolution as an implicit GEMM on the tiled cores: its operands are never written out as matrices.
//!
//! Every group of channels is a separate product. In the gradient by the input every phase of the stride is one too:
//! the pixels that the same taps of the window meet. One dispatch computes them all.

use super::params::{Params, Problem};
use super::{push_forward, push_grad_input, push_grad_weight};
use crate::kernel::{Candidate, Dispatch, source};
use crate::ops::product::tiles::{self, Core, GemmShape, Operands, Tiling};

/// Params and GEMM shape of a convolution's product or of one of its gradients.
#[derive(Clone, Copy)]
pub(super) struct Product {
    params: Params,
    shape: GemmShape,
    /// Number of multiply-adds executed, without those beyond the edges of tiles.
    executed: u64,
}

impl Product {
    fn new(params: Params) -> Self {
        let Params { m, n, k, products, .. } = params;
        let executed = u64::from(m) * u64::from(n) * u64::from(k) * u64::from(products);
        Product { params, shape: GemmShape::new([m, n, k]).times(products), executed }
    }

    pub fn forward(of: &Problem) -> Self {
        let Params { in_c, out_c, groups, .. } = of.params;
        Product::new(Params { n: out_c / groups, channels: in_c / groups, products: groups, ..of.params })
    }

    pub fn grad_input(of: &Problem) -> Self {
        let params = of.params;
        let [h, w] = [
            Axis::new(params.kernel_h, params.stride_h, params.dilation_h),
            Axis::new(params.kernel_w, params.stride_w, params.dilation_w),
        ];
        let batch = params.m / (params.in_h * params.in_w);
        let m = batch * params.in_h.div_ceil(params.stride_h) * params.in_w.div_ceil(params.stride_w);
        let (n, channels) = (params.in_c / params.groups, params.out_c / params.groups);
        // k of the phase with the most taps. Every tap belongs to one phase.
        let k = h.most_taps() * w.most_taps() * channels;
        let taps = u64::from(params.kernel_h) * u64::from(params.kernel_w);
        let of_tap = u64::from(m) * u64::from(n) * u64::from(channels) * u64::from(params.groups);
        let product = Product::new(Params {
            m,
            n,
            k,
            k_chunk: k,
            channels,
            products: params.groups * params.stride_h * params.stride_w,
            step_h: h.step,
            step_w: w.step,
            inverse_h: h.inverse,
            inverse_w: w.inverse,
            next_h: h.next,
            next_w: w.next,
            ..params
        });
        Product { executed: taps * of_tap, ..product }
    }

    pub fn grad_weight(of: &Problem) -> Self {
        let Params { in_c, out_c, groups, .. } = of.params;
        let product =
            Product::new(Params { n: out_c / groups, channels: in_c / groups, products: groups, ..of.params });
        Product { shape: product.shape.long_k(), ..product }
    }

    /// True if tiles are faster than one invocation per result.
    pub fn suits_tiles(&self, of: &Problem) -> bool {
        self.shape.suits_tiles(&of.caps)
    }

    /// Params of a tiling, whose result has `len` elements.
    fn tiled(&self, tiling: &Tiling, len: u64) -> Params {
        let split_step = if tiling.splits == 1 { 0 } else { len as u32 };
        Params { k_chunk: tiling.k_chunk, splits: tiling.splits, split_step, ..self.params }
    }
}

/// Phases of a stride along one axis: phase p has the taps t with t dilation % stride = p.
struct Axis {
    kernel: u32,
    /// Distance between the taps of one phase.
    step: u32,
    /// Distance between the outputs that they meet.
    next: u32,
    /// Factor of p / gcd(stride, dilation) that gives the first tap, modulo `step`.
    inverse: u32,
}

impl Axis {
    fn new(kernel: u32, stride: u32, dilation: u32) -> Self {
        let divisor = (1..=stride.min(dilation))
            .rev()
            .find(|&d| stride.is_multiple_of(d) && dilation.is_multiple_of(d))
            .unwrap_or(1);
        let (step, next) = (stride / divisor, dilation / divisor);
        let inverse = (0..step).find(|i| u64::from(*i) * u64::from(next) % u64::from(step) == 1 % u64::from(step));
        Axis { kernel, step, next, inverse: inverse.unwrap_or(0) }
    }

    fn most_taps(&self) -> u32 {
        self.kernel.div_ceil(self.step)
    }
}

/// Computes output from input, weight and, if there are three operands, bias. The tiles store statistics of the output
/// if requested.
pub(super) fn forward(cores: &[Core], of: &Problem) -> Vec<Candidate<'static>> {
    let conv = of.conv;
    let product = Product::forward(of);
    let Params { in_c, out_c, kernel_w, n, channels, .. } = product.params;
    tiles::candidates(cores, &of.caps, product.shape, move |lowering, tiling| {
        // If channels are no whole vectors, their runs are short; the channels of a line of taps may be contiguous too.
        let taps = conv.groups == 1 && (in_c == 1 || (conv.dilation[1] == 1 && !in_c.is_multiple_of(4)));
        let run = if taps { kernel_w * in_c } else { channels };
        let operands = Operands {
            lines: taps && conv.pads_lines(),
            along_k: [true, false],
            whole_runs: run.is_multiple_of(4),
            widths: [[channels, in_c], [n, out_c], [n, out_c]].map(|runs| tiles::width(&runs)),
        };
        // A split result is incomplete until its parts are added up.
        let statistics = if tiling.splits == 1 { lowering.take_statistics() } else { None };
        let kernel = tiling
            .kernel(tiles::names!("conv2d"), &[source!("conv2d/tiled.wgsl")], &operands, statistics.is_some())
            .flag("TAPS", taps)
            .flag("PADS_LINES", conv.pads_lines());
        let params = product.tiled(tiling, lowering.output_len(0));
        let dispatch = Dispatch::new(kernel, &params, tiling.extent());
        let dispatch = dispatch.k_places(params.k_chunk).executes(product.executed);
        push_forward(lowering, dispatch, params.splits, statistics);
        Ok(())
    })
}

/// Computes grad_input from grad_output and weight.
pub(super) fn grad_input(cores: &[Core], of: &Problem) -> Vec<Candidate<'static>> {
    let product = Product::grad_input(of);
    let pixels_first = skips_taps(&of.params);
    tiles::candidates(cores, &of.caps, product.shape, move |lowering, tiling| {
        let params = product.tiled(tiling, lowering.output_len(0));
        let operands = Operands {
            lines: false,
            along_k: [true, true],
            whole_runs: params.channels.is_multiple_of(4),
            widths: [[params.channels, params.out_c], [params.channels, params.out_c], [params.n, params.in_c]]
                .map(|runs| tiles::width(&runs)),
        };
        let kernel = tiling
            .kernel(tiles::names!("conv2d_grad_input"), &[source!("conv2d/grad_input_tiled.wgsl")], &operands, false)
            .flag("STRIDED", params.stride_h * params.stride_w > 1)
            .flag("PIXELS_FIRST", tiling.shuffles() && pixels_first);
        let dispatch = Dispatch::new(kernel, &params, tiling.extent());
        push_grad_input(lowering, dispatch.k_places(params.k_chunk).executes(product.executed), params.splits);
        Ok(())
    })
}

/// True if it pays that a tile holds one pixel of many images, so that taps beside the output are skipped: there are
/// enough images for a tile, and an eighth of all taps lie beside the output.
fn skips_taps(of: &Params) -> bool {
    // Number of an axis's taps that meet an output, over all elements. With a stride, rows are better ordered by phase.
    let meet = |input: u32, output: u32, kernel: u32, pad: u32, dilation: u32| -> i64 {
        let [input, output, pad, dilation] = [input, output, pad, dilation].map(i64::from);
        let outputs = |tap: i64| (input + pad - tap * dilation).min(output) - (pad - tap * dilation).max(0);
        (0..i64::from(kernel)).map(|tap| outputs(tap).max(0)).sum()
    };
    let met = meet(of.in_h, of.out_h, of.kernel_h, of.pad_top, of.dilation_h)
        * meet(of.in_w, of.out_w, of.kernel_w, of.pad_left, of.dilation_w);
    let all = i64::from(of.in_h * of.in_w) * i64::from(of.kernel_h * of.kernel_w);
    let batch = of.m / (of.in_h * of.in_w);
    [of.stride_h, of.stride_w] == [1; 2] && batch >= 32 && 8 * met <= 7 * all
}

/// Computes grad_weight from input and grad_output, by split-K if that fills the device.
pub(super) fn grad_weight(cores: &[Core], of: &Problem) -> Vec<Candidate<'static>> {
    let conv = of.conv;
    let product = Product::grad_weight(of);
    tiles::candidates(cores, &of.caps, product.shape, move |lowering, tiling| {
        let params = product.tiled(tiling, lowering.output_len(0));
        let operands = Operands {
            lines: conv.pads_lines(),
            along_k: [false, false],
            whole_runs: params.out_w.is_multiple_of(4),
            widths: [[params.channels, params.in_c], [params.n, params.out_c], [params.n, params.out_c]]
                .map(|runs| tiles::width(&runs)),
        };
        let kernel = tiling
            .kernel(tiles::names!("conv2d_grad_weight"), &[source!("conv2d/grad_weight_tiled.wgsl")], &operands, false)
            .flag("PADS_LINES", conv.pads_lines());
        let weights = lowering.output_len(0);
        let dispatch = Dispatch::new(kernel, &params, tiling.extent());
        push_grad_weight(
            lowering,
            dispatch.k_places(params.k_chunk).executes(product.executed),
            params.splits,
            weights as u32,
        );
        Ok(())
    })
}

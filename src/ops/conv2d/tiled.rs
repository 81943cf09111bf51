//! A convolution as an implicit product on the tiled cores: its operands are never written out as matrices.

use super::params::{Params, Problem};
use super::{push_forward, push_grad_input, push_grad_weight};
use crate::kernel::{Candidate, Dispatch, source};
use crate::ops::product::tiles::{self, Core, Names, Operands};

/// Output from input, weight and, if there are three operands, bias. The tiles note the statistics of the output if they are
/// wanted.
pub(super) fn forward(core: Core, of: &Problem) -> Vec<Candidate<'static>> {
    // The tiled products know one group.
    if of.conv.groups != 1 {
        return Vec::new();
    }
    let (conv, params) = (of.conv, of.params);
    core.candidates(&of.caps, of.shape(), move |lowering, tiling| {
        // Channels that are no whole vectors make short runs; those of a line of taps may lie in a row too.
        let taps = params.in_c == 1 || (conv.dilation[1] == 1 && !params.in_c.is_multiple_of(4));
        let run = if taps { params.kernel_w * params.in_c } else { params.in_c };
        let operands = Operands {
            lines: taps && conv.pads_lines(),
            along_k: [true, false],
            whole_runs: run.is_multiple_of(4),
            widths: [params.in_c, params.out_c, params.out_c].map(|run| tiles::width(&[run])),
        };
        let names = Names { workgroup: "conv2d/workgroup", subgroup8: "conv2d/subgroup8" };
        let statistics = lowering.take_statistics();
        let kernel =
            tiling.kernel(&names, &[source!("conv2d/tiled.wgsl")], &operands, statistics.is_some()).flag("TAPS", taps);
        push_forward(lowering, Dispatch::new(kernel, &params, tiling.extent()).k_places(params.k), statistics);
        Ok(())
    })
}

/// grad_input from grad_output and weight.
pub(super) fn grad_input(core: Core, of: &Problem) -> Vec<Candidate<'static>> {
    if of.conv.groups != 1 {
        return Vec::new();
    }
    let params = of.params;
    core.candidates(&of.caps, of.shape(), move |lowering, tiling| {
        let stride = [params.stride_h, params.stride_w];
        let whole = params.in_h.is_multiple_of(stride[0]) && params.in_w.is_multiple_of(stride[1]);
        let operands = Operands {
            lines: false,
            along_k: [true, true],
            whole_runs: params.out_c.is_multiple_of(4),
            widths: [params.out_c, params.out_c, params.in_c].map(|run| tiles::width(&[run])),
        };
        let names = Names { workgroup: "conv2d_grad_input/workgroup", subgroup8: "conv2d_grad_input/subgroup8" };
        // The stride is a constant here: the kernel divides by it for every element that it loads.
        let kernel = tiling
            .kernel(&names, &[source!("conv2d/grad_input_tiled.wgsl")], &operands, false)
            .constant("STRIDE_H", stride[0])
            .constant("STRIDE_W", stride[1])
            .flag("PHASES_FIRST", tiling.shuffles() && whole && stride != [1; 2])
            .flag("PIXELS_FIRST", tiling.shuffles() && skips_taps(&params));
        let dispatch = Dispatch::new(kernel, &params, tiling.extent()).k_places(params.k);
        push_grad_input(lowering, dispatch);
        Ok(())
    })
}

/// Whether it is worth it that a tile holds one pixel of many images, so that taps beside the output are skipped: there
/// are images enough for a tile, and an eighth of all taps lie there.
fn skips_taps(of: &Params) -> bool {
    // How many of an axis's taps meet an output, over all its elements; with a stride rows are better ordered by phase.
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

/// grad_weight from input and grad_output, by split-K where that fills the device.
pub(super) fn grad_weight(core: Core, of: &Problem) -> Vec<Candidate<'static>> {
    if of.conv.groups != 1 {
        return Vec::new();
    }
    let (conv, params) = (of.conv, of.params);
    core.candidates(&of.caps, of.shape().split(), move |lowering, tiling| {
        let params = Params { k_chunk: tiling.k_chunk, ..params };
        let operands = Operands {
            lines: conv.pads_lines(),
            along_k: [false, false],
            whole_runs: params.out_w.is_multiple_of(4),
            widths: [params.in_c, params.out_c, params.out_c].map(|run| tiles::width(&[run])),
        };
        let names = Names { workgroup: "conv2d_grad_weight/workgroup", subgroup8: "conv2d_grad_weight/subgroup8" };
        let kernel = tiling.kernel(&names, &[source!("conv2d/grad_weight_tiled.wgsl")], &operands, false);
        let dispatch = Dispatch::new(kernel, &params, tiling.extent()).k_places(params.k_chunk);
        push_grad_weight(lowering, dispatch, tiling.splits, params.m * params.n);
        Ok(())
    })
}

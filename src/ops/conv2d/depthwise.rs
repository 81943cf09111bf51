//! Kernels of a depthwise convolution, in which every channel is a separate group. Each output reads one channel, so
//! there is no product to tile, and four contiguous channels are computed at once.

use super::params::{Params, Problem};
use super::{push_forward, push_grad_input, push_grad_weight};
use crate::kernel::{Candidate, Dispatch, Extent, Kernel, Source, source};

/// Number of pixels that one invocation of the weight gradient accumulates.
const CHUNK: u32 = 256;

/// True if the kernels of this file are right: as many groups as channels on both sides, and more than one.
fn is_depthwise(of: &Problem) -> bool {
    let Params { in_c, out_c, groups, .. } = of.params;
    groups != 1 && in_c == groups && out_c == groups
}

/// The kernel, and `params` with channels counted in units of what an invocation owns: four if the number allows it.
fn kernel(name: &'static str, file: Source, mut params: Params) -> (Kernel, Params) {
    let each = if params.n.is_multiple_of(4) { 4 } else { 1 };
    for channels in [&mut params.n, &mut params.in_c, &mut params.out_c] {
        *channels /= each;
    }
    let files = [file, source!("lib/divide.wgsl"), source!("lib/each.wgsl")];
    (Kernel::new(name, &files).constant("WG", 64).elements(each), params)
}

/// Computes output from input, weight and, if there are three operands, bias.
pub(super) fn forward(of: &Problem) -> Vec<Candidate<'static>> {
    if !is_depthwise(of) {
        return Vec::new();
    }
    let params = of.params;
    vec![Candidate::new("depthwise", move |lowering| {
        let (kernel, params) = kernel("conv2d/depthwise", source!("conv2d/depthwise.wgsl"), params);
        let extent = Extent::Invocations(u64::from(params.m) * u64::from(params.n));
        let dispatch = Dispatch::new(kernel, &params, extent).k_places(params.kernel_h * params.kernel_w);
        push_forward(lowering, dispatch, 1, None);
        Ok(())
    })]
}

/// Computes grad_input from grad_output and weight.
pub(super) fn grad_input(of: &Problem) -> Vec<Candidate<'static>> {
    if !is_depthwise(of) {
        return Vec::new();
    }
    let params = of.params;
    vec![Candidate::new("depthwise", move |lowering| {
        let file = source!("conv2d/grad_input_depthwise.wgsl");
        let (kernel, params) = kernel("conv2d_grad_input/depthwise", file, params);
        let kernel = kernel.constant("STRIDE_H", params.stride_h).constant("STRIDE_W", params.stride_w);
        let extent = Extent::Invocations(u64::from(params.m) * u64::from(params.n));
        let dispatch = Dispatch::new(kernel, &params, extent).k_places(params.kernel_h * params.kernel_w);
        push_grad_input(lowering, dispatch, 1);
        Ok(())
    })]
}

/// Computes grad_weight from input and grad_output; `params.m` counts taps of the window, `params.k` pixels.
pub(super) fn grad_weight(of: &Problem) -> Vec<Candidate<'static>> {
    if !is_depthwise(of) {
        return Vec::new();
    }
    let params = of.params;
    vec![Candidate::new("depthwise", move |lowering| {
        let params = Params { k_chunk: CHUNK.min(params.k), ..params };
        let (chunks, weights) = (params.k.div_ceil(params.k_chunk), params.m * params.n);
        let file = source!("conv2d/grad_weight_depthwise.wgsl");
        let (kernel, params) = kernel("conv2d_grad_weight/depthwise", file, params);
        let extent = Extent::Invocations(u64::from(chunks) * u64::from(params.m) * u64::from(params.n));
        let dispatch = Dispatch::new(kernel, &params, extent).k_places(params.k_chunk);
        push_grad_weight(lowering, dispatch, chunks, weights);
        Ok(())
    })]
}

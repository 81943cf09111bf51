//! The kernels of a convolution whose every channel is a group of its own: each output reads one channel, so there is no
//! product to tile, and four channels that lie together are computed at once.

use crate::kernel::{Dispatch, Extent, Kernel, Lowering, Source, source};
use crate::ops::column_sum::sum_rows;
use crate::ops::conv2d::Conv2d;
use crate::ops::conv2d::params::Params;
use crate::shape::Shape;

/// Pixels that one invocation of the weight's gradient adds up.
const CHUNK: u32 = 256;

/// Whether the kernels of this file are right: as many groups as channels on both sides.
pub(crate) fn is_valid(conv: &Conv2d, weight: &Shape) -> bool {
    matches!(*weight.dims(), [out, 1, _, _] if out == conv.groups)
}

/// The kernel, and `params` with its channels counted in what an invocation owns, four where their number allows it.
fn kernel(name: &'static str, file: Source, mut params: Params) -> (Kernel, Params) {
    let each = if params.n.is_multiple_of(4) { 4 } else { 1 };
    for channels in [&mut params.n, &mut params.in_c, &mut params.out_c] {
        *channels /= each;
    }
    let files = [file, source!("lib/divide.wgsl"), source!("lib/each.wgsl")];
    (Kernel::new(name, &files).constant("WG", 64).elements(each), params)
}

/// Output from input, weight and, if there are three operands, bias; `params` as the product's.
pub(crate) fn forward(lowering: &mut Lowering<'_>, params: Params) {
    let (input, weight, output) = (lowering.input(0), lowering.input(1), lowering.output(0));
    let bias = (lowering.inputs().len() == 3).then(|| lowering.input(2));
    let (kernel, params) = kernel("conv2d/depthwise", source!("conv2d/depthwise.wgsl"), params);
    let finishing = lowering.finishing(0);
    let kernel = kernel.with(&finishing.files).with(&[match bias {
        Some(_) => source!("lib/channel_bias.wgsl"),
        None => source!("lib/channel_bias_none.wgsl"),
    }]);
    let extent = Extent::Invocations(u64::from(params.m) * u64::from(params.n));
    lowering.push(
        finishing.bind(
            Dispatch::new(kernel, &params, extent)
                .k_places(params.kernel_h * params.kernel_w)
                .bind("input", input)
                .bind("weight", weight)
                .bind("output", output)
                .bind_all(bias.map(|bias| ("bias", bias))),
        ),
    );
}

/// grad_input from grad_output and weight.
pub(crate) fn grad_input(lowering: &mut Lowering<'_>, params: Params) {
    let (grad_output, weight, grad_input) = (lowering.input(0), lowering.input(1), lowering.output(0));
    let (kernel, params) = kernel("conv2d_grad_input/depthwise", source!("conv2d/grad_input_depthwise.wgsl"), params);
    let finishing = lowering.finishing(0);
    let kernel =
        kernel.constant("STRIDE_H", params.stride_h).constant("STRIDE_W", params.stride_w).with(&finishing.files);
    let extent = Extent::Invocations(u64::from(params.m) * u64::from(params.n));
    lowering.push(
        finishing.bind(
            Dispatch::new(kernel, &params, extent)
                .k_places(params.kernel_h * params.kernel_w)
                .bind("grad_output", grad_output)
                .bind("weight", weight)
                .bind("grad_input", grad_input),
        ),
    );
}

/// grad_weight from input and grad_output; `params.m` counts taps of the window, `params.k` pixels.
pub(crate) fn grad_weight(lowering: &mut Lowering<'_>, mut params: Params) {
    let (input, grad_output, grad_weight) = (lowering.input(0), lowering.input(1), lowering.output(0));
    params.k_chunk = CHUNK.min(params.k);
    let (chunks, weights) = (params.k.div_ceil(params.k_chunk), params.m * params.n);
    let partials = match chunks {
        1 => grad_weight,
        _ => lowering.scratch(u64::from(chunks) * u64::from(weights) * 4),
    };
    let (kernel, params) = kernel("conv2d_grad_weight/depthwise", source!("conv2d/grad_weight_depthwise.wgsl"), params);
    let extent = Extent::Invocations(u64::from(chunks) * u64::from(params.m) * u64::from(params.n));
    lowering.push(
        Dispatch::new(kernel, &params, extent)
            .k_places(params.k_chunk)
            .bind("input", input)
            .bind("grad_output", grad_output)
            .bind("grad_weight", partials),
    );
    if chunks > 1 {
        sum_rows(lowering, partials, grad_weight, chunks, weights);
    }
}

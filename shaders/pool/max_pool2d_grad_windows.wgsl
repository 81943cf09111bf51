// The gradient of max_pool2d if windows lie side by side (stride = kernel, no padding, no dilation): every input
// element is in at most one window, so grad_input over a window is grad_output at the winner and 0 elsewhere.
// The formula is that of pool/max_pool2d_grad.wgsl.
//
// grad_output (pool/max_pool2d_grad_arriving.wgsl), indices: [batch, out_h, out_w, channels]; grad_input:
// [batch, in_h, in_w, channels], channels counted in E. One invocation owns one window of one E of channels; the last
// ones of a row or column also own the elements beyond them.
// No workgroup memory, no barrier.
// Linked with: lib/each.wgsl, pool/max_pool2d_grad_arriving.wgsl or pool/max_pool2d_grad_arriving_relu.wgsl, pool/window.wgsl. Header: E, EU, params.

@group(0) @binding(INDICES) var<storage, read> indices: array<EU>;
@group(0) @binding(GRAD_INPUT) var<storage, read_write> grad_input: array<E>;

fn count() -> u32 {
    return params.batch * params.out_h * params.out_w * params.channels;
}

fn each(i: u32) {
    let window = window_of(i);
    let last_h = select(min((window.oh + 1) * params.kernel_h, params.in_h), params.in_h, window.oh + 1 == params.out_h);
    let last_w = select(min((window.ow + 1) * params.kernel_w, params.in_w), params.in_w, window.ow + 1 == params.out_w);
    let value = arriving(i);
    let winner = indices[i];

    for (var h = window.oh * params.kernel_h; h < last_h; h++) {
        for (var w = window.ow * params.kernel_w; w < last_w; w++) {
            let here = h * params.in_w + w;
            grad_input[(window.image + here) * params.channels + window.channel] = select(E(0), value, EU(here) == winner);
        }
    }
}

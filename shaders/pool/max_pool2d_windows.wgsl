// max_pool2d if windows lie side by side (stride = kernel, no padding, no dilation) and none reaches beyond the input:
// every tap exists, so none is checked. The formula is that of pool/max_pool2d.wgsl.
//
// input: [batch, in_h, in_w, channels]; output, indices: [batch, out_h, out_w, channels], channels counted in E.
// One invocation owns one E of the output, channels fastest: as many channels as their number allows, up to four. No
// workgroup memory, no barrier.
// Linked with: lib/each.wgsl, lib/nan.wgsl, pool/window.wgsl. Header: E, EU, params.

@group(0) @binding(INPUT) var<storage, read> input: array<E>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<E>;
@group(0) @binding(INDICES) var<storage, read_write> indices: array<EU>;

fn count() -> u32 {
    return params.batch * params.out_h * params.out_w * params.channels;
}

fn each(i: u32) {
    let window = window_of(i);
    // The window's corner in its plane, and in memory.
    let corner = window.oh * params.kernel_h * params.in_w + window.ow * params.kernel_w;
    var at = (window.image + corner) * params.channels + window.channel;
    var best = input[at];
    var winner = EU(corner);
    for (var kh = 0u; kh < params.kernel_h; kh++) {
        for (var kw = 0u; kw < params.kernel_w; kw++) {
            let value = input[at + kw * params.channels];
            // NaN is detected by its bits, since compilers may assume that x != x is false.
            let wins = (value > best) | is_nan(value);
            best = select(best, value, wins);
            winner = select(winner, EU(corner + kh * params.in_w + kw), wins);
        }
        at += params.in_w * params.channels;
    }
    output[i] = best;
    indices[i] = winner;
}

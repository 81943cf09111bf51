// max_pool2d: output[n, oh, ow, c] = the largest of input[n, oh stride - pad + kh dilation, ow stride - pad + kw dilation, c]
// over the window's taps that lie inside the input, scanned row by row; a later one wins only if it is larger, or NaN.
// indices[..] is where the winner lies in its plane, h in_w + w. Source: torch.nn.MaxPool2d.
//
// input: [batch, in_h, in_w, channels]; output, indices: [batch, out_h, out_w, channels].
// One invocation owns one output element, channels fastest. No workgroup memory, no barrier.
// Linked with: lib/each.wgsl, lib/nan.wgsl, pool/window.wgsl. Header: T, params.

@group(0) @binding(INPUT) var<storage, read> input: array<T>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<T>;
@group(0) @binding(INDICES) var<storage, read_write> indices: array<i32>;

// Compilers may take x != x for false, so NaN is told by its bits.
fn count() -> u32 {
    return params.batch * params.out_h * params.out_w * params.channels;
}

fn each(i: u32) {
    let window = window_of(i);

    // Where all taps of a dilated window lie in the padding the result is minus infinity and nobody wins. WGSL has no
    // constant for it, and refuses one made from bits, so the bits come from a variable.
    var best = minus_infinity();
    var index = -1;
    for (var kh = 0u; kh < params.kernel_h; kh++) {
        // Rows above the input wrap around to huge numbers, so one comparison finds both sides.
        let h = window.oh * params.stride_h + kh * params.dilation_h - params.pad_h;
        if h >= params.in_h { continue; }
        for (var kw = 0u; kw < params.kernel_w; kw++) {
            let w = window.ow * params.stride_w + kw * params.dilation_w - params.pad_w;
            if w >= params.in_w { continue; }
            let value = input[(window.image + h * params.in_w + w) * params.channels + window.channel];
            if index < 0 || value > best || is_nan(value) {
                best = value;
                index = i32(h * params.in_w + w);
            }
        }
    }
    output[i] = best;
    indices[i] = index;
}

// conv2d in which every channel is a separate group: output[n, oh, ow, c] = bias[c] + sum over kh, kw of
//     input[n, oh stride - pad + kh dilation, ow stride - pad + kw dilation, c] weight[kh, kw, c]
// The formula is that of conv2d/direct.wgsl with as many groups as input and output channels.
//
// Bindings are those of conv2d/direct.wgsl, but with E of the header, one channel or four, in place of an element;
// in_c, out_c and n count E.
// One invocation owns one E of the output. No workgroup memory, no barrier.
// Linked with: lib/bias.wgsl or lib/bias_none.wgsl, lib/divide.wgsl, lib/each.wgsl, lib/epilogue.wgsl or lib/epilogue_none.wgsl. Header: E, E_LEN, params.

@group(0) @binding(INPUT) var<storage, read> input: array<E>;
@group(0) @binding(WEIGHT) var<storage, read> weight: array<E>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<E>;

fn count() -> u32 {
    return params.m * params.n;
}

fn each(i: u32) {
    let pixel = divide(i, params.n);
    let channel = i - pixel * params.n;
    let line = divide(pixel, params.out_w);
    let ow = pixel - line * params.out_w;
    let image = divide(line, params.out_h);
    let oh = line - image * params.out_h;

    var sum = E(0);
    for (var kh = 0u; kh < params.kernel_h; kh++) {
        // Rows above the input wrap around to large numbers, so one comparison checks both sides.
        let h = oh * params.stride_h + kh * params.dilation_h - params.pad_top;
        if h >= params.in_h { continue; }
        for (var kw = 0u; kw < params.kernel_w; kw++) {
            let w = ow * params.stride_w + kw * params.dilation_w - params.pad_left;
            if w >= params.in_w { continue; }
            let at = ((image * params.in_h + h) * params.in_w + w) * params.n + channel;
            sum += input[at] * weight[(kh * params.kernel_w + kw) * params.n + channel];
        }
    }
    output[i] = epilogue(i, biased(sum, channel * E_LEN));
}

// zero_pad2d: output[n, oh, ow, c] = input[n, oh - top, ow - left, c] where that is inside the input, else 0. Negative
// padding crops; the gradient is the same with every side negated. Source: torch.nn.ZeroPad2d.
//
// input: [batch, in_h, in_w, channels] of E; output: [batch, out_h, out_w, channels] of E; channels are in E too.
// One invocation owns one E of the output: one channel, or four if their number allows it. No workgroup memory, no
// barrier.
// Linked with: lib/divide.wgsl, lib/each.wgsl. Header: E, params.

@group(0) @binding(INPUT) var<storage, read> input: array<E>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<E>;

fn count() -> u32 {
    return params.batch * params.out_h * params.out_w * params.channels;
}

fn each(i: u32) {
    let pixel = divide(i, params.channels);
    let line = divide(pixel, params.out_w);
    let number = divide(line, params.out_h);
    // Left of and above the input these wrap around to numbers beyond it.
    let h = u32(i32(line - number * params.out_h) - params.top);
    let w = u32(i32(pixel - line * params.out_w) - params.left);
    var value = E(0);
    if h < params.in_h && w < params.in_w {
        value = input[((number * params.in_h + h) * params.in_w + w) * params.channels + (i - pixel * params.channels)];
    }
    output[i] = value;
}

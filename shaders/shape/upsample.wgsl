// Nearest-neighbour upsampling by integer factors: output[n, oh, ow, c] = input[n, oh / scale_h, ow / scale_w, c],
// rounded down. Source: torch.nn.Upsample with mode='nearest'.
//
// input: [batch, in_h, in_w, channels] of E; output: [batch, in_h scale_h, in_w scale_w, channels] of E; channels are
// in E too.
// One invocation owns one E of the output: one channel, or four if their number allows it. No workgroup memory, no
// barrier.
// Linked with: lib/divide.wgsl, lib/each.wgsl. Header: E, params.

@group(0) @binding(INPUT) var<storage, read> input: array<E>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<E>;

fn count() -> u32 {
    return params.batch * params.in_h * params.scale_h * params.in_w * params.scale_w * params.channels;
}

fn each(i: u32) {
    let out_w = params.in_w * params.scale_w;
    let pixel = divide(i, params.channels);
    // Lines of all images are consecutive, so that the image need not be computed from the line.
    let line = divide(pixel, out_w);
    let h = divide(line, params.scale_h);
    let w = divide(pixel - line * out_w, params.scale_w);
    output[i] = input[(h * params.in_w + w) * params.channels + (i - pixel * params.channels)];
}

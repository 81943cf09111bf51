// The gradient of nearest-neighbour upsampling: grad_input[n, h, w, c] = the sum of grad_output over the scale_h x
// scale_w pixels copied from it, row by row. Source: torch.nn.Upsample with mode='nearest'.
//
// grad_output: [batch, in_h scale_h, in_w scale_w, channels] of E; grad_input: [batch, in_h, in_w, channels] of E;
// channels are in E too.
// One invocation owns one E of grad_input: one channel, or four if their number allows it. No workgroup memory, no
// barrier.
// Linked with: lib/divide.wgsl, lib/each.wgsl. Header: E, params.

@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<E>;
@group(0) @binding(GRAD_INPUT) var<storage, read_write> grad_input: array<E>;

fn count() -> u32 {
    return params.batch * params.in_h * params.in_w * params.channels;
}

fn each(i: u32) {
    let pixel = divide(i, params.channels);
    // Lines of all images are consecutive, so that the image need not be computed from the line.
    let line = divide(pixel, params.in_w);
    let out_w = params.in_w * params.scale_w;
    let first = line * params.scale_h * out_w + (pixel - line * params.in_w) * params.scale_w;
    var sum = E(0);
    for (var h = 0u; h < params.scale_h; h++) {
        for (var w = 0u; w < params.scale_w; w++) {
            sum += grad_output[(first + h * out_w + w) * params.channels + (i - pixel * params.channels)];
        }
    }
    grad_input[i] = sum;
}

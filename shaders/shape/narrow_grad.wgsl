// The gradient of narrow along channels: grad_input[p, c] = grad_output[p, c - start] where c is in start..start +
// length, else 0. Source: torch.narrow, dim 1.
//
// grad_output: [pixels, length] of E; grad_input: [pixels, channels] of E. Counts and positions of channels are in E
// too.
// One invocation owns one E of grad_input: one channel, or four if all of them divide by 4. No workgroup memory, no
// barrier.
// Linked with: lib/divide.wgsl, lib/each.wgsl. Header: E, params.

@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<E>;
@group(0) @binding(GRAD_INPUT) var<storage, read_write> grad_input: array<E>;

fn count() -> u32 {
    return params.pixels * params.channels;
}

fn each(i: u32) {
    let pixel = divide(i, params.channels);
    // Below start this wraps around to a number beyond length.
    let channel = i - pixel * params.channels - params.start;
    var grad = E(0);
    if channel < params.length {
        grad = grad_output[pixel * params.length + channel];
    }
    grad_input[i] = grad;
}

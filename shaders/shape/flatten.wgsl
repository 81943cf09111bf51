// flatten(1) in PyTorch's order: output[n, c H W + p] = input[n, p, c], p the pixel; and the way back, its gradient.
// Activations lie channels last in memory, so this transposes pixels and channels of each image.
//
// FORWARD: input [batch, pixels, channels], output [batch, channels, pixels]; otherwise the reverse.
// One invocation owns one element of the output. No workgroup memory, no barrier.
// Linked with: lib/divide.wgsl, lib/each.wgsl. Header: FORWARD, T, params.

@group(0) @binding(INPUT) var<storage, read> input: array<T>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<T>;

fn count() -> u32 {
    return params.batch * params.channels * params.pixels;
}

fn each(i: u32) {
    let image = params.channels * params.pixels;
    // The faster axis of the output is the slower of the input.
    let fast = select(params.channels, params.pixels, FORWARD);
    let slow = select(params.pixels, params.channels, FORWARD);
    let number = divide(i, image);
    let within = i - number * image;
    let outer = divide(within, fast);
    output[i] = input[number * image + (within - outer * fast) * slow + outer];
}

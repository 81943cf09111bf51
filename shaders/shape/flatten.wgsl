// flatten(1) in PyTorch's order: output[n, c H W + p] = input[n, p, c], where p is the pixel; and the reverse, its
// gradient.
// Activations are channels-last in memory, so this transposes pixels and channels of each image.
//
// FORWARD: input [batch, pixels, channels], output [batch, channels, pixels]; otherwise the reverse.
// One invocation owns four elements of the output: one E of four if their number allows it, or four of one. No
// workgroup memory, no barrier.
// Linked with: lib/divide.wgsl, lib/each.wgsl. Header: ACC, E, E_LEN, E_parts, FORWARD, T, params.

@group(0) @binding(INPUT) var<storage, read> input: array<T>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<E>;

const PARTS: u32 = 4 / E_LEN;

fn len() -> u32 {
    return params.batch * params.channels * params.pixels;
}

fn count() -> u32 {
    return (len() + 3) / 4;
}

fn element(i: u32) -> ACC {
    let image = params.channels * params.pixels;
    // The fast axis of the output is the slow axis of the input.
    let fast = select(params.channels, params.pixels, FORWARD);
    let slow = select(params.pixels, params.channels, FORWARD);
    let number = divide(i, image);
    let within = i - number * image;
    let outer = divide(within, fast);
    return ACC(input[number * image + (within - outer * fast) * slow + outer]);
}

fn each(item: u32) {
    let i = item * 4;
    let last = len() - 1;
    let four = vec4<ACC>(element(i), element(min(i + 1, last)), element(min(i + 2, last)), element(min(i + 3, last)));
    let parts = E_parts(four);
    for (var part = 0u; part < PARTS; part++) {
        if i + part <= last {
            output[item * PARTS + part] = E(parts[part]);
        }
    }
}

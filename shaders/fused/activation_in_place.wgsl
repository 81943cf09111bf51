// output = forward(output), element by element, in place, with forward from a function's file.
//
// output: [len] of E, any layout.
// One invocation owns one E of the header: one element, or four if their number allows it. No workgroup memory, no
// barrier.
// Linked with: elementwise/relu.wgsl or elementwise/sigmoid.wgsl or elementwise/tanh.wgsl, lib/each.wgsl. Header: E, params.

@group(0) @binding(OUTPUT) var<storage, read_write> output: array<E>;

fn count() -> u32 {
    return params.len;
}

fn each(i: u32) {
    output[i] = forward(output[i]);
}

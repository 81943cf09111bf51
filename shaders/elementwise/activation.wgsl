// output = forward(input), element by element, with forward from a function's file.
//
// input, output: [len] of E, any layout, both the same.
// One invocation owns one E of the header: one element, or four if their number allows it. No workgroup memory, no
// barrier.
// Linked with: a file with forward, lib/each.wgsl. Header: E, params.

@group(0) @binding(INPUT) var<storage, read> input: array<E>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<E>;

fn count() -> u32 {
    return params.len;
}

fn each(i: u32) {
    output[i] = forward(input[i]);
}

// grad_input = backward(saved, grad_output) = grad_output * f'(x), element by element, with backward from a function's
// file.
// saved is the output if f'(x) is a function of it alone, else the input x.
//
// saved, grad_output, grad_input: [len] of E, any layout, all the same.
// One invocation owns one E of the header: one element, or four if their number allows it. No workgroup memory, no
// barrier.
// Linked with: a file with backward, lib/each.wgsl. Header: E, params.

@group(0) @binding(SAVED) var<storage, read> saved: array<E>;
@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<E>;
@group(0) @binding(GRAD_INPUT) var<storage, read_write> grad_input: array<E>;

fn count() -> u32 {
    return params.len;
}

fn each(i: u32) {
    grad_input[i] = backward(saved[i], grad_output[i]);
}

// The gradient of the squared error by its input: grad_input = scale grad_output (input - target), where scale is 2 for
// the sum and 2 / len for the mean. The gradient by the target is the same with both exchanged. Source:
// torch.nn.MSELoss.
//
// grad_output: [1]; input, targets, grad_input: [len] of E, any layout, all the same.
// One invocation owns one E of the header: one element, or four if their number allows it. No workgroup memory, no
// barrier.
// Linked with: lib/each.wgsl. Header: E, T, params.

@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<T>;
@group(0) @binding(INPUT) var<storage, read> input: array<E>;
@group(0) @binding(TARGETS) var<storage, read> targets: array<E>;
@group(0) @binding(GRAD_INPUT) var<storage, read_write> grad_input: array<E>;

fn count() -> u32 {
    return params.len;
}

fn each(i: u32) {
    grad_input[i] = (input[i] - targets[i]) * (params.scale * grad_output[0]);
}

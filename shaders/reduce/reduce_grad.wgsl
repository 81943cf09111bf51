// The gradient of a sum or mean over the middle of three axes: grad_input[o, r, c] = scale grad_output[o, c].
// Source: torch.sum, torch.mean.
//
// grad_output: [outer, inner] of E; grad_input: [outer, count, inner] of E; inner is in E too.
// One invocation owns one E of grad_input: one element, or four if inner divides by 4. No workgroup memory, no barrier.
// Linked with: lib/divide.wgsl, lib/each.wgsl. Header: E, params.

@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<E>;
@group(0) @binding(GRAD_INPUT) var<storage, read_write> grad_input: array<E>;

fn count() -> u32 {
    return params.outer * params.count * params.inner;
}

fn each(i: u32) {
    let line = divide(i, params.inner);
    let outer = divide(line, params.count);
    grad_input[i] = grad_output[outer * params.inner + (i - line * params.inner)] * params.scale;
}

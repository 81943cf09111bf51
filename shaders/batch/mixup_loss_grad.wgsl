// grad_own = lambda grad_output, grad_other = (1 - lambda) grad_output: the gradients of batch/mixup_loss.wgsl by both losses.
//
// grad_output, lambda, grad_own, grad_other: [1].
// One invocation does all the work. No workgroup memory, no barrier.
// Linked with: nothing. Header: T, params.

@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<T>;
@group(0) @binding(LAMBDA) var<storage, read> lambda: array<T>;
@group(0) @binding(GRAD_OWN) var<storage, read_write> grad_own: array<T>;
@group(0) @binding(GRAD_OTHER) var<storage, read_write> grad_other: array<T>;

@compute @workgroup_size(1)
fn main(@builtin(local_invocation_index) local: u32) {
    if local >= params.rows { return; }
    grad_own[0] = lambda[0] * grad_output[0];
    grad_other[0] = (1 - lambda[0]) * grad_output[0];
}

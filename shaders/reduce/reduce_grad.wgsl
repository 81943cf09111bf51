// The gradient of a sum or mean over the middle of three axes: grad_input[o, r, c] = scale grad_output[o, c].
// Source: torch.sum, torch.mean.
//
// grad_output: [outer, inner] of E; grad_input: [outer, count, inner] of E; inner is in E too.
// One invocation owns one E of grad_input: one element, or four where inner divides by 4. No workgroup memory, no barrier.

@group(0) @binding(1) var<storage, read> grad_output: array<E>;
@group(0) @binding(2) var<storage, read_write> grad_input: array<E>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = invocation_number(workgroup, groups, local);
    if i >= params.outer * params.count * params.inner { return; }
    let line = divide(i, params.inner);
    let outer = divide(line, params.count);
    grad_input[i] = grad_output[outer * params.inner + (i - line * params.inner)] * params.scale;
}

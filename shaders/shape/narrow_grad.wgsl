// The gradient of narrow along channels: grad_input[p, c] = grad_output[p, c - start] where c is in start..start + length,
// else 0. Source: torch.narrow, dim 1.
//
// grad_output: [pixels, length] of E; grad_input: [pixels, channels] of E. Counts and places of channels are in E too.
// One invocation owns one E of grad_input: one channel, or four where all of them divide by 4. No workgroup memory, no
// barrier.

@group(0) @binding(1) var<storage, read> grad_output: array<E>;
@group(0) @binding(2) var<storage, read_write> grad_input: array<E>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = invocation_number(workgroup, groups, local);
    if i >= params.pixels * params.channels { return; }
    let pixel = divide(i, params.channels);
    // Below start this wraps to a number beyond length.
    let channel = i - pixel * params.channels - params.start;
    var grad = E(0);
    if channel < params.length {
        grad = grad_output[pixel * params.length + channel];
    }
    grad_input[i] = grad;
}

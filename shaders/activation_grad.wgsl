// grad_input = grad_output * f'(x), element by element; `backward(y, dy)` comes from the function's own file (relu.wgsl,
// ..) and needs the output y alone.
//
// output, grad_output, grad_input: [len] of E, any layout, all the same.
// One invocation owns one E of the header: one element, or four where their number allows it. No workgroup memory, no barrier.

struct Params { len: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> output: array<E>;
@group(0) @binding(2) var<storage, read> grad_output: array<E>;
@group(0) @binding(3) var<storage, read_write> grad_input: array<E>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = invocation_number(workgroup, groups, local);
    if i >= params.len { return; }
    grad_input[i] = backward(output[i], grad_output[i]);
}

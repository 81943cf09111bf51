// output = combine(a, b), element by element; `combine` comes from the operation's own file (elementwise/add.wgsl, elementwise/mul.wgsl, ..).
//
// a, b, output: [len] of E, any layout, all the same.
// One invocation owns one E of the header: one element, or four where their number allows it. No workgroup memory, no barrier.

@group(0) @binding(1) var<storage, read> a: array<E>;
@group(0) @binding(2) var<storage, read> b: array<E>;
@group(0) @binding(3) var<storage, read_write> output: array<E>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = invocation_number(workgroup, groups, local);
    if i >= params.len { return; }
    output[i] = finish(i, combine(a[i], b[i]));
}

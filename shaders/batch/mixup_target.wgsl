// output[n] = targets[rows - 1 - n]: the labels of the images that batch/mixup.wgsl mixes in.
//
// targets, output: [rows].
// One invocation owns one label. No workgroup memory, no barrier.

@group(0) @binding(1) var<storage, read> targets: array<i32>;
@group(0) @binding(2) var<storage, read_write> output: array<i32>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let n = invocation_number(workgroup, groups, local);
    if n >= params.rows { return; }
    output[n] = targets[params.rows - 1 - n];
}

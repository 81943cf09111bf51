// output[r] = the label indices[r]: the labels of a batch collected from a data set that lies on the device.
//
// data: the labels first .. first + count; indices, output: [rows]. Rows of other pieces are left alone.
// One invocation owns one label. No workgroup memory, no barrier.

@group(0) @binding(1) var<storage, read> data: array<i32>;
@group(0) @binding(2) var<storage, read> indices: array<i32>;
@group(0) @binding(3) var<storage, read_write> output: array<i32>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let row = invocation_number(workgroup, groups, local);
    if row >= params.rows { return; }
    let label = u32(indices[row]) - params.first;
    if label < params.count {
        output[row] = data[label];
    }
}

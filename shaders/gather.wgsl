// output[r, e] = scale * byte e of image indices[r] + shift: a batch collected from a data set that lies on the device.
//
// data: bytes of the images first .. first + count, four to a word, each image padded to whole words; indices: [rows];
// output: [rows, elements], channels last as the bytes are.
// A data set larger than one binding is dispatched a piece at a time: rows of other pieces are left alone.
// One invocation owns one element of the output. No workgroup memory, no barrier.

struct Params { rows: u32, elements: u32, words: u32, first: u32, count: u32, scale: f32, shift: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> data: array<u32>;
@group(0) @binding(2) var<storage, read> indices: array<i32>;
@group(0) @binding(3) var<storage, read_write> output: array<T>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = invocation_number(workgroup, groups, local);
    if i >= params.rows * params.elements { return; }
    let row = divide(i, params.elements);
    let image = u32(indices[row]) - params.first;
    if image >= params.count { return; }
    let element = i - row * params.elements;
    let word = data[image * params.words + element / 4];
    let byte = (word >> (element % 4 * 8)) & 255u;
    output[i] = T(byte) * params.scale + params.shift;
}

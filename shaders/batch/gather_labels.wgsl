// output[r] = the label indices[r]: the labels of a batch gathered from a resident data set.
//
// data: the labels first .. first + count; indices, output: [rows]. Rows of other pieces are left unchanged.
// One invocation owns one label. No workgroup memory, no barrier.
// Linked with: lib/each.wgsl. Header: params.

@group(0) @binding(DATA) var<storage, read> data: array<i32>;
@group(0) @binding(INDICES) var<storage, read> indices: array<i32>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<i32>;

fn count() -> u32 {
    return params.rows;
}

fn each(row: u32) {
    let label = u32(indices[row]) - params.first;
    if label < params.count {
        output[row] = data[label];
    }
}

// output[n] = targets[rows - 1 - n]: the labels of the images that batch/mixup.wgsl blends in.
//
// targets, output: [rows].
// One invocation owns one label. No workgroup memory, no barrier.
// Linked with: lib/each.wgsl. Header: params.

@group(0) @binding(TARGETS) var<storage, read> targets: array<i32>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<i32>;

fn count() -> u32 {
    return params.rows;
}

fn each(n: u32) {
    output[n] = targets[params.rows - 1 - n];
}

// The mean gray of each image, means [rows], as computed by batch/transform_gray.wgsl.
// Linked with: nothing. Header: nothing.

@group(0) @binding(MEANS) var<storage, read> means: array<u32>;

fn mean_of(row: u32) -> u32 {
    return means[row];
}

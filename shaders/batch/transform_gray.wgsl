// The mean over an image of its gray after brightness, to the nearest 16th of a byte: what contrast moves pixels from and to.
//
// gray_means: [rows]; the rest: batch/transform_pixel.wgsl. Rows of other pieces of the data set are left alone.
// One workgroup owns one image; its invocation i adds up the pixels i, i + WG, .., and the first adds up those sums. Whole
// numbers below 2^32: the host allows 2^20 pixels. Workgroup memory: 4 WG bytes. One barrier, so that all sums are there.

@group(0) @binding(5) var<storage, read_write> gray_means: array<u32>;

var<workgroup> sums: array<u32, WG>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let row = workgroup_number(workgroup, groups);
    // All must reach the barrier, so one without an image adds up nothing.
    let image = u32(indices[min(row, params.rows - 1)]) - params.first;
    let here = row < params.rows && image < params.count;
    var sum = 0u;
    for (var pixel = local; pixel < select(0u, params.pixels, here); pixel += WG) {
        sum += gray_of(brightened(row, image, place_of(row, pixel)));
    }
    sums[local] = sum;
    workgroupBarrier();
    if local != 0u || !here { return; }
    var total = 0u;
    for (var i = 0u; i < WG; i++) {
        total += sums[i];
    }
    gray_means[row] = (total + params.pixels / 2) / params.pixels;
}

// The mean over an image of its gray after brightness, to the nearest 16th of a byte, with which contrast blends
// pixels.
//
// gray_means: [rows]; for the rest see batch/transform_pixel.wgsl. Rows of other pieces of the data set are left
// unchanged.
// One workgroup owns one image; its invocation i adds up the pixels i, i + WG, .. The sums are integers below 2^32,
// since the host allows at most 2^20 pixels. Workgroup memory and barriers: lib/workgroup_sum.wgsl, 4 WG bytes.
// Linked with: batch/transform_color.wgsl, batch/transform_cropped.wgsl or batch/transform_resized.wgsl, batch/transform_pixel.wgsl, lib/workgroup_sum.wgsl. Header: WG, params.

@group(0) @binding(GRAY_MEANS) var<storage, read_write> gray_means: array<u32>;

alias Sum = u32;

fn image_of(row: u32) -> u32 {
    return u32(indices[min(row, params.rows - 1)]) - params.first;
}

fn is_here(row: u32) -> bool {
    return row < params.rows && image_of(row) < params.count;
}

fn part(row: u32, local: u32) -> u32 {
    let image = image_of(row);
    var sum = 0u;
    for (var pixel = local; pixel < select(0u, params.pixels, is_here(row)); pixel += WG) {
        sum += gray_of(brightened(row, image, place_of(row, pixel)));
    }
    return sum;
}

fn whole(row: u32, local: u32) {
    if local == 0u && is_here(row) {
        gray_means[row] = (sum_of_parts() + params.pixels / 2) / params.pixels;
    }
}

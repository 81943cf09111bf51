// Colours of one or three channels, changed by a factor f each for brightness, contrast and saturation, in this order:
// blend(x, y) = f x + (1 - f) y, clamped to 0 .. 4080, where y is black, the mean gray of the image, the pixel's own
// gray.
// Source: torchvision's ColorJitter.
// Linked with: batch/transform_cropped.wgsl or batch/transform_resized.wgsl, batch/transform_mean.wgsl or batch/transform_mean_none.wgsl, batch/transform_pixel.wgsl. Header: params.

struct Color { values: vec3u }

// With one channel all three are equal.
fn sampled_color(image: u32, place: Place) -> vec3u {
    let first = sampled(image, place, 0);
    if params.channels == 1 {
        return vec3u(first);
    }
    return vec3u(first, sampled(image, place, 1), sampled(image, place, 2));
}

// factor: in 4096ths, at most 8, so that products fit into 31 bits.
fn blend(x: vec3u, y: u32, factor: i32) -> vec3u {
    let sum = vec3i(x) * factor + (4096 - factor) * i32(y) + 2048;
    return vec3u(clamp(sum >> vec3u(12), vec3i(0), vec3i(BRIGHTEST)));
}

// 0.2989 red + 0.587 green + 0.114 blue.
fn gray_of(x: vec3u) -> u32 {
    if params.channels == 1 {
        return x.x;
    }
    return (19589 * x.x + 38470 * x.y + 7471 * x.z + (1u << 15)) >> 16;
}

fn brightened(row: u32, image: u32, place: Place) -> vec3u {
    return blend(sampled_color(image, place), 0, drawn(row, 5));
}

fn color_of(row: u32, image: u32, place: Place) -> Color {
    let contrasted = blend(brightened(row, image, place), mean_of(row), drawn(row, 6));
    return Color(blend(contrasted, gray_of(contrasted), drawn(row, 7)));
}

fn channel_of(color: Color, channel: u32) -> u32 {
    return color.values[channel];
}

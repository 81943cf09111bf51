// The geometry of a box that is resized to the batch's extents: a pixel of the batch lies between four pixels of the
// box. Along an axis, with `from` pixels resized to `to`, pixel x lies at max(0, (x + 1/2) from / to - 1/2), which is
// an integer number of (2 to)ths. The weights of neighbours are in 4096ths, so that the interpolation fits into 32
// bits.
// Source: torch.nn.functional.interpolate, bilinear, align_corners=False, antialias=False, after torchvision's crop.
// Linked with: batch/transform_pixel.wgsl, lib/divide.wgsl. Header: params.

struct Place { top_left: u32, top_right: u32, bottom_left: u32, bottom_right: u32, weight_x: u32, weight_y: u32 }

// A pixel of the box, the next one, and the weight of the next one.
struct Between { low: u32, high: u32, weight: u32 }

// image_extent: of the image along the axis.
fn between(x: u32, from_begin: i32, from_extent: i32, to_extent: u32, image_extent: u32) -> Between {
    let halves = u32(max(0, i32(2 * x + 1) * from_extent - i32(to_extent)));
    let low = divide(halves, 2 * to_extent);
    let weight = divide((halves - low * 2 * to_extent) * 4096 + to_extent, 2 * to_extent);
    let high = min(i32(low) + 1, from_extent - 1);
    // Boxes lie inside the image. The clamps keep numbers that the host has not drawn from reading elsewhere.
    let last = i32(image_extent) - 1;
    return Between(u32(clamp(from_begin + i32(low), 0, last)), u32(clamp(from_begin + high, 0, last)), weight);
}

fn place_of(row: u32, pixel: u32) -> Place {
    let line = divide(pixel, params.width);
    let y = between(line, drawn(row, 0), drawn(row, 2), params.height, params.image_height);
    let x = between(across(row, pixel - line * params.width), drawn(row, 1), drawn(row, 3), params.width, params.image_width);
    let low = y.low * params.image_width;
    let high = y.high * params.image_width;
    return Place(low + x.low, low + x.high, high + x.low, high + x.high, x.weight, y.weight);
}

fn sampled(image: u32, place: Place, channel: u32) -> u32 {
    let left = 4096 - place.weight_x;
    let top = byte_of(image, place.top_left, channel) * left
        + byte_of(image, place.top_right, channel) * place.weight_x;
    let bottom = byte_of(image, place.bottom_left, channel) * left
        + byte_of(image, place.bottom_right, channel) * place.weight_x;
    // At most 255 * 2^24, in 2^-24ths of a byte.
    return (top * (4096 - place.weight_y) + bottom * place.weight_y + (1u << 19)) >> 20;
}

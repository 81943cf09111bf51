// The geometry of a crop of the padded image, of the batch's extents: a pixel of the batch is a pixel of the image, or black in the padding.
// Source: torchvision's RandomCrop and RandomHorizontalFlip.
// Linked with: batch/transform_pixel.wgsl, lib/divide.wgsl. Header: params.

struct Place { pixel: u32, inside: bool }

fn place_of(row: u32, pixel: u32) -> Place {
    let y = divide(pixel, params.width);
    // Above and to the left of the image these wrap around to large numbers.
    let line = y + u32(drawn(row, 0));
    let column = across(row, pixel - y * params.width) + u32(drawn(row, 1));
    let inside = line < params.image_height && column < params.image_width;
    // Outside the image pixel 0, which exists, is loaded and discarded.
    return Place(select(0u, line * params.image_width + column, inside), inside);
}

fn sampled(image: u32, place: Place, channel: u32) -> u32 {
    return select(0u, byte_of(image, place.pixel, channel) << 4, place.inside);
}

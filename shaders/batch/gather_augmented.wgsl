// The source in image `item` of `pixel` of the batch under torchvision's RandomCrop(padding) to the image's own extents
// and RandomHorizontalFlip; in the padding it is the number of pixels, which is no valid index.
//
// random: the seed's two words, the step, unused. Of the words drawn for item and step the first two give the crop's
// corner in the padded image, each 0 .. 2 padding, and the third flips if its upper 24 bits are below params.flip.
// Linked with: lib/divide.wgsl, lib/philox.wgsl. Header: params.

@group(0) @binding(RANDOM) var<storage, read> random: array<i32>;

fn pixel_of(item: u32, pixel: u32) -> u32 {
    let counter = vec4u(item, u32(random[2]), params.stream_low, params.stream_high);
    let words = philox(counter, vec2u(u32(random[0]), u32(random[1])));
    let y = divide(pixel, params.width);
    let x = pixel - y * params.width;
    let across = select(x, params.width - 1 - x, (words.z >> 8) < params.flip);
    // Above and to the left of the image these wrap around to large numbers.
    let line = y + below(words.x, 2 * params.padding + 1) - params.padding;
    let column = across + below(words.y, 2 * params.padding + 1) - params.padding;
    return select(params.pixels, line * params.width + column, line < params.height && column < params.width);
}

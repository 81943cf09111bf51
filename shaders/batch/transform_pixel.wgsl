// What the kernels of transform share: where bytes lie, and the numbers that the host has drawn for each image. Pixels are
// whole 16ths of a byte, 0 .. 4080, and everything that is done to them is whole numbers, the same on every device.
//
// data: bytes of the images first .. first + count, four to a word, each image padded to whole words; indices: [rows];
// draws: [rows, 10] = top, left, height and width of the box that is cut out, whether it is flipped, the factors of
// brightness, contrast and saturation in 4096ths, top and left of the square that is set to 0.
//
// The file with the geometry (batch/transform_cropped.wgsl, batch/transform_resized.wgsl) has
//     place_of(row, pixel)              the place in the image that comes to this pixel of the batch
//     sampled(image, place, channel)    what is there
// Linked with: nothing. Header: params.

@group(0) @binding(DATA) var<storage, read> data: array<u32>;
@group(0) @binding(INDICES) var<storage, read> indices: array<i32>;
@group(0) @binding(DRAWS) var<storage, read> draws: array<i32>;

const BRIGHTEST: i32 = 4080;

fn drawn(row: u32, word: u32) -> i32 {
    return draws[row * 10 + word];
}

fn byte_of(image: u32, pixel: u32, channel: u32) -> u32 {
    let element = pixel * params.channels + channel;
    return (data[image * params.words + element / 4] >> (element % 4 * 8)) & 255u;
}

// The column of the box that comes to column x of the batch.
fn across(row: u32, x: u32) -> u32 {
    return select(x, params.width - 1 - x, drawn(row, 4) != 0);
}

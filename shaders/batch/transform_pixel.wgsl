// Shared parts of the transform kernels: the layout of the bytes, and the numbers that the host has drawn for each
// image. Pixels are integers in 16ths of a byte, 0 .. 4080, and all operations on them are integer operations, the same
// on every device.
//
// data: bytes of the images first .. first + count, four to a word, each image padded to whole words; indices: [rows];
// draws: [rows, 10] = top, left, height and width of the crop box, 1 for a flip, the factors of brightness, contrast
// and saturation in 4096ths, top and left of the square that is set to 0.
//
// The file with the geometry (batch/transform_cropped.wgsl, batch/transform_resized.wgsl) defines
//     place_of(row, pixel)              the source in the image of this pixel of the batch
//     sampled(image, place, channel)    the value there
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

// The source column in the box of column x of the batch.
fn across(row: u32, x: u32) -> u32 {
    return select(x, params.width - 1 - x, drawn(row, 4) != 0);
}

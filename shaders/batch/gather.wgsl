// output[r, p, c] = scale[c] * byte + shift[c], where byte is channel c of a pixel of image indices[r]: a batch
// gathered from a resident data set. The file with pixel_of (batch/gather_whole.wgsl, batch/gather_augmented.wgsl)
// selects the pixel: pixel p itself, or its source under a random crop and flip. Outside the image the byte is 0,
// before the normalisation.
//
// data: bytes of the images first .. first + count, four to a word, each image padded to whole words; indices: [rows];
// output: [rows, pixels, channels], channels last like the bytes. Channels from the fourth on share scale and shift.
// A data set larger than one binding is dispatched a piece at a time; rows of other pieces are left unchanged.
// One invocation owns one pixel of the output, all channels. No workgroup memory, no barrier.
// Linked with: batch/gather_augmented.wgsl or batch/gather_whole.wgsl, lib/divide.wgsl, lib/each.wgsl. Header: T, params.

@group(0) @binding(DATA) var<storage, read> data: array<u32>;
@group(0) @binding(INDICES) var<storage, read> indices: array<i32>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<T>;

fn count() -> u32 {
    return params.rows * params.pixels;
}

fn each(i: u32) {
    let row = divide(i, params.pixels);
    let item = u32(indices[row]);
    let image = item - params.first;
    if image >= params.count { return; }
    let pixel = pixel_of(item, i - row * params.pixels);
    let inside = pixel < params.pixels;
    // Outside the image pixel 0, which exists, is loaded and discarded.
    let element = select(0u, pixel, inside) * params.channels;
    for (var channel = 0u; channel < params.channels; channel++) {
        let word = data[image * params.words + (element + channel) / 4];
        let byte = select(0u, (word >> ((element + channel) % 4 * 8)) & 255u, inside);
        let c = min(channel, 3u);
        output[i * params.channels + channel] = T(byte) * params.scale[c] + params.shift[c];
    }
}

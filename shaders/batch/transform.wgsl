// output[r, p, c] = scale[c] * value + shift[c], where value is channel c of a pixel of image indices[r] after the
// random augmentation drawn for row r: a batch gathered from a resident data set. In the cutout square the output is 0,
// the mean of normalised images. Source of the square: DeVries and Taylor, arXiv 1708.04552.
//
// output: [rows, pixels, channels], channels last; for the rest see batch/transform_pixel.wgsl. Channels from the
// fourth on share scale and shift. The scale has two parts of 12 bits, as many as a value has. Both products are exact,
// so that a device which fuses multiply and add gets the same result.
// A data set larger than one binding is dispatched a piece at a time; rows of other pieces are left unchanged.
// One invocation owns one pixel of the output, all channels. No workgroup memory, no barrier.
//
// The file with the colours (batch/transform_color.wgsl, batch/transform_color_none.wgsl) defines color_of and
// channel_of.
// Linked with: batch/transform_color.wgsl or batch/transform_color_none.wgsl, batch/transform_cropped.wgsl or batch/transform_resized.wgsl, batch/transform_pixel.wgsl, lib/divide.wgsl, lib/each.wgsl. Header: T, params.

@group(0) @binding(OUTPUT) var<storage, read_write> output: array<T>;

fn count() -> u32 {
    return params.rows * params.pixels;
}

fn each(i: u32) {
    let row = divide(i, params.pixels);
    let image = u32(indices[row]) - params.first;
    if image >= params.count { return; }
    let pixel = i - row * params.pixels;
    let y = divide(pixel, params.width);
    let x = pixel - y * params.width;
    // Before the square these wrap around to large numbers.
    let cut = y - u32(drawn(row, 8)) < params.cutout && x - u32(drawn(row, 9)) < params.cutout;
    let color = color_of(row, image, place_of(row, pixel));
    for (var channel = 0u; channel < params.channels; channel++) {
        let value = T(channel_of(color, channel));
        let c = min(channel, 3u);
        let normalised = (value * params.scale_high[c] + params.shift[c]) + value * params.scale_low[c];
        output[i * params.channels + channel] = select(normalised, T(0), cut);
    }
}

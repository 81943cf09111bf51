// The position of element i of a pooling's input, channels fastest: its channel, row and column, and its image's index;
// and the windows along one axis that may contain a position.
// Linked with: lib/divide.wgsl. Header: params.

struct Place { channel: u32, h: u32, w: u32, image: u32 }

fn place_of(i: u32) -> Place {
    let pixel = divide(i, params.channels);
    let line = divide(pixel, params.in_w);
    let image = divide(line, params.in_h);
    return Place(i - pixel * params.channels, line - image * params.in_h, pixel - line * params.in_w, image);
}

// From first to end, excluding end.
struct Windows { first: u32, end: u32 }

// Of `count` windows that start `stride` apart and whose last tap is `reach` from the first, those that span `at`, a
// position in the padded input.
fn windows_over(at: u32, reach: u32, stride: u32, count: u32) -> Windows {
    return Windows(divide(max(at, reach) - reach + stride - 1, stride), min(divide(at, stride) + 1, count));
}

// The window of a pooling that output element i belongs to, channels fastest: its channel, its position in the output,
// and the first pixel of its image in the input.
// Linked with: lib/divide.wgsl. Header: params.

struct Window { channel: u32, oh: u32, ow: u32, image: u32 }

fn window_of(i: u32) -> Window {
    let pixel = divide(i, params.channels);
    let line = divide(pixel, params.out_w);
    let number = divide(line, params.out_h);
    return Window(
        i - pixel * params.channels,
        line - number * params.out_h,
        pixel - line * params.out_w,
        number * params.in_h * params.in_w,
    );
}

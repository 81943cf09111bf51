// Shared part of the two kernels for few input channels: the part of an input line under PIXELS neighbouring windows,
// as vectors of four elements, in registers. A line is whole vectors, which lie across pixels and channels; vectors
// outside the input are 0. SHIFT elements of the first of LOADS vectors lie before the first window, and LEFT vectors
// of the first window of a line lie before the line.
//
// Variables that several functions use are at module scope, not behind pointers. GLSL and HLSL have no pointers, so
// every call would copy whole arrays in and out; on these thousands of copies Mesa's OpenGL compiler does not
// terminate.
// Linked with: conv2d/few_channels.wgsl or conv2d/grad_weight_few_channels.wgsl, lib/divide.wgsl. Header: ACC, DILATION_W, IN_C, LEFT, LOADS, SHIFT, STRIDE_W, params.

var<private> line: array<vec4<ACC>, LOADS>;

// Start of the windows: the first line of their image, a row of it, which may lie above or below, and the first vector.
struct Windows { image: u32, h: u32, first: u32 }

fn windows_of(pixel: u32) -> Windows {
    let row = divide(pixel, params.out_w);
    let image = divide(row, params.out_h);
    return Windows(
        image * params.in_h,
        (row - image * params.out_h) * params.stride_h - params.pad_top,
        (pixel - row * params.out_w) * STRIDE_W * IN_C / 4 - LEFT,
    );
}

fn load_line(windows: Windows, kh: u32) {
    // Rows above the input and vectors left of it wrap around to large numbers, so one comparison checks both sides.
    let h = windows.h + kh * params.dilation_h;
    let length = params.in_w * IN_C / 4;
    let limit = select(0u, length, h < params.in_h);
    let base = (windows.image + h) * length;
    for (var j = 0u; j < LOADS; j++) {
        let at = windows.first + j;
        let inside = at < limit;
        // Outside the input vector 0, which exists, is loaded and discarded: a branch costs software devices more.
        line[j] = select(vec4<ACC>(0), vec4<ACC>(input[select(0u, base + at, inside)]), inside);
    }
}

// The element of the line under this tap, an element of a row of the window, of pixel p.
fn element(p: u32, tap: u32) -> ACC {
    let e = SHIFT + (p * STRIDE_W + tap / IN_C * DILATION_W) * IN_C + tap % IN_C;
    return line[e / 4][e % 4];
}

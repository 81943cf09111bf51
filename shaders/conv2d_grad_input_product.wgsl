// The gradient of conv2d by its input as an implicit product: C[m, n] = sum over k of A[m, k] B[k, n] with m = (image, ih,
// iw), n = input channel and k = (kh, kw, co); A is grad_output where a window's tap met the input's element.
// The formula is that of conv2d_grad_input_direct.wgsl with one group; the tile is the core's (lib/product_*.wgsl).
// STRIDE_H and STRIDE_W are constants, so that the division by them costs nothing where they are 1.

@group(0) @binding(1) var<storage, read> grad_output: array<T>;
@group(0) @binding(2) var<storage, read> weight: array<T>;
@group(0) @binding(3) var<storage, read_write> grad_input: array<T>;

// An input pixel: the first element of its image's grad_output, and its place in the padded input.
struct Row { image: u32, h: u32, w: u32, valid: bool }

fn row_of(m: u32) -> Row {
    let iw = m % params.in_w;
    let ih = m / params.in_w % params.in_h;
    let image = m / (params.in_w * params.in_h);
    return Row(
        image * params.out_h * params.out_w * params.out_c,
        ih + params.pad_top,
        iw + params.pad_left,
        m < params.m,
    );
}

// A tap of the window, its distance from the window's corner, and an output channel.
struct Depth { tap: u32, h: u32, w: u32, kw: u32, channel: u32 }

fn depth_of(k: u32) -> Depth {
    let tap = k / params.out_c;
    let kw = tap % params.kernel_w;
    return Depth(tap, tap / params.kernel_w * params.dilation_h, kw * params.dilation_w, kw, k % params.out_c);
}

fn next_depth(depth: Depth) -> Depth {
    var d = depth;
    d.channel++;
    if d.channel == params.out_c {
        d.channel = 0u;
        d.tap++;
        d.kw++;
        d.w += params.dilation_w;
        if d.kw == params.kernel_w {
            d.kw = 0u;
            d.w = 0u;
            d.h += params.dilation_h;
        }
    }
    return d;
}

fn load_a(row: Row, depth: Depth) -> T {
    // Negative distances wrap around to huge numbers, which no output reaches.
    let h = row.h - depth.h;
    let w = row.w - depth.w;
    let oh = h / STRIDE_H;
    let ow = w / STRIDE_W;
    // No branch: outside, element 0 is loaded and not used, which costs software devices less than a jump.
    let whole = oh * STRIDE_H == h && ow * STRIDE_W == w;
    let inside = row.valid && oh < params.out_h && ow < params.out_w && whole;
    let at = row.image + (oh * params.out_w + ow) * params.out_c + depth.channel;
    return select(T(0), grad_output[select(0u, at, inside)], inside);
}

fn load_b(depth: Depth, n: u32) -> T {
    let inside = n < params.n;
    let at = (depth.tap * params.in_c + n) * params.out_c + depth.channel;
    return select(T(0), weight[select(0u, at, inside)], inside);
}

fn store(split: u32, m: u32, n: u32, sum: ACC) {
    grad_input[m * params.n + n] = T(sum);
}

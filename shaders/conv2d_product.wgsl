// conv2d as an implicit product: C[m, n] = sum over k of A[m, k] B[k, n] with m = (image, oh, ow), n = output channel and
// k = (kh, kw, ci); A is the input under the window, never written out, and B the weight as it lies in memory.
// The formula is that of conv2d_direct.wgsl with one group; the tile and its memory are the core's (lib/product_*.wgsl).

@group(0) @binding(1) var<storage, read> input: array<T>;
@group(0) @binding(2) var<storage, read> weight: array<T>;
@group(0) @binding(3) var<storage, read_write> output: array<T>;

// An output pixel: the first element of its image, and the window's corner, which may lie above or left of the input.
struct Row { image: u32, h: u32, w: u32, valid: bool }

fn row_of(m: u32) -> Row {
    let ow = m % params.out_w;
    let oh = m / params.out_w % params.out_h;
    let image = m / (params.out_w * params.out_h);
    return Row(
        image * params.in_h * params.in_w * params.in_c,
        oh * params.stride_h - params.pad_top,
        ow * params.stride_w - params.pad_left,
        m < params.m,
    );
}

// A tap of the window, its distance from the window's corner, and an input channel.
struct Depth { k: u32, h: u32, w: u32, kw: u32, channel: u32 }

fn depth_of(k: u32) -> Depth {
    let tap = k / params.in_c;
    let kw = tap % params.kernel_w;
    return Depth(k, tap / params.kernel_w * params.dilation_h, kw * params.dilation_w, kw, k % params.in_c);
}

fn next_depth(depth: Depth) -> Depth {
    var d = depth;
    d.k++;
    d.channel++;
    if d.channel == params.in_c {
        d.channel = 0u;
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
    // Rows above the input wrap around to huge numbers, so one comparison finds both sides.
    let h = row.h + depth.h;
    let w = row.w + depth.w;
    // No branch: outside, element 0 is loaded and not used, which costs software devices less than a jump.
    let inside = row.valid && h < params.in_h && w < params.in_w;
    let at = row.image + (h * params.in_w + w) * params.in_c + depth.channel;
    return select(T(0), input[select(0u, at, inside)], inside);
}

fn load_b(depth: Depth, n: u32) -> T {
    let inside = n < params.n;
    return select(T(0), weight[select(0u, depth.k * params.n + n, inside)], inside);
}

fn store(split: u32, m: u32, n: u32, sum: ACC) {
    output[m * params.n + n] = epilogue(sum, n);
}

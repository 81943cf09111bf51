// The gradient of conv2d by its input as an implicit product: C[m, n] = sum over k of A[m, k] B[k, n] with m = (image, ih,
// iw), n = input channel and k = (kh, kw, co); A is grad_output where a window's tap met the input's element.
// The formula is that of conv2d/grad_input_direct.wgsl with one group; the tile is the core's (lib/product_*.wgsl).
// STRIDE_H and STRIDE_W are constants, so that the division by them costs nothing where they are 1.
//
// Two other ways to count the rows let the core skip taps. PHASES_FIRST keeps those together that lie equally far from a
// multiple of the stride: a tap meets outputs for all of a tile or, falling between two strides, for none. PIXELS_FIRST
// counts (ih, iw, image): a tile then holds one pixel of many images, and taps beside the output are skipped too; but its
// images may lie a power of two apart, so that they fight for the same lines of a cache.
// Linked with: lib/divide.wgsl, lib/epilogue.wgsl or lib/epilogue_none.wgsl, lib/product.wgsl, lib/product_subgroup8.wgsl or lib/product_workgroup.wgsl. Header: E, EA, EACC, EA_LEN, EB, EB_LEN, E_LEN, PHASES_FIRST, PIXELS_FIRST, STRIDE_H, STRIDE_W, params.

@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<EA>;
@group(0) @binding(WEIGHT) var<storage, read> weight: array<EB>;
@group(0) @binding(GRAD_INPUT) var<storage, read_write> grad_input: array<E>;

// An input pixel: the first element of its image's grad_output, and its place in the padded input.
struct Row { image: u32, h: u32, w: u32, valid: bool }

// Row m as it would be counted with the pixels innermost, which is how they lie in memory.
fn row_in_memory(m: u32) -> u32 {
    let area = params.in_h * params.in_w;
    if PIXELS_FIRST {
        let batch = divide(params.m, area);
        let pixel = divide(m, batch);
        return (m - pixel * batch) * area + pixel;
    }
    if PHASES_FIRST {
        let of_phase = params.m / (STRIDE_H * STRIDE_W);
        let phase = divide(m, of_phase);
        let step_w = params.in_w / STRIDE_W;
        let line = divide(m - phase * of_phase, step_w);
        let w = m - phase * of_phase - line * step_w;
        // Lines of all images follow one another, and an image has a whole number of strides of them.
        return (line * STRIDE_H + phase / STRIDE_W) * params.in_w + w * STRIDE_W + phase % STRIDE_W;
    }
    return m;
}

fn row_of(m: u32) -> Row {
    let row = row_in_memory(m);
    let line = divide(row, params.in_w);
    let image = divide(line, params.in_h);
    return Row(
        image * params.out_h * params.out_w * params.out_c,
        line - image * params.in_h + params.pad_top,
        row - line * params.in_w + params.pad_left,
        m < params.m,
    );
}

// A tap of the window, its distance from the window's corner, and an output channel.
struct KPlace { tap: u32, h: u32, w: u32, kw: u32, channel: u32 }

fn k_place_of(k: u32) -> KPlace {
    let tap = divide(k, params.out_c);
    let kh = divide(tap, params.kernel_w);
    let kw = tap - kh * params.kernel_w;
    return KPlace(tap, kh * params.dilation_h, kw * params.dilation_w, kw, k - tap * params.out_c);
}

// The rest of a tap's channels lies in a row in both operands.
fn run_of(k_place: KPlace) -> u32 {
    return params.out_c - k_place.channel;
}

fn next_by(k_place: KPlace, count: u32) -> KPlace {
    return KPlace(k_place.tap, k_place.h, k_place.w, k_place.kw, k_place.channel + count);
}

fn next_run(k_place: KPlace) -> KPlace {
    var d = k_place;
    d.channel = 0u;
    d.tap++;
    d.kw++;
    d.w += params.dilation_w;
    if d.kw == params.kernel_w {
        d.kw = 0u;
        d.w = 0u;
        d.h += params.dilation_h;
    }
    return d;
}

fn place_a(row: Row, k_place: KPlace) -> Place {
    // Negative distances wrap around to huge numbers, which no output reaches.
    let h = row.h - k_place.h;
    let w = row.w - k_place.w;
    let oh = h / STRIDE_H;
    let ow = w / STRIDE_W;
    let whole = oh * STRIDE_H == h && ow * STRIDE_W == w;
    let inside = row.valid && whole && oh < params.out_h && ow < params.out_w;
    return place(row.image + (oh * params.out_w + ow) * params.out_c + k_place.channel, 1, inside);
}

fn place_b(k_place: KPlace, n: u32) -> Place {
    return place((k_place.tap * params.in_c + n) * params.out_c + k_place.channel, 1, n < params.n);
}

fn fetch_a(at: u32) -> EA {
    return grad_output[at / EA_LEN];
}

fn fetch_b(at: u32) -> EB {
    return weight[at / EB_LEN];
}

fn place_c(split: u32, m: u32) -> u32 {
    return row_in_memory(m) * params.n;
}

fn store(at: u32, n: u32, sum: EACC) {
    grad_input[at / E_LEN] = epilogue(at / E_LEN, E(sum));
}

// conv2d as an implicit product: C[m, n] = sum over k of A[m, k] B[k, n] with m = (image, oh, ow), n = output channel and
// k = (kh, kw, ci); A is the input under the window, never written out, and B the weight as it lies in memory.
// The formula is that of conv2d/direct.wgsl with one group; the tile and its memory are the core's (lib/product_*.wgsl).
// TAPS says that the taps of a line lie at one distance from one another, channels and all: there is one channel, or no dilation.
// Linked with: lib/bias.wgsl or lib/bias_none.wgsl, lib/divide.wgsl, lib/epilogue.wgsl or lib/epilogue_none.wgsl, lib/product.wgsl, lib/product_subgroup8.wgsl or lib/product_workgroup.wgsl. Header: E, EA, EACC, EA_LEN, EB, EB_LEN, E_LEN, TAPS, params.

@group(0) @binding(INPUT) var<storage, read> input: array<EA>;
@group(0) @binding(WEIGHT) var<storage, read> weight: array<EB>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<E>;

// An output pixel: the first element of its image, and the window's corner, which may lie above or left of the input.
struct Row { image: u32, h: u32, w: u32, valid: bool }

fn row_of(m: u32) -> Row {
    let line = divide(m, params.out_w);
    let image = divide(line, params.out_h);
    return Row(
        image * params.in_h * params.in_w * params.in_c,
        (line - image * params.out_h) * params.stride_h - params.pad_top,
        (m - line * params.out_w) * params.stride_w - params.pad_left,
        m < params.m,
    );
}

// A tap of the window, its distance from the window's corner, and an input channel.
struct KPlace { k: u32, h: u32, w: u32, kw: u32, channel: u32 }

fn k_place_of(k: u32) -> KPlace {
    let tap = divide(k, params.in_c);
    let kh = divide(tap, params.kernel_w);
    let kw = tap - kh * params.kernel_w;
    return KPlace(k, kh * params.dilation_h, kw * params.dilation_w, kw, k - tap * params.in_c);
}

// The rest of a tap's channels lies in a row in both operands, and with TAPS the rest of a line of taps does.
fn run_of(k_place: KPlace) -> u32 {
    if TAPS {
        return (params.kernel_w - k_place.kw) * params.in_c - k_place.channel;
    }
    return params.in_c - k_place.channel;
}

fn next_by(k_place: KPlace, count: u32) -> KPlace {
    let taps = select(0u, count, params.in_c == 1u);
    return KPlace(
        k_place.k + count,
        k_place.h,
        k_place.w + taps * params.dilation_w,
        k_place.kw + taps,
        k_place.channel + count - taps,
    );
}

fn next_run(k_place: KPlace) -> KPlace {
    var d = k_place;
    d.k += run_of(k_place);
    d.channel = 0u;
    d.kw++;
    d.w += params.dilation_w;
    if TAPS || d.kw == params.kernel_w {
        d.kw = 0u;
        d.w = 0u;
        d.h += params.dilation_h;
    }
    return d;
}

fn place_a(row: Row, k_place: KPlace) -> Place {
    // Rows above the input wrap around to huge numbers, so one comparison finds both sides.
    let h = row.h + k_place.h;
    let w = row.w + k_place.w;
    let limit = select(0u, params.in_w, row.valid && h < params.in_h);
    let at = row.image + (h * params.in_w + w) * params.in_c + k_place.channel;
    if TAPS {
        return Place(at, params.dilation_w, w * params.in_c + k_place.channel, params.dilation_w, limit * params.in_c);
    }
    return Place(at, 1, w, 0, limit);
}

fn place_b(k_place: KPlace, n: u32) -> Place {
    return place(k_place.k * params.n + n, params.n, n < params.n);
}

fn fetch_a(at: u32) -> EA {
    return input[at / EA_LEN];
}

fn fetch_b(at: u32) -> EB {
    return weight[at / EB_LEN];
}

fn place_c(split: u32, m: u32) -> u32 {
    return m * params.n;
}

fn store(at: u32, n: u32, sum: EACC) {
    output[at / E_LEN] = epilogue(at / E_LEN, biased(sum, n));
}

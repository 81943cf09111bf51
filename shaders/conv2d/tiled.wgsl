// conv2d as an implicit GEMM: C[m, n] = sum over k of A[m, k] B[k, n] with m = (image, oh, ow), n = output channel and
// k = (kh, kw, ci); A is the input under the window, never written out, and B the weight as it lies in memory. There is
// one product for each group of channels, with params.channels input channels and params.n output channels.
// The formula is that of conv2d/direct.wgsl; the tile and its memory are the core's (lib/product_*.wgsl).
// TAPS is true if the taps of a line are at equal distances, including their channels: there is one channel, or no
// dilation, and one group. PADS_LINES is true if a tap may lie beside a line of the input.
// Linked with: lib/bias.wgsl or lib/bias_none.wgsl, lib/divide.wgsl, lib/epilogue.wgsl or lib/epilogue_none.wgsl, lib/product.wgsl, lib/product_subgroup8.wgsl or lib/product_workgroup.wgsl. Header: E, EA, EACC, EA_LEN, EB, EB_LEN, E_LEN, PADS_LINES, TAPS, params.

@group(0) @binding(INPUT) var<storage, read> input: array<EA>;
@group(0) @binding(WEIGHT) var<storage, read> weight: array<EB>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<E>;

// Far below every input: the position of a row that does not exist.
const NOWHERE: u32 = 0x80000000u;

fn k_of(product: u32) -> u32 {
    return params.k;
}

// An output pixel by its window's corner, which may lie above or left of the input: the position of its first channel
// in memory.
struct Row { at: u32, h: u32, w: u32 }

fn row_of(product: u32, m: u32) -> Row {
    let line = divide(m, params.out_w);
    let image = divide(line, params.out_h);
    let h = (line - image * params.out_h) * params.stride_h - params.pad_top;
    let w = (m - line * params.out_w) * params.stride_w - params.pad_left;
    let at = ((image * params.in_h + h) * params.in_w + w) * params.in_c + product * params.channels;
    return Row(at, select(NOWHERE, h, m < params.m), w);
}

// A tap of the window, its distance from the window's corner, and an input channel; that distance in memory, and the
// start of the row of weights.
struct KPlace { at: u32, by: u32, h: u32, w: u32, kw: u32, channel: u32 }

fn k_place_of(product: u32, k: u32) -> KPlace {
    let tap = divide(k, params.channels);
    let kh = divide(tap, params.kernel_w);
    let kw = tap - kh * params.kernel_w;
    let by = k * params.out_c + product * params.n;
    return at_tap(by, kh * params.dilation_h, kw * params.dilation_w, kw, k - tap * params.channels);
}

fn at_tap(by: u32, h: u32, w: u32, kw: u32, channel: u32) -> KPlace {
    return KPlace((h * params.in_w + w) * params.in_c + channel, by, h, w, kw, channel);
}

// The rest of a tap's channels is contiguous in both operands, and with TAPS so is the rest of a line of taps.
fn run_of(k_place: KPlace) -> u32 {
    if TAPS {
        return (params.kernel_w - k_place.kw) * params.in_c - k_place.channel;
    }
    return params.channels - k_place.channel;
}

fn next_by(k_place: KPlace, count: u32) -> KPlace {
    let taps = select(0u, count, params.in_c == 1u);
    return KPlace(
        k_place.at + select(count, count * params.dilation_w, params.in_c == 1u),
        k_place.by + count * params.out_c,
        k_place.h,
        k_place.w + taps * params.dilation_w,
        k_place.kw + taps,
        k_place.channel + count - taps,
    );
}

fn next_run(k_place: KPlace) -> KPlace {
    let by = k_place.by + run_of(k_place) * params.out_c;
    if TAPS || k_place.kw + 1 == params.kernel_w {
        return at_tap(by, k_place.h + params.dilation_h, 0, 0, 0);
    }
    return at_tap(by, k_place.h, k_place.w + params.dilation_w, k_place.kw + 1, 0);
}

// At most one tap further, because a tap has so many channels.
fn further(product: u32, k_place: KPlace, count: u32, k: u32) -> KPlace {
    if count > params.channels {
        return k_place_of(product, k);
    }
    let channel = k_place.channel + count;
    let by = k_place.by + count * params.out_c;
    if channel < params.channels {
        return KPlace(k_place.at + count, by, k_place.h, k_place.w, k_place.kw, channel);
    }
    let of_next = channel - params.channels;
    if k_place.kw + 1 == params.kernel_w {
        return at_tap(by, k_place.h + params.dilation_h, 0, 0, of_next);
    }
    return at_tap(by, k_place.h, k_place.w + params.dilation_w, k_place.kw + 1, of_next);
}

fn place_a(row: Row, k_place: KPlace) -> Place {
    // Lines above the input wrap around to large numbers, so one comparison checks both sides.
    let is_line = row.h + k_place.h < params.in_h;
    let at = row.at + k_place.at;
    let w = row.w + k_place.w;
    let limit = select(0u, params.in_w, is_line);
    if TAPS {
        return Place(at, params.dilation_w, w * params.in_c + k_place.channel, params.dilation_w, limit * params.in_c);
    }
    if PADS_LINES {
        return Place(at, 1, w, 0, limit);
    }
    return place(at, 1, is_line);
}

fn place_b(k_place: KPlace, n: u32) -> Place {
    return place(k_place.by + n, params.out_c, n < params.n);
}

fn fetch_a(at: u32) -> EA {
    return input[at / EA_LEN];
}

fn fetch_b(at: u32) -> EB {
    return weight[at / EB_LEN];
}

fn row_pitch() -> u32 {
    return params.out_c;
}

fn first_column(product: u32) -> u32 {
    return product * params.n;
}

fn has_row(product: u32, m: u32) -> bool {
    return m < params.m;
}

fn place_c(tile: Tile, m: u32) -> u32 {
    return tile.split * params.split_step + m * params.out_c;
}

fn store(at: u32, column: u32, sum: EACC) {
    output[at / E_LEN] = epilogue(at / E_LEN, biased(sum, column));
}

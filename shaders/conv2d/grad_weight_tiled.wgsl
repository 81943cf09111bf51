// The gradient of conv2d by its weight as an implicit GEMM: C[m, n] = sum over k of A[m, k] B[k, n] with m = (kh, kw,
// ci), n = output channel and k = (image, oh, ow); A is the input under the window, B is grad_output as it lies in
// memory. There is one product for each group of channels, with params.channels input channels and params.n output
// channels.
// The formula is that of conv2d/grad_weight_direct.wgsl; the tile is the core's (lib/product_*.wgsl).
// K is long, so it is split: grad_weight is [splits, m, n], added up by reduce/reduce.wgsl if there are several.
// PADS_LINES is true if a tap may lie beside a line of the input.
// Linked with: lib/divide.wgsl, lib/product.wgsl, lib/product_subgroup8.wgsl or lib/product_workgroup.wgsl. Header: E, EA, EACC, EA_LEN, EB, EB_LEN, E_LEN, PADS_LINES, params.

@group(0) @binding(INPUT) var<storage, read> input: array<EA>;
@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<EB>;
@group(0) @binding(GRAD_WEIGHT) var<storage, read_write> grad_weight: array<E>;

// Far below every input: the position of a row that does not exist.
const NOWHERE: u32 = 0x80000000u;

fn k_of(product: u32) -> u32 {
    return params.k;
}

// A weight's tap, as the distance from an output pixel's corner, which may be negative, and its input channel; that
// distance in memory.
struct Row { at: u32, h: u32, w: u32 }

fn row_of(product: u32, m: u32) -> Row {
    let tap = divide(m, params.channels);
    let kh = divide(tap, params.kernel_w);
    let h = kh * params.dilation_h - params.pad_top;
    let w = (tap - kh * params.kernel_w) * params.dilation_w - params.pad_left;
    let channel = product * params.channels + m - tap * params.channels;
    return Row((h * params.in_w + w) * params.in_c + channel, select(NOWHERE, h, m < params.m), w);
}

// An output pixel: its window's corner on the input and in memory, and the start of its row of grad_output.
struct KPlace { at: u32, by: u32, ow: u32, oh: u32, image: u32, h: u32, w: u32 }

fn k_place_of(product: u32, k: u32) -> KPlace {
    let line = divide(k, params.out_w);
    let image = divide(line, params.out_h);
    return at_pixel(k * params.out_c + product * params.n, image, line - image * params.out_h, k - line * params.out_w);
}

fn at_pixel(by: u32, image: u32, oh: u32, ow: u32) -> KPlace {
    let h = oh * params.stride_h;
    let w = ow * params.stride_w;
    return KPlace(((image * params.in_h + h) * params.in_w + w) * params.in_c, by, ow, oh, image, h, w);
}

// The rest of a line of pixels is at equal distances in both operands.
fn run_of(k_place: KPlace) -> u32 {
    return params.out_w - k_place.ow;
}

fn next_by(k_place: KPlace, count: u32) -> KPlace {
    var d = k_place;
    d.at += count * params.stride_w * params.in_c;
    d.by += count * params.out_c;
    d.ow += count;
    d.w += count * params.stride_w;
    return d;
}

fn next_run(k_place: KPlace) -> KPlace {
    return at_line(k_place.by + run_of(k_place) * params.out_c, k_place, 0);
}

// Pixel `ow` of the next line.
fn at_line(by: u32, k_place: KPlace, ow: u32) -> KPlace {
    if k_place.oh + 1 == params.out_h {
        return at_pixel(by, k_place.image + 1, 0, ow);
    }
    return at_pixel(by, k_place.image, k_place.oh + 1, ow);
}

// At most one line further, because a line is so long.
fn further(product: u32, k_place: KPlace, count: u32, k: u32) -> KPlace {
    if count > params.out_w {
        return k_place_of(product, k);
    }
    if k_place.ow + count < params.out_w {
        return next_by(k_place, count);
    }
    return at_line(k_place.by + count * params.out_c, k_place, k_place.ow + count - params.out_w);
}

fn place_a(row: Row, k_place: KPlace) -> Place {
    // Lines above the input wrap around to large numbers, so one comparison checks both sides.
    let is_line = row.h + k_place.h < params.in_h;
    let at = row.at + k_place.at;
    let step = params.stride_w * params.in_c;
    if PADS_LINES {
        return Place(at, step, row.w + k_place.w, params.stride_w, select(0u, params.in_w, is_line));
    }
    return place(at, step, is_line);
}

fn place_b(k_place: KPlace, n: u32) -> Place {
    return place(k_place.by + n, params.out_c, n < params.n);
}

fn fetch_a(at: u32) -> EA {
    return input[at / EA_LEN];
}

fn fetch_b(at: u32) -> EB {
    return grad_output[at / EB_LEN];
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
    grad_weight[at / E_LEN] = E(sum);
}

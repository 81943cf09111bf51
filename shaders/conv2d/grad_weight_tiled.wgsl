// The gradient of conv2d by its weight as an implicit product: C[m, n] = sum over k of A[m, k] B[k, n] with m = (kh, kw,
// ci), n = output channel and k = (image, oh, ow); A is the input under the window, B is grad_output as it lies in memory.
// The formula is that of conv2d/grad_weight_direct.wgsl with one group; the tile is the core's (lib/product_*.wgsl).
// K is long, so it is split: grad_weight is [splits, m, n], added up by reduce/reduce.wgsl if there are several.
// Linked with: lib/divide.wgsl, lib/product.wgsl, lib/product_subgroup8.wgsl or lib/product_workgroup.wgsl. Header: E, EA, EACC, EA_LEN, EB, EB_LEN, E_LEN, params.

@group(0) @binding(INPUT) var<storage, read> input: array<EA>;
@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<EB>;
@group(0) @binding(GRAD_WEIGHT) var<storage, read_write> grad_weight: array<E>;

// A weight's tap, as the distance from an output pixel's corner, which may be negative, and its input channel.
struct Row { h: u32, w: u32, channel: u32, valid: bool }

fn row_of(m: u32) -> Row {
    let tap = divide(m, params.in_c);
    let kh = divide(tap, params.kernel_w);
    return Row(
        kh * params.dilation_h - params.pad_top,
        (tap - kh * params.kernel_w) * params.dilation_w - params.pad_left,
        m - tap * params.in_c,
        m < params.m,
    );
}

// An output pixel: the corner of its window, and the first element of its image in the input.
struct KPlace { k: u32, oh: u32, ow: u32, h: u32, w: u32, image: u32 }

fn k_place_of(k: u32) -> KPlace {
    let line = divide(k, params.out_w);
    let image = divide(line, params.out_h);
    let oh = line - image * params.out_h;
    let ow = k - line * params.out_w;
    let first = image * params.in_h * params.in_w * params.in_c;
    return KPlace(k, oh, ow, oh * params.stride_h, ow * params.stride_w, first);
}

// The rest of a line of pixels lies at equal distances in both operands.
fn run_of(k_place: KPlace) -> u32 {
    return params.out_w - k_place.ow;
}

fn next_by(k_place: KPlace, count: u32) -> KPlace {
    let w = k_place.w + count * params.stride_w;
    return KPlace(k_place.k + count, k_place.oh, k_place.ow + count, k_place.h, w, k_place.image);
}

fn next_run(k_place: KPlace) -> KPlace {
    var d = k_place;
    d.k += params.out_w - k_place.ow;
    d.ow = 0u;
    d.w = 0u;
    d.oh++;
    d.h += params.stride_h;
    if d.oh == params.out_h {
        d.oh = 0u;
        d.h = 0u;
        d.image += params.in_h * params.in_w * params.in_c;
    }
    return d;
}

fn place_a(row: Row, k_place: KPlace) -> Place {
    // Rows above the input wrap around to huge numbers, so one comparison finds both sides.
    let h = row.h + k_place.h;
    let w = row.w + k_place.w;
    let limit = select(0u, params.in_w, row.valid && h < params.in_h);
    let at = k_place.image + (h * params.in_w + w) * params.in_c + row.channel;
    return Place(at, params.stride_w * params.in_c, w, params.stride_w, limit);
}

fn place_b(k_place: KPlace, n: u32) -> Place {
    return place(k_place.k * params.n + n, params.n, n < params.n);
}

fn fetch_a(at: u32) -> EA {
    return input[at / EA_LEN];
}

fn fetch_b(at: u32) -> EB {
    return grad_output[at / EB_LEN];
}

fn place_c(split: u32, m: u32) -> u32 {
    return (split * params.m + m) * params.n;
}

fn store(at: u32, n: u32, sum: EACC) {
    grad_weight[at / E_LEN] = E(sum);
}

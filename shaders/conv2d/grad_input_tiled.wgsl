// The gradient of conv2d by its input as an implicit GEMM: C[m, n] = sum over k of A[m, k] B[k, n] with n = input
// channel and k = (kh, kw, co); A is grad_output where a window's tap met the input's element. The formula is that of
// conv2d/grad_input_direct.wgsl; the tile is the core's (lib/product_*.wgsl).
//
// There is one product for each group of channels, with params.n input channels and params.channels output channels,
// and for each phase of the stride. A phase consists of the input pixels at the same distance from a multiple of the
// stride. They meet the same taps, while all other taps would fall between two strides. Phase (h, w) has the input
// lines with (ih + pad) % stride = h and the taps with kh dilation % stride = h, which are params.step_h = stride /
// gcd(stride, dilation) apart; its m counts (image, line, column) of its own pixels. A phase that no tap meets is 0.
// STRIDED is true if there is more than one phase. With PIXELS_FIRST m counts (ih, iw, image). A tile then holds one
// pixel of many images, and a core can skip taps beside the output; but the images may lie a power of two apart, so
// that they compete for the same cache lines.
// Linked with: lib/divide.wgsl, lib/epilogue.wgsl or lib/epilogue_none.wgsl, lib/product.wgsl, lib/product_subgroup8.wgsl or lib/product_workgroup.wgsl. Header: E, EA, EACC, EA_LEN, EB, EB_LEN, E_LEN, PIXELS_FIRST, STRIDED, params.

@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<EA>;
@group(0) @binding(WEIGHT) var<storage, read> weight: array<EB>;
@group(0) @binding(GRAD_INPUT) var<storage, read_write> grad_input: array<E>;

// Far below every output: the position of a row that does not exist.
const NOWHERE: u32 = 0x80000000u;

// A phase along one axis: its number, its first tap, its number of taps, and its first input pixel.
struct Phase { number: u32, tap: u32, taps: u32, pixel: u32 }

// params.inverse undoes the dilation: (kh dilation) % stride = number for kh = tap, tap + step and so on, if for any.
fn phase_of(number: u32, stride: u32, step: u32, inverse: u32, kernel: u32, pad: u32) -> Phase {
    let divisor = stride / step;
    let tap = number / divisor * inverse % step;
    let is_met = number % divisor == 0 && tap < kernel;
    return Phase(
        number,
        tap,
        select(0u, (kernel - tap + step - 1) / step, is_met),
        (number + stride - pad % stride) % stride,
    );
}

fn phase_h(product: u32) -> Phase {
    if !STRIDED {
        return Phase(0, 0, params.kernel_h, 0);
    }
    let number = product % (params.stride_h * params.stride_w) / params.stride_w;
    return phase_of(number, params.stride_h, params.step_h, params.inverse_h, params.kernel_h, params.pad_top);
}

fn phase_w(product: u32) -> Phase {
    if !STRIDED {
        return Phase(0, 0, params.kernel_w, 0);
    }
    let number = product % params.stride_w;
    return phase_of(number, params.stride_w, params.step_w, params.inverse_w, params.kernel_w, params.pad_left);
}

fn group_of(product: u32) -> u32 {
    if !STRIDED {
        return product;
    }
    return product / (params.stride_h * params.stride_w);
}

fn k_of(product: u32) -> u32 {
    return phase_h(product).taps * phase_w(product).taps * params.channels;
}

// An input pixel.
struct Pixel { image: u32, h: u32, w: u32, is_there: bool }

fn pixel_of(product: u32, m: u32) -> Pixel {
    if PIXELS_FIRST {
        let batch = divide(params.m, params.in_h * params.in_w);
        let pixel = divide(m, batch);
        let h = divide(pixel, params.in_w);
        return Pixel(m - pixel * batch, h, pixel - h * params.in_w, m < params.m);
    }
    var lines = params.in_h;
    var columns = params.in_w;
    if STRIDED {
        lines = (lines + params.stride_h - 1) / params.stride_h;
        columns = (columns + params.stride_w - 1) / params.stride_w;
    }
    let line = divide(m, columns);
    let image = divide(line, lines);
    let h = line - image * lines;
    let w = m - line * columns;
    if !STRIDED {
        return Pixel(image, h, w, m < params.m);
    }
    let ih = h * params.stride_h + phase_h(product).pixel;
    let iw = w * params.stride_w + phase_w(product).pixel;
    // The last line and column do not exist in every phase.
    return Pixel(image, ih, iw, m < params.m && ih < params.in_h && iw < params.in_w);
}

// The output pixel whose window begins at an input pixel, as met by the first tap of the phase.
struct Row { at: u32, h: u32, w: u32 }

fn row_of(product: u32, m: u32) -> Row {
    let pixel = pixel_of(product, m);
    var h = pixel.h + params.pad_top;
    var w = pixel.w + params.pad_left;
    if STRIDED {
        // Exact, because a tap of the phase met it. It may be negative.
        h = u32(i32(h - phase_h(product).tap * params.dilation_h) / i32(params.stride_h));
        w = u32(i32(w - phase_w(product).tap * params.dilation_w) / i32(params.stride_w));
    }
    let at = ((pixel.image * params.out_h + h) * params.out_w + w) * params.out_c;
    return Row(at, select(NOWHERE, h, pixel.is_there), w);
}

// A tap of the window, its distance from the first one on the output and in both operands' memory, and an output
// channel.
struct KPlace { at: u32, by: u32, h: u32, w: u32, tap_w: u32, taps_w: u32, channel: u32 }

fn k_place_of(product: u32, k: u32) -> KPlace {
    let phase_h = phase_h(product);
    let phase_w = phase_w(product);
    let tap = divide(k, params.channels);
    let tap_h = divide(tap, max(phase_w.taps, 1u));
    let tap_w = tap - tap_h * phase_w.taps;
    let h = tap_h * params.next_h;
    let w = tap_w * params.next_w;
    let tap_of_weight =
        (phase_h.tap + tap_h * params.step_h) * params.kernel_w + phase_w.tap + tap_w * params.step_w;
    let first = group_of(product) * params.channels;
    return KPlace(
        first - (h * params.out_w + w) * params.out_c,
        tap_of_weight * params.n * params.out_c + first,
        h,
        w,
        tap_w,
        phase_w.taps,
        k - tap * params.channels,
    );
}

// The rest of a tap's channels is contiguous in both operands.
fn run_of(k_place: KPlace) -> u32 {
    return params.channels - k_place.channel;
}

fn next_by(k_place: KPlace, count: u32) -> KPlace {
    var d = k_place;
    d.channel += count;
    return d;
}

fn next_run(k_place: KPlace) -> KPlace {
    return at_next_tap(k_place, 0);
}

// The same channel of the next tap.
fn at_next_tap(k_place: KPlace, channel: u32) -> KPlace {
    var d = k_place;
    d.channel = channel;
    let pitch = params.n * params.out_c;
    if d.tap_w + 1 < d.taps_w {
        d.tap_w++;
        d.w += params.next_w;
        d.at -= params.next_w * params.out_c;
        d.by += params.step_w * pitch;
        return d;
    }
    d.at -= (params.next_h * params.out_w - d.w) * params.out_c;
    d.by += (params.step_h * params.kernel_w - d.tap_w * params.step_w) * pitch;
    d.tap_w = 0u;
    d.w = 0u;
    d.h += params.next_h;
    return d;
}

// At most one tap further, because a tap has so many channels.
fn further(product: u32, k_place: KPlace, count: u32, k: u32) -> KPlace {
    if count > params.channels {
        return k_place_of(product, k);
    }
    if k_place.channel + count < params.channels {
        return next_by(k_place, count);
    }
    return at_next_tap(k_place, k_place.channel + count - params.channels);
}

fn place_a(row: Row, k_place: KPlace) -> Place {
    // Negative distances wrap around to large numbers, which no output reaches.
    let h = row.h - k_place.h;
    let w = row.w - k_place.w;
    return place(row.at + k_place.at + k_place.channel, 1, h < params.out_h && w < params.out_w);
}

fn place_b(k_place: KPlace, n: u32) -> Place {
    return place(k_place.by + k_place.channel + n * params.out_c, 1, n < params.n);
}

fn fetch_a(at: u32) -> EA {
    return grad_output[at / EA_LEN];
}

fn fetch_b(at: u32) -> EB {
    return weight[at / EB_LEN];
}

fn row_pitch() -> u32 {
    return params.in_c;
}

fn first_column(product: u32) -> u32 {
    return group_of(product) * params.n;
}

fn has_row(product: u32, m: u32) -> bool {
    if STRIDED {
        return pixel_of(product, m).is_there;
    }
    return m < params.m;
}

fn place_c(tile: Tile, m: u32) -> u32 {
    var row = m;
    if STRIDED || PIXELS_FIRST {
        let pixel = pixel_of(tile.product, m);
        row = (pixel.image * params.in_h + pixel.h) * params.in_w + pixel.w;
    }
    return tile.split * params.split_step + row * params.in_c;
}

fn store(at: u32, column: u32, sum: EACC) {
    grad_input[at / E_LEN] = epilogue(at / E_LEN, E(sum));
}

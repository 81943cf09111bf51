// The gradient of conv2d by its weight with few input channels and one group; the formula is that of
// conv2d/grad_weight_direct.wgsl. There are few weights and many pixels. The pixels are therefore cut into chunks,
// whose sums reduce/reduce.wgsl adds if there are several.
//
// Bindings are those of conv2d/direct.wgsl, but grad_weight is [chunks, kernel_h, kernel_w, in_c, out_c]; k counts
// pixels, k_chunk pieces of PIXELS pixels; a piece is part of one line of the output.
// One invocation owns one chunk of BLOCK output channels and keeps their sums in registers: KERNEL_H rows of TAPS
// (kernel_w times in_c). No workgroup memory, no barrier. conv2d/few_channels.wgsl says why calls are written out.
// Linked with: conv2d/few_channels_line.wgsl, lib/divide.wgsl, lib/each.wgsl. Header: ACC, BLOCK, BLOCKS, KERNEL_H, PIXELS, T, TAPS, params.

@group(0) @binding(INPUT) var<storage, read> input: array<vec4<T>>;
@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<vec4<T>>;
@group(0) @binding(GRAD_WEIGHT) var<storage, read_write> grad_weight: array<T>;

var<private> grads: array<vec4<ACC>, PIXELS * BLOCK / 4>;
var<private> sums: array<ACC, KERNEL_H * TAPS * BLOCK>;

fn count() -> u32 {
    return divide(divide(params.k, PIXELS) + params.k_chunk - 1, params.k_chunk) * BLOCKS;
}

fn each(i: u32) {
    let chunk = divide(i, BLOCKS);
    let channel = (i - chunk * BLOCKS) * BLOCK;
    let first = chunk * params.k_chunk;
    let last = min(first + params.k_chunk, divide(params.k, PIXELS));

    for (var piece = first; piece < last; piece++) {
        for (var e = 0u; e < PIXELS * BLOCK; e += 4u) {
            let at = (piece * PIXELS + e / BLOCK) * params.n + channel + e % BLOCK;
            grads[e / 4] = vec4<ACC>(grad_output[at / 4]);
        }
        let windows = windows_of(piece * PIXELS);
        add_row(0, windows);
        if KERNEL_H > 1 { add_row(1, windows); }
        if KERNEL_H > 2 { add_row(2, windows); }
        if KERNEL_H > 3 { add_row(3, windows); }
        if KERNEL_H > 4 { add_row(4, windows); }
        if KERNEL_H > 5 { add_row(5, windows); }
        if KERNEL_H > 6 { add_row(6, windows); }
    }

    let to = chunk * params.m * params.n + channel;
    store_row(0, to);
    if KERNEL_H > 1 { store_row(1, to); }
    if KERNEL_H > 2 { store_row(2, to); }
    if KERNEL_H > 3 { store_row(3, to); }
    if KERNEL_H > 4 { store_row(4, to); }
    if KERNEL_H > 5 { store_row(5, to); }
    if KERNEL_H > 6 { store_row(6, to); }
}

fn add_row(kh: u32, windows: Windows) {
    load_line(windows, kh);
    add(kh, 0);
    if BLOCK > 1 { add(kh, 1); }
    if BLOCK > 2 { add(kh, 2); }
    if BLOCK > 3 { add(kh, 3); }
    if BLOCK > 4 { add(kh, 4); }
    if BLOCK > 5 { add(kh, 5); }
    if BLOCK > 6 { add(kh, 6); }
    if BLOCK > 7 { add(kh, 7); }
}

// Adds the pixels' contribution to the weights of row kh and channel c.
fn add(kh: u32, c: u32) {
    for (var tap = 0u; tap < TAPS; tap++) {
        let place = (kh * TAPS + tap) * BLOCK + c;
        var sum = sums[place];
        for (var p = 0u; p < PIXELS; p++) {
            let e = p * BLOCK + c;
            sum += element(p, tap) * grads[e / 4][e % 4];
        }
        sums[place] = sum;
    }
}

fn store_row(kh: u32, to: u32) {
    for (var tap = 0u; tap < TAPS; tap++) {
        for (var c = 0u; c < BLOCK; c++) {
            let place = kh * TAPS + tap;
            grad_weight[to + place * params.n + c] = T(sums[place * BLOCK + c]);
        }
    }
}

// conv2d with few input channels and one group, such as the first layer of a network; the formula is that of
// conv2d/direct.wgsl. The K dimension of such a product is short and no whole number of vectors. The line of input
// under neighbouring windows is whole vectors, however, and so are the results.
//
// Bindings are those of conv2d/direct.wgsl. E of the header is a vector of output channels if BLOCK is whole vectors,
// else one element.
// k_chunk counts pieces of PIXELS pixels; a piece is part of one line of the output.
// One invocation owns BLOCK output channels of k_chunk pieces, one after another, and keeps their weights in registers:
// KERNEL_H rows of TAPS (kernel_w times in_c). No workgroup memory, no barrier.
//
// The calls for every kernel row and every channel are written out. Drivers would not unroll loops of that length, and
// would put arrays with indices that are not constants into memory. The entry point is not that of lib/each.wgsl,
// because weights loaded under a condition cost software devices a quarter of the total time; invocations beyond the
// last piece have an empty loop.
// Linked with: conv2d/few_channels_line.wgsl, lib/bias.wgsl or lib/bias_none.wgsl, lib/divide.wgsl, lib/epilogue.wgsl or lib/epilogue_none.wgsl, lib/workgroup.wgsl. Header: ACC, BLOCK, BLOCKS, E, EACC, E_LEN, E_four, E_parts, KERNEL_H, PIXELS, T, TAPS, WG, params.

@group(0) @binding(INPUT) var<storage, read> input: array<vec4<T>>;
@group(0) @binding(WEIGHT) var<storage, read> weight: array<E>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<vec4<T>>;

var<private> weights: array<ACC, KERNEL_H * TAPS * BLOCK>;
var<private> sums: array<ACC, PIXELS * BLOCK>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_number(workgroup, groups) * WG + local;
    var chunk = i;
    var channel = 0u;
    if BLOCKS > 1 {
        chunk = divide(i, BLOCKS);
        channel = (i - chunk * BLOCKS) * BLOCK;
    }

    // Loaded before the loop and, with a single block, from constant positions.
    var bias: array<ACC, BLOCK>;
    for (var c = 0u; c < BLOCK; c += E_LEN) {
        let of_channels = vec4<ACC>(biased(EACC(0), channel + c));
        for (var j = 0u; j < E_LEN; j++) {
            bias[c + j] = of_channels[j];
        }
    }
    load_weights(0, channel);
    if KERNEL_H > 1 { load_weights(1, channel); }
    if KERNEL_H > 2 { load_weights(2, channel); }
    if KERNEL_H > 3 { load_weights(3, channel); }
    if KERNEL_H > 4 { load_weights(4, channel); }
    if KERNEL_H > 5 { load_weights(5, channel); }
    if KERNEL_H > 6 { load_weights(6, channel); }

    let pieces = divide(params.m, PIXELS);
    let last = min((chunk + 1) * params.k_chunk, pieces);
    for (var piece = chunk * params.k_chunk; piece < last; piece++) {
        for (var p = 0u; p < PIXELS; p++) {
            for (var c = 0u; c < BLOCK; c++) {
                sums[p * BLOCK + c] = bias[c];
            }
        }
        let windows = windows_of(piece * PIXELS);
        add_row(0, windows);
        if KERNEL_H > 1 { add_row(1, windows); }
        if KERNEL_H > 2 { add_row(2, windows); }
        if KERNEL_H > 3 { add_row(3, windows); }
        if KERNEL_H > 4 { add_row(4, windows); }
        if KERNEL_H > 5 { add_row(5, windows); }
        if KERNEL_H > 6 { add_row(6, windows); }
        for (var e = 0u; e < PIXELS * BLOCK; e += 4u) {
            let at = (piece * PIXELS + e / BLOCK) * params.n + channel + e % BLOCK;
            store(at, vec4<ACC>(sums[e], sums[e + 1], sums[e + 2], sums[e + 3]));
        }
    }
}

fn load_weights(kh: u32, channel: u32) {
    for (var tap = 0u; tap < TAPS; tap++) {
        for (var c = 0u; c < BLOCK; c += E_LEN) {
            let place = kh * TAPS + tap;
            let of_channels = vec4<ACC>(weight[(place * BLOCKS * BLOCK + channel + c) / E_LEN]);
            for (var j = 0u; j < E_LEN; j++) {
                weights[place * BLOCK + c + j] = of_channels[j];
            }
        }
    }
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

// Adds the products of kernel row kh to channel c.
fn add(kh: u32, c: u32) {
    for (var p = 0u; p < PIXELS; p++) {
        var sum = sums[p * BLOCK + c];
        for (var tap = 0u; tap < TAPS; tap++) {
            sum += element(p, tap) * weights[(kh * TAPS + tap) * BLOCK + c];
        }
        sums[p * BLOCK + c] = sum;
    }
}

// Stores four results that are neighbours in memory. The bias is in the sums from the start.
fn store(at: u32, sum: vec4<ACC>) {
    let parts = E_parts(sum);
    var results: array<E, 4 / E_LEN>;
    for (var i = 0u; i < 4 / E_LEN; i++) {
        results[i] = epilogue(at / E_LEN + i, E(parts[i]));
    }
    output[at / 4] = vec4<T>(E_four(results));
}

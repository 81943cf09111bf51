// output = input * scale if a random number of U(0, 1) is at least p, else input * 0; scale = 1 / (1 - p), or 0 for p =
// 1. The gradient is the same function of grad_output, with the same random numbers. Source: torch.nn.Dropout in
// training.
// A dropped NaN stays NaN, because NaN * 0 is NaN.
//
// input, output: [len] of E, any layout, both the same; random: [4] = seed (two words), step, unused. Element i in
// memory order uses word i % 4 of Philox's counter (i / 4, step, stream).
// One invocation owns four elements: one E of four if their number allows it, or four of one. No workgroup memory, no
// barrier.
// Linked with: lib/each.wgsl, lib/philox.wgsl. Header: ACC, E, E_LEN, E_parts, params.

@group(0) @binding(INPUT) var<storage, read> input: array<E>;
@group(0) @binding(RANDOM) var<storage, read> random: array<i32>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<E>;

const PARTS: u32 = 4 / E_LEN;

fn count() -> u32 {
    return (params.len + PARTS - 1) / PARTS;
}

fn each(item: u32) {
    let counter = vec4u(item, bitcast<u32>(random[2]), params.stream_low, params.stream_high);
    let words = philox(counter, vec2u(bitcast<u32>(random[0]), bitcast<u32>(random[1])));
    let uniform01 = vec4<ACC>(words >> vec4u(8)) * ACC(1.0 / 16777216.0);
    let factors = E_parts(select(vec4<ACC>(ACC(params.scale)), vec4<ACC>(0), uniform01 < vec4<ACC>(ACC(params.p))));
    for (var part = 0u; part < PARTS; part++) {
        let at = item * PARTS + part;
        if at < params.len {
            output[at] = input[at] * E(factors[part]);
        }
    }
}

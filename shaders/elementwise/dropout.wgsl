// output = input * scale where a random number of U(0, 1) is at least p, else input * 0; scale = 1 / (1 - p), or 0 for p 1.
// The gradient is the same function of grad_output, under the same random numbers. Source: torch.nn.Dropout in training.
// A dropped NaN stays NaN, as a product with 0 does.
//
// input, output: [len], any layout, both the same; random: [4] = seed (two words), step, unused. Element i in the order of
// memory has word i % 4 of Philox's counter (i / 4, step, stream).
// One invocation owns four elements. No workgroup memory, no barrier.
// Linked with: lib/each.wgsl, lib/philox.wgsl. Header: T, params.

@group(0) @binding(INPUT) var<storage, read> input: array<T>;
@group(0) @binding(RANDOM) var<storage, read> random: array<i32>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<T>;

fn count() -> u32 {
    return (params.len + 3) / 4;
}

fn each(item: u32) {
    let first = item * 4;
    let counter = vec4u(item, bitcast<u32>(random[2]), params.stream_low, params.stream_high);
    let words = philox(counter, vec2u(bitcast<u32>(random[0]), bitcast<u32>(random[1])));
    for (var lane = 0u; lane < min(4u, params.len - first); lane++) {
        let uniform01 = T(words[lane] >> 8) * T(1.0 / 16777216.0);
        output[first + lane] = input[first + lane] * select(params.scale, T(0), uniform01 < params.p);
    }
}

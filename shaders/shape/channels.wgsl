// output[p, to_first + c] = input[p, from_first + c] for c below count: copies a range of channels of every pixel from
// one tensor into another. One dispatch per operand is concat along channels; from a tensor into a narrower one it is
// narrow.
// Source: torch.cat, torch.narrow, dim 1.
//
// input: [pixels, from_channels] of E; output: [pixels, to_channels] of E. Counts and positions of channels are in E
// too.
// One invocation owns one E of the range: one channel, or four if all counts and positions divide by 4. No workgroup
// memory, no barrier.
// Linked with: lib/divide.wgsl, lib/each.wgsl. Header: E, params.

@group(0) @binding(INPUT) var<storage, read> input: array<E>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<E>;

fn count() -> u32 {
    return params.pixels * params.count;
}

fn each(i: u32) {
    let pixel = divide(i, params.count);
    let channel = i - pixel * params.count;
    output[pixel * params.to_channels + params.to_first + channel] =
        input[pixel * params.from_channels + params.from_first + channel];
}

// max_pool2d: output[n, oh, ow, c] = the largest of
// input[n, oh stride - pad + kh dilation, ow stride - pad + kw dilation, c] over the window's taps that lie inside the
// input, scanned row by row; a later one wins only if it is larger, or NaN. indices[..] is the winner's index in its
// plane, h in_w + w. Source: torch.nn.MaxPool2d.
//
// input: [batch, in_h, in_w, channels]; output, indices: [batch, out_h, out_w, channels], channels counted in E.
// One invocation owns one E of the output, channels fastest: as many channels as their number allows, up to four. No
// workgroup memory, no barrier.
// Linked with: lib/each.wgsl, lib/nan.wgsl, pool/window.wgsl. Header: E, EU, params.

@group(0) @binding(INPUT) var<storage, read> input: array<E>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<E>;
@group(0) @binding(INDICES) var<storage, read_write> indices: array<EU>;

fn count() -> u32 {
    return params.batch * params.out_h * params.out_w * params.channels;
}

fn each(i: u32) {
    let window = window_of(i);
    // If all taps of a dilated window lie in the padding, the result is minus infinity and there is no winner: index
    // -1.
    let nobody = EU(0xffffffffu);
    var best = minus_infinity();
    var winner = nobody;
    // Positions above the input and left of it wrap around to large numbers, so one comparison checks both sides.
    let left = window.ow * params.stride_w - params.pad_w;
    var h = window.oh * params.stride_h - params.pad_h;
    for (var kh = 0u; kh < params.kernel_h; kh++) {
        if h < params.in_h {
            let line = (window.image + h * params.in_w) * params.channels + window.channel;
            var w = left;
            for (var kw = 0u; kw < params.kernel_w; kw++) {
                if w < params.in_w {
                    let value = input[line + w * params.channels];
                    // NaN is detected by its bits, since compilers may assume that x != x is false.
                    let wins = (winner == nobody) | (value > best) | is_nan(value);
                    best = select(best, value, wins);
                    winner = select(winner, EU(h * params.in_w + w), wins);
                }
                w += params.dilation_w;
            }
        }
        h += params.dilation_h;
    }
    output[i] = best;
    indices[i] = winner;
}

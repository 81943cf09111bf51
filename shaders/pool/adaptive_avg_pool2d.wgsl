// adaptive_avg_pool2d: output[n, oh, ow, c] = mean of input[n, h, w, c] over the window of (oh, ow).
//
// input: [batch, in_h, in_w, channels]; output: [batch, out_h, out_w, channels], channels counted in E.
// One invocation owns one E of the output, channels fastest: as many channels as their number allows, up to four. No
// workgroup memory, no barrier.
// Linked with: lib/each.wgsl, pool/adaptive_avg_pool2d_windows.wgsl, pool/window.wgsl. Header: ACC, E, EACC, params.

@group(0) @binding(INPUT) var<storage, read> input: array<E>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<E>;

fn count() -> u32 {
    return params.batch * params.out_h * params.out_w * params.channels;
}

fn each(i: u32) {
    let window = window_of(i);
    let h0 = first_of(window.oh, params.in_h, params.out_h);
    let h1 = end_of(window.oh, params.in_h, params.out_h);
    let w0 = first_of(window.ow, params.in_w, params.out_w);
    let w1 = end_of(window.ow, params.in_w, params.out_w);
    var sum = EACC(0);
    for (var h = h0; h < h1; h++) {
        let line = window.image + h * params.in_w;
        for (var w = w0; w < w1; w++) {
            sum += EACC(input[(line + w) * params.channels + window.channel]);
        }
    }
    output[i] = E(sum / ACC((h1 - h0) * (w1 - w0)));
}

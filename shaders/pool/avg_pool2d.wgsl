// avg_pool2d: output[n, oh, ow, c] = the sum of input[n, h, w, c] over the part of the window inside the input, divided by
// divisor_override, or by the size of the window clipped to the padded input (count_include_pad) or to the input.
//
// input: [batch, in_h, in_w, channels]; output: [batch, out_h, out_w, channels], channels counted in E.
// One invocation owns one E of the output, channels fastest: as many channels as their number allows, up to four. No
// workgroup memory, no barrier.
// Linked with: lib/each.wgsl, pool/avg_pool2d_window.wgsl, pool/window.wgsl. Header: ACC, E, EACC, params.

@group(0) @binding(INPUT) var<storage, read> input: array<E>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<E>;

fn count() -> u32 {
    return params.batch * params.out_h * params.out_w * params.channels;
}

fn each(i: u32) {
    let window = window_of(i);
    let rows = side(window.oh * params.stride_h, params.kernel_h, params.pad_h, params.in_h);
    let columns = side(window.ow * params.stride_w, params.kernel_w, params.pad_w, params.in_w);

    var sum = EACC(0);
    for (var h = rows.low; h < rows.high; h++) {
        let line = window.image + h * params.in_w;
        for (var w = columns.low; w < columns.high; w++) {
            sum += EACC(input[(line + w) * params.channels + window.channel]);
        }
    }
    // A window entirely in the padding has no elements to divide.
    let empty = rows.low == rows.high || columns.low == columns.high;
    output[i] = E(select(sum / ACC(divisor(rows, columns)), EACC(0), empty));
}

// The gradient of avg_pool2d: grad_input[n, h, w, c] = the sum of grad_output[n, oh, ow, c] / divisor(oh, ow) over the
// windows that contain h, w, in the order of the windows.
//
// grad_output: [batch, out_h, out_w, channels]; grad_input: [batch, in_h, in_w, channels], channels counted in E.
// One invocation owns one E of grad_input, channels fastest: as many channels as their number allows, up to four. No workgroup
// memory, no barrier.
// Linked with: lib/each.wgsl, lib/epilogue.wgsl or lib/epilogue_none.wgsl, pool/avg_pool2d_window.wgsl, pool/place.wgsl. Header: ACC, E, EACC, params.

@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<E>;
@group(0) @binding(GRAD_INPUT) var<storage, read_write> grad_input: array<E>;

fn count() -> u32 {
    return params.batch * params.in_h * params.in_w * params.channels;
}

fn each(i: u32) {
    let place = place_of(i);
    let windows_h = windows_over(place.h + params.pad_h, params.kernel_h - 1, params.stride_h, params.out_h);
    let windows_w = windows_over(place.w + params.pad_w, params.kernel_w - 1, params.stride_w, params.out_w);
    var sum = EACC(0);
    for (var oh = windows_h.first; oh < windows_h.end; oh++) {
        let rows = side(oh * params.stride_h, params.kernel_h, params.pad_h, params.in_h);
        let line = (place.image * params.out_h + oh) * params.out_w;
        for (var ow = windows_w.first; ow < windows_w.end; ow++) {
            let columns = side(ow * params.stride_w, params.kernel_w, params.pad_w, params.in_w);
            sum += EACC(grad_output[(line + ow) * params.channels + place.channel]) / ACC(divisor(rows, columns));
        }
    }
    grad_input[i] = epilogue(i, E(sum));
}

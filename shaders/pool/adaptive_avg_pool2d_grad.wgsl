// The gradient of adaptive_avg_pool2d: grad_input[n, h, w, c] = sum of grad_output[n, oh, ow, c] / size of the window,
// over the windows that contain (h, w).
//
// grad_output: [batch, out_h, out_w, channels]; grad_input: [batch, in_h, in_w, channels], channels counted in E.
// One invocation owns one E of grad_input, channels fastest: as many channels as their number allows, up to four. No workgroup
// memory, no barrier.
// Linked with: lib/each.wgsl, lib/epilogue.wgsl or lib/epilogue_none.wgsl, pool/adaptive_avg_pool2d_windows.wgsl, pool/place.wgsl. Header: ACC, E, EACC, params.

@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<E>;
@group(0) @binding(GRAD_INPUT) var<storage, read_write> grad_input: array<E>;

fn count() -> u32 {
    return params.batch * params.in_h * params.in_w * params.channels;
}

fn each(i: u32) {
    let place = place_of(i);
    let last_oh = end_of(place.h, params.out_h, params.in_h);
    let first_ow = first_of(place.w, params.out_w, params.in_w);
    let last_ow = end_of(place.w, params.out_w, params.in_w);
    var sum = EACC(0);
    for (var oh = first_of(place.h, params.out_h, params.in_h); oh < last_oh; oh++) {
        let height = end_of(oh, params.in_h, params.out_h) - first_of(oh, params.in_h, params.out_h);
        let line = (place.image * params.out_h + oh) * params.out_w;
        for (var ow = first_ow; ow < last_ow; ow++) {
            let width = end_of(ow, params.in_w, params.out_w) - first_of(ow, params.in_w, params.out_w);
            sum += EACC(grad_output[(line + ow) * params.channels + place.channel]) / ACC(height * width);
        }
    }
    grad_input[i] = epilogue(i, E(sum));
}

// The gradient of adaptive_avg_pool2d: grad_input[n, h, w, c] = sum of grad_output[n, oh, ow, c] / size of the window, over
// the windows that (h, w) lies in.
//
// grad_output: [batch, out_h, out_w, channels]; grad_input: [batch, in_h, in_w, channels].
// One invocation owns one element of grad_input, channels fastest. No workgroup memory, no barrier.
// Linked with: lib/divide.wgsl, lib/each.wgsl, lib/epilogue.wgsl or lib/epilogue_none.wgsl, pool/adaptive_avg_pool2d_windows.wgsl. Header: ACC, T, params.

@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<T>;
@group(0) @binding(GRAD_INPUT) var<storage, read_write> grad_input: array<T>;

fn count() -> u32 {
    return params.batch * params.in_h * params.in_w * params.channels;
}

fn each(i: u32) {
    let pixel = divide(i, params.channels);
    let channel = i - pixel * params.channels;
    let line = divide(pixel, params.in_w);
    let w = pixel - line * params.in_w;
    let image = divide(line, params.in_h);
    let h = line - image * params.in_h;
    let last_oh = end_of(h, params.out_h, params.in_h);
    let last_ow = end_of(w, params.out_w, params.in_w);
    var sum = ACC(0);
    for (var oh = first_of(h, params.out_h, params.in_h); oh < last_oh; oh++) {
        let height = end_of(oh, params.in_h, params.out_h) - first_of(oh, params.in_h, params.out_h);
        for (var ow = first_of(w, params.out_w, params.in_w); ow < last_ow; ow++) {
            let width = end_of(ow, params.in_w, params.out_w) - first_of(ow, params.in_w, params.out_w);
            let at = ((image * params.out_h + oh) * params.out_w + ow) * params.channels + channel;
            sum += grad_output[at] / ACC(height * width);
        }
    }
    grad_input[i] = epilogue(i, T(sum));
}

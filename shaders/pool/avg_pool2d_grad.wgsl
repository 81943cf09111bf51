// The gradient of avg_pool2d: grad_input[n, h, w, c] = the sum of grad_output[n, oh, ow, c] / divisor(oh, ow) over the
// windows that hold h, w, in the order of the window's taps.
//
// grad_output: [batch, out_h, out_w, channels]; grad_input: [batch, in_h, in_w, channels].
// One invocation owns one element of grad_input, channels fastest. No workgroup memory, no barrier.
// Linked with: lib/each.wgsl, lib/epilogue.wgsl or lib/epilogue_none.wgsl, pool/avg_pool2d_window.wgsl. Header: ACC, T, params.

@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<T>;
@group(0) @binding(GRAD_INPUT) var<storage, read_write> grad_input: array<T>;

fn count() -> u32 {
    return params.batch * params.in_h * params.in_w * params.channels;
}

fn each(i: u32) {
    let channel = i % params.channels;
    let pixel = i / params.channels;
    let iw = pixel % params.in_w + params.pad_w;
    let ih = pixel / params.in_w % params.in_h + params.pad_h;
    let image = pixel / (params.in_w * params.in_h) * params.out_h * params.out_w;

    var sum = ACC(0);
    for (var kh = 0u; kh < params.kernel_h; kh++) {
        if kh > ih || (ih - kh) % params.stride_h != 0u || (ih - kh) / params.stride_h >= params.out_h { continue; }
        let rows = side(ih - kh, params.kernel_h, params.pad_h, params.in_h);
        let oh = (ih - kh) / params.stride_h;
        for (var kw = 0u; kw < params.kernel_w; kw++) {
            if kw > iw || (iw - kw) % params.stride_w != 0u || (iw - kw) / params.stride_w >= params.out_w { continue; }
            let columns = side(iw - kw, params.kernel_w, params.pad_w, params.in_w);
            let ow = (iw - kw) / params.stride_w;
            let base = (image + oh * params.out_w + ow) * params.channels + channel;
            sum += grad_output[base] / divisor(rows, columns);
        }
    }
    grad_input[i] = epilogue(i, T(sum));
}

// The gradient by the input of a conv2d in which every channel is a separate group; the formula is that of
// conv2d/grad_input_direct.wgsl.
//
// Bindings are those of conv2d/direct.wgsl, but with E of the header, one channel or four, in place of an element;
// in_c, out_c and n count E.
// One invocation owns one E of grad_input. No workgroup memory, no barrier.
// Linked with: lib/divide.wgsl, lib/each.wgsl, lib/epilogue.wgsl or lib/epilogue_none.wgsl. Header: E, STRIDE_H, STRIDE_W, params.

@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<E>;
@group(0) @binding(WEIGHT) var<storage, read> weight: array<E>;
@group(0) @binding(GRAD_INPUT) var<storage, read_write> grad_input: array<E>;

fn count() -> u32 {
    return params.m * params.n;
}

fn each(i: u32) {
    let pixel = divide(i, params.n);
    let channel = i - pixel * params.n;
    let line = divide(pixel, params.in_w);
    let iw = pixel - line * params.in_w;
    let image = divide(line, params.in_h);
    let ih = line - image * params.in_h;

    var sum = E(0);
    for (var kh = 0u; kh < params.kernel_h; kh++) {
        // Negative distances wrap around to large numbers, which no output reaches.
        let h = ih + params.pad_top - kh * params.dilation_h;
        let oh = h / STRIDE_H;
        if oh * STRIDE_H != h || oh >= params.out_h { continue; }
        for (var kw = 0u; kw < params.kernel_w; kw++) {
            let w = iw + params.pad_left - kw * params.dilation_w;
            let ow = w / STRIDE_W;
            if ow * STRIDE_W != w || ow >= params.out_w { continue; }
            let at = ((image * params.out_h + oh) * params.out_w + ow) * params.n + channel;
            sum += grad_output[at] * weight[(kh * params.kernel_w + kw) * params.n + channel];
        }
    }
    grad_input[i] = epilogue(i, sum);
}

// The gradient of conv2d by its input, direct: grad_input[n, ih, iw, ci] = sum over kh, kw and the co of ci's group of
//     grad_output[n, oh, ow, co] weight[kh, kw, ci, co]    where oh stride = ih + pad - kh dilation, and ow alike;
// taps whose oh or ow is not an integer or lies outside the output contribute nothing.
//
// Bindings are those of conv2d/direct.wgsl. One invocation owns one element of grad_input. No workgroup memory, no
// barrier.
// Linked with: lib/each.wgsl, lib/epilogue.wgsl or lib/epilogue_none.wgsl. Header: ACC, T, params.

@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<T>;
@group(0) @binding(WEIGHT) var<storage, read> weight: array<T>;
@group(0) @binding(GRAD_INPUT) var<storage, read_write> grad_input: array<T>;

fn count() -> u32 {
    return params.m * params.n;
}

fn each(i: u32) {
    let channel = i % params.in_c;
    let pixel = i / params.in_c;
    let iw = pixel % params.in_w;
    let ih = pixel / params.in_w % params.in_h;
    let image = pixel / (params.in_w * params.in_h);
    let group_in = params.in_c / params.groups;
    let group_out = params.out_c / params.groups;
    let first_out = channel / group_in * group_out;

    var sum = ACC(0);
    for (var kh = 0u; kh < params.kernel_h; kh++) {
        let h = i32(ih + params.pad_top) - i32(kh * params.dilation_h);
        if h < 0 || u32(h) % params.stride_h != 0u || u32(h) / params.stride_h >= params.out_h { continue; }
        for (var kw = 0u; kw < params.kernel_w; kw++) {
            let w = i32(iw + params.pad_left) - i32(kw * params.dilation_w);
            if w < 0 || u32(w) % params.stride_w != 0u || u32(w) / params.stride_w >= params.out_w { continue; }
            let oh = u32(h) / params.stride_h;
            let ow = u32(w) / params.stride_w;
            let base = ((image * params.out_h + oh) * params.out_w + ow) * params.out_c + first_out;
            let tap = (kh * params.kernel_w + kw) * group_in + channel % group_in;
            let by = tap * params.out_c + first_out;
            for (var co = 0u; co < group_out; co++) {
                sum += grad_output[base + co] * weight[by + co];
            }
        }
    }
    grad_input[i] = epilogue(i, T(sum));
}

// The gradient of max_pool2d: grad_input[n, h, w, c] = the sum of grad_output over the windows that h, w has won, which
// are looked for among those that hold it, in a fixed order. Overlapping windows add up. Source: torch.nn.MaxPool2d.
//
// grad_output (pool/max_pool2d_grad_arriving.wgsl), indices: [batch, out_h, out_w, channels]; grad_input: [batch, in_h,
// in_w, channels].
// One invocation owns one element of grad_input, channels fastest. No workgroup memory, no barrier.
// Linked with: lib/each.wgsl, pool/max_pool2d_grad_arriving.wgsl or pool/max_pool2d_grad_arriving_relu.wgsl. Header: ACC, T, params.

@group(0) @binding(INDICES) var<storage, read> indices: array<i32>;
@group(0) @binding(GRAD_INPUT) var<storage, read_write> grad_input: array<T>;

fn count() -> u32 {
    return params.batch * params.in_h * params.in_w * params.channels;
}

fn each(i: u32) {
    let channel = i % params.channels;
    let pixel = i / params.channels;
    let iw = pixel % params.in_w;
    let ih = pixel / params.in_w % params.in_h;
    let image = pixel / (params.in_w * params.in_h) * params.out_h * params.out_w;
    let here = i32(ih * params.in_w + iw);

    var sum = ACC(0);
    for (var kh = 0u; kh < params.kernel_h; kh++) {
        let h = i32(ih + params.pad_h) - i32(kh * params.dilation_h);
        if h < 0 || u32(h) % params.stride_h != 0u || u32(h) / params.stride_h >= params.out_h { continue; }
        for (var kw = 0u; kw < params.kernel_w; kw++) {
            let w = i32(iw + params.pad_w) - i32(kw * params.dilation_w);
            if w < 0 || u32(w) % params.stride_w != 0u || u32(w) / params.stride_w >= params.out_w { continue; }
            let place = u32(h) / params.stride_h * params.out_w + u32(w) / params.stride_w;
            let base = (image + place) * params.channels + channel;
            if indices[base] == here {
                sum += arriving(base);
            }
        }
    }
    grad_input[i] = T(sum);
}

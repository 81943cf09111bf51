// The gradient of conv2d by its weight, direct: grad_weight[kh, kw, ci, co] = sum over n, oh, ow of
//     input[n, oh stride - pad + kh dilation, ow stride - pad + kw dilation, g in_c/groups + ci] grad_output[n, oh, ow, co]
//
// Bindings are those of conv2d/direct.wgsl. One invocation owns one element of grad_weight. No workgroup memory, no
// barrier.
// Linked with: lib/each.wgsl. Header: ACC, T, params.

@group(0) @binding(INPUT) var<storage, read> input: array<T>;
@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<T>;
@group(0) @binding(GRAD_WEIGHT) var<storage, read_write> grad_weight: array<T>;

fn count() -> u32 {
    return params.m * params.n;
}

fn each(i: u32) {
    let group_in = params.in_c / params.groups;
    let channel = i % params.out_c;
    let tap = i / params.out_c;
    let ci = channel / (params.out_c / params.groups) * group_in + tap % group_in;
    let kw = tap / group_in % params.kernel_w;
    let kh = tap / (group_in * params.kernel_w);
    let batch = params.k / (params.out_h * params.out_w);

    var sum = ACC(0);
    for (var image = 0u; image < batch; image++) {
        for (var oh = 0u; oh < params.out_h; oh++) {
            // Rows above the input wrap around to large numbers, so one comparison checks both sides.
            let h = oh * params.stride_h + kh * params.dilation_h - params.pad_top;
            if h >= params.in_h { continue; }
            for (var ow = 0u; ow < params.out_w; ow++) {
                let w = ow * params.stride_w + kw * params.dilation_w - params.pad_left;
                if w >= params.in_w { continue; }
                let base = ((image * params.in_h + h) * params.in_w + w) * params.in_c + ci;
                let by = ((image * params.out_h + oh) * params.out_w + ow) * params.out_c + channel;
                sum += input[base] * grad_output[by];
            }
        }
    }
    grad_weight[i] = T(sum);
}

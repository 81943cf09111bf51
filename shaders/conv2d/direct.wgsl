// conv2d, direct: output[n, oh, ow, co] = bias[co] + sum over kh, kw, ci of
//     input[n, oh stride - pad + kh dilation, ow stride - pad + kw dilation, g in_c/groups + ci] weight[kh, kw, ci, co]
// with g = co / (out_c / groups); elements outside the input are 0. Cross-correlation; source: torch.nn.Conv2d.
//
// Memory: input [batch, in_h, in_w, in_c], weight [kernel_h, kernel_w, in_c / groups, out_c], output
// [batch, out_h, out_w, out_c]; their gradients alike. One invocation owns one output element, channels fastest. No
// workgroup memory, no barrier.
// Linked with: lib/bias.wgsl or lib/bias_none.wgsl, lib/each.wgsl, lib/epilogue.wgsl or lib/epilogue_none.wgsl. Header: ACC, T, params.

@group(0) @binding(INPUT) var<storage, read> input: array<T>;
@group(0) @binding(WEIGHT) var<storage, read> weight: array<T>;
@group(0) @binding(OUTPUT) var<storage, read_write> output: array<T>;

fn count() -> u32 {
    return params.m * params.n;
}

fn each(i: u32) {
    let channel = i % params.out_c;
    let pixel = i / params.out_c;
    let ow = pixel % params.out_w;
    let oh = pixel / params.out_w % params.out_h;
    let image = pixel / (params.out_w * params.out_h);
    let group_in = params.in_c / params.groups;
    let first_in = channel / (params.out_c / params.groups) * group_in;

    var sum = ACC(0);
    for (var kh = 0u; kh < params.kernel_h; kh++) {
        // Rows above the input wrap around to large numbers, so one comparison checks both sides.
        let h = oh * params.stride_h + kh * params.dilation_h - params.pad_top;
        if h >= params.in_h { continue; }
        for (var kw = 0u; kw < params.kernel_w; kw++) {
            let w = ow * params.stride_w + kw * params.dilation_w - params.pad_left;
            if w >= params.in_w { continue; }
            let base = ((image * params.in_h + h) * params.in_w + w) * params.in_c + first_in;
            let by = (kh * params.kernel_w + kw) * group_in * params.out_c + channel;
            for (var ci = 0u; ci < group_in; ci++) {
                sum += input[base + ci] * weight[by + ci * params.out_c];
            }
        }
    }
    output[i] = epilogue(i, biased(sum, channel));
}

// The gradient of max_pool2d where windows lie side by side (stride = kernel, no padding, no dilation): every input
// element is in one window at most, so grad_input over a window is grad_output at the winner and 0 elsewhere.
// The formula is that of max_pool2d_grad.wgsl.
//
// grad_output, indices: [batch, out_h, out_w, channels]; grad_input: [batch, in_h, in_w, channels].
// One invocation owns one window of one channel, and the last ones of a row or column also what lies beyond them.
// No workgroup memory, no barrier.

struct Params {
    batch: u32, channels: u32, in_h: u32, in_w: u32, out_h: u32, out_w: u32,
    kernel_h: u32, kernel_w: u32, stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
    dilation_h: u32, dilation_w: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad_output: array<T>;
@group(0) @binding(2) var<storage, read> indices: array<i32>;
@group(0) @binding(3) var<storage, read_write> grad_input: array<T>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = invocation_number(workgroup, groups, local);
    if i >= params.batch * params.out_h * params.out_w * params.channels { return; }
    let pixel = divide(i, params.channels);
    let channel = i - pixel * params.channels;
    let line = divide(pixel, params.out_w);
    let ow = pixel - line * params.out_w;
    let number = divide(line, params.out_h);
    let oh = line - number * params.out_h;
    let image = number * params.in_h * params.in_w;
    let last_h = select(min((oh + 1) * params.kernel_h, params.in_h), params.in_h, oh + 1 == params.out_h);
    let last_w = select(min((ow + 1) * params.kernel_w, params.in_w), params.in_w, ow + 1 == params.out_w);
    let value = grad_output[i];
    let winner = u32(indices[i]);

    for (var h = oh * params.kernel_h; h < last_h; h++) {
        for (var w = ow * params.kernel_w; w < last_w; w++) {
            let here = h * params.in_w + w;
            grad_input[(image + here) * params.channels + channel] = select(T(0), value, here == winner);
        }
    }
}

// What every kernel of max_pool2d is told.

struct Params {
    batch: u32, channels: u32, in_h: u32, in_w: u32, out_h: u32, out_w: u32,
    kernel_h: u32, kernel_w: u32, stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
    dilation_h: u32, dilation_w: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

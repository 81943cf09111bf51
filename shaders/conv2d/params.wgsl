// What every kernel of conv2d is told: extents, attributes, and the product that the convolution is (rows m, columns n,
// depth k, and how much of the depth one split takes). Memory: input [batch, in_h, in_w, in_c], output [batch, out_h,
// out_w, out_c], weight [kernel_h, kernel_w, in_c / groups, out_c]; their gradients alike.

struct Params {
    m: u32, n: u32, k: u32, k_chunk: u32,
    in_h: u32, in_w: u32, in_c: u32, out_h: u32, out_w: u32, out_c: u32,
    kernel_h: u32, kernel_w: u32, stride_h: u32, stride_w: u32, pad_top: u32, pad_left: u32,
    dilation_h: u32, dilation_w: u32, groups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

// Params and windows of both kernels of adaptive_avg_pool2d: output o covers the inputs
//     floor(o in / out) .. ceil((o + 1) in / out) - 1
// and input i lies in the windows floor(i out / in) .. ceil((i + 1) out / in) - 1. Source: torch.nn.AdaptiveAvgPool2d.
// Linked with: lib/divide.wgsl. Header: nothing.

fn first_of(o: u32, size: u32, count: u32) -> u32 {
    return divide(o * size, count);
}

fn end_of(o: u32, size: u32, count: u32) -> u32 {
    return divide((o + 1) * size + count - 1, count);
}

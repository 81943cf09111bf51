//! Pooling over windows.

pub mod adaptive_avg_pool2d;
pub mod avg_pool2d;
pub mod max_pool2d;

/// How many channels an invocation owns: they are loaded and stored at once.
pub(crate) fn together(channels: u32) -> u32 {
    [4, 2].into_iter().find(|&each| channels.is_multiple_of(each)).unwrap_or(1)
}

/// How many windows of this kernel, stride and dilation hold one place, at most.
pub(crate) fn windows_over(kernel: [usize; 2], stride: [usize; 2], dilation: [usize; 2]) -> u32 {
    let along = |axis: usize| (kernel[axis] - 1) * dilation[axis] / stride[axis] + 1;
    (along(0) * along(1)) as u32
}

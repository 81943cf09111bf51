//! Pooling over windows.

pub mod adaptive_avg_pool2d;
pub mod avg_pool2d;
pub mod max_pool2d;
pub(crate) mod window;

/// Number of channels that an invocation owns, loaded and stored at once.
pub(crate) fn together(channels: u32) -> u32 {
    [4, 2].into_iter().find(|&each| channels.is_multiple_of(each)).unwrap_or(1)
}

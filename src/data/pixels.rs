//! The order of pixels in an array of images.

use crate::shape::ImageSize;

/// The order of an image's axes in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axes {
    /// Height, width, channels.
    ChannelsLast,
    /// Channels, height, width.
    ChannelsFirst,
}

/// The size of images of these extents, and the order of the axes. Two extents are height and width; of three the first
/// or the last is the number of channels, 1 or 3. The error says what is wrong.
pub(super) fn size_of(extents: &[usize]) -> Result<(ImageSize, Axes), String> {
    let channels = |extent: usize| extent == 1 || extent == 3;
    match *extents {
        [height, width] => Ok((ImageSize::new(height, width, 1), Axes::ChannelsLast)),
        [a, b, c] => match (channels(a), channels(c)) {
            (false, true) => Ok((ImageSize::new(a, b, c), Axes::ChannelsLast)),
            (true, false) => Ok((ImageSize::new(b, c, a), Axes::ChannelsFirst)),
            (true, true) => Err(format!(
                "images of {a}x{b}x{c} have their channels first or last, which can't be told: use another size"
            )),
            (false, false) => Err(format!(
                "images of {a}x{b}x{c} have neither first nor last 1 or 3 channels (gray, or red, green and blue)"
            )),
        },
        [one] => Err(format!("{one} values an image are flat: reshape them to height and width")),
        _ => Err(format!("images have {} axes; height and width are expected, and channels", extents.len())),
    }
}

/// Brings the images of `size` in `bytes` to the order height, width, channels, in the memory that they have.
pub(super) fn channels_last(mut bytes: Vec<u8>, size: ImageSize, axes: Axes) -> Vec<u8> {
    if axes == Axes::ChannelsLast || size.channels == 1 {
        return bytes;
    }
    let pixels = size.height * size.width;
    let mut planes = vec![0; size.values()];
    for image in bytes.chunks_exact_mut(size.values().max(1)) {
        planes.copy_from_slice(image);
        for (pixel, values) in image.chunks_exact_mut(size.channels).enumerate() {
            values.iter_mut().enumerate().for_each(|(channel, value)| *value = planes[channel * pixels + pixel]);
        }
    }
    bytes
}

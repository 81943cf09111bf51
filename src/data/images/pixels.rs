//! Decoded pixels: their channels, and the way up.

use image::metadata::Orientation;

use crate::error::{Error, Result};
use crate::shape::ImageSize;

/// A decoded image: bytes [height, width, channels], with one channel (gray) or three (red, green, blue).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    size: ImageSize,
    bytes: Vec<u8>,
}

impl Pixels {
    /// Creates an image after checking its parts. [`Error::Config`] unless it has at least one pixel, one or three
    /// channels, and as many bytes as `size` says.
    pub fn new(size: ImageSize, bytes: Vec<u8>) -> Result<Self> {
        if !matches!(size.channels, 1 | 3) {
            return Err(channels_error(size.channels));
        }
        if bytes.is_empty() || size.checked_values() != Some(bytes.len()) {
            return Err(Error::config("pixels", format!("are {} bytes, {size} are expected", bytes.len())));
        }
        Ok(Pixels { size, bytes })
    }

    /// Height, width and channels.
    pub fn size(&self) -> ImageSize {
        self.size
    }

    /// The bytes, row by row.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, row by row.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Converts to `channels`: gray to three equal channels, colour to its luma after Rec. 601, as Pillow's `convert`
    /// does. [`Error::Config`] unless `channels` is 1 or 3.
    pub fn with_channels(mut self, channels: usize) -> Result<Self> {
        match (self.size.channels, channels) {
            (1, 1) | (3, 3) => return Ok(self),
            (3, 1) => {
                // In place: a pixel is written where an earlier one has been read.
                for i in 0..self.bytes.len() / 3 {
                    let [r, g, b] = [0, 1, 2].map(|channel| u32::from(self.bytes[3 * i + channel]));
                    self.bytes[i] = ((19_595 * r + 38_470 * g + 7_471 * b + (1 << 15)) >> 16) as u8;
                }
                self.bytes.truncate(self.bytes.len() / 3);
            }
            (1, 3) => self.bytes = self.bytes.iter().flat_map(|&byte| [byte; 3]).collect(),
            (_, other) => return Err(channels_error(other)),
        }
        self.size.channels = channels;
        Ok(self)
    }

    /// Turns and mirrors the image as `orientation` says, which is how Pillow's `exif_transpose` does it.
    pub(super) fn oriented(self, orientation: Orientation) -> Self {
        // Of the output's row and column: is the column the input's row, and which of the two run backward?
        let (transposed, rows_backward, columns_backward) = match orientation {
            Orientation::NoTransforms => return self,
            Orientation::FlipHorizontal => (false, false, true),
            Orientation::Rotate180 => (false, true, true),
            Orientation::FlipVertical => (false, true, false),
            Orientation::Rotate90FlipH => (true, false, false),
            Orientation::Rotate90 => (true, true, false),
            Orientation::Rotate270FlipH => (true, true, true),
            Orientation::Rotate270 => (true, false, true),
        };
        match self.size.channels {
            1 => self.moved::<1>(transposed, rows_backward, columns_backward),
            _ => self.moved::<3>(transposed, rows_backward, columns_backward),
        }
    }

    /// The image with pixel (row, column) of the input at (row, column), or at (column, row) if `transposed`, where
    /// the input's rows and columns are counted backward if so asked.
    fn moved<const C: usize>(self, transposed: bool, rows_backward: bool, columns_backward: bool) -> Self {
        let ImageSize { height, width, channels } = self.size;
        let (input, _) = self.bytes.as_chunks::<C>();
        let mut bytes = vec![0; self.bytes.len()];
        let (output, _) = bytes.as_chunks_mut::<C>();
        let [rows, columns] = if transposed { [width, height] } else { [height, width] };
        for (row, line) in output.chunks_exact_mut(columns).enumerate() {
            for (column, pixel) in line.iter_mut().enumerate() {
                let [y, x] = if transposed { [column, row] } else { [row, column] };
                let y = if rows_backward { height - 1 - y } else { y };
                let x = if columns_backward { width - 1 - x } else { x };
                *pixel = input[y * width + x];
            }
        }
        Pixels { size: ImageSize::new(rows, columns, channels), bytes }
    }
}

pub(super) fn channels_error(channels: usize) -> Error {
    Error::config("channels", format!("of an image file can be 1 or 3, not {channels}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn luma_is_pillows() {
        // Values of Image.new("RGB", (1, 1), color).convert("L").
        for (rgb, gray) in [([255, 0, 0], 76), ([0, 255, 0], 150), ([0, 0, 255], 29), ([10, 200, 31], 124)] {
            let pixel = Pixels::new(ImageSize::new(1, 1, 3), rgb.to_vec()).unwrap();
            assert_eq!(pixel.with_channels(1).unwrap().bytes(), [gray]);
        }
        let gray = Pixels::new(ImageSize::new(1, 2, 1), vec![7, 9]).unwrap();
        assert_eq!(gray.clone().with_channels(3).unwrap().bytes(), [7, 7, 7, 9, 9, 9]);
        assert!(gray.with_channels(2).unwrap_err().to_string().contains("can be 1 or 3, not 2"));
        assert!(Pixels::new(ImageSize::new(1, 2, 4), vec![0; 8]).is_err());
        assert!(Pixels::new(ImageSize::new(1, 2, 1), vec![0; 3]).is_err());
        assert!(Pixels::new(ImageSize::new(0, 2, 1), vec![]).is_err());
    }

    #[test]
    fn every_orientation_is_the_image_librarys() {
        // Each pixel another value, so that none is mistaken for another.
        for channels in [1, 3] {
            let bytes: Vec<u8> = (0..4 * 3 * channels as u8).collect();
            let pixels = Pixels::new(ImageSize::new(3, 4, channels), bytes.clone()).unwrap();
            for exif in 1..=8 {
                let orientation = Orientation::from_exif(exif).unwrap();
                let mut expected: image::DynamicImage = match channels {
                    1 => image::GrayImage::from_raw(4, 3, bytes.clone()).unwrap().into(),
                    _ => image::RgbImage::from_raw(4, 3, bytes.clone()).unwrap().into(),
                };
                expected.apply_orientation(orientation);
                let turned = pixels.clone().oriented(orientation);
                assert_eq!(turned.size().height, expected.height() as usize, "{exif}");
                assert_eq!(turned.bytes(), expected.as_bytes(), "{exif}");
            }
        }
    }
}

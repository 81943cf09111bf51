//! Scaling with an antialiased triangle filter, Pillow's `BILINEAR`.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::pixels::{Pixels, channels_error};
use super::resize::{Part, Resize};
use crate::error::{Error, Result};
use crate::shape::ImageSize;

/// Brings images to one size. It keeps its buffers, so each thread should use one for many images.
#[derive(Default)]
pub struct Scaler {
    resizer: Resizer,
}

impl Scaler {
    /// Creates a scaler with empty buffers.
    pub fn new() -> Self {
        Scaler::default()
    }

    /// Scales `pixels` as `resize` says, with the channels that they have.
    pub fn resize(&mut self, pixels: &Pixels, resize: Resize) -> Result<Pixels> {
        resize.check()?;
        self.part(pixels, resize.part(pixels.size()))
    }

    /// Cuts out a box of `pixels` and scales it to `[height, width]`. `fractions` are the box's top, left, height and
    /// width in parts of the image. Pixels beyond the box have no influence, as if it had been cut out first.
    pub fn crop(&mut self, pixels: &Pixels, fractions: [f64; 4], [height, width]: [usize; 2]) -> Result<Pixels> {
        Resize::stretch(height, width).check()?;
        let [top, left, rows, columns] = fractions;
        let cut = |from: f64, part: f64, extent: usize| {
            // NaN becomes 0.
            let begin = ((from * extent as f64).round() as usize).min(extent - 1);
            [begin, ((part * extent as f64).round() as usize).clamp(1, extent - begin)]
        };
        let size = pixels.size();
        let ([top, rows], [left, columns]) = (cut(top, rows, size.height), cut(left, columns, size.width));
        let line = |row: usize| &pixels.bytes()[(row * size.width + left) * size.channels..][..columns * size.channels];
        let bytes: Vec<u8> = (top..top + rows).flat_map(|row| line(row).iter().copied()).collect();
        let cut = Pixels::new(ImageSize::new(rows, columns, size.channels), bytes)?;
        self.resize(&cut, Resize::stretch(height, width))
    }

    fn part(&mut self, pixels: &Pixels, Part { from, to: [columns, rows] }: Part) -> Result<Pixels> {
        let ImageSize { height, width, channels } = pixels.size();
        let kind = match channels {
            1 => PixelType::U8,
            3 => PixelType::U8x3,
            other => return Err(channels_error(other)),
        };
        // The sides are at most those of an image file, which have 32 bits.
        let source = ImageRef::new(width as u32, height as u32, pixels.bytes(), kind).map_err(failed)?;
        let mut target = Image::new(columns as u32, rows as u32, kind);
        let [left, top, wide, high] = from;
        // A box that ends beyond the image by a rounding error would be refused.
        let (wide, high) = (wide.min(width as f64 - left), high.min(height as f64 - top));
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        self.resizer.resize(&source, &mut target, &options.crop(left, top, wide, high)).map_err(failed)?;
        Pixels::new(ImageSize::new(rows, columns, channels), target.into_vec())
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::config("resize", format!("failed: {error}"))
}

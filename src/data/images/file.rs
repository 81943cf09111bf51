//! An image file as the bytes that a network takes.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::decode::{MAX_PIXELS, decode};
use super::pixels::Pixels;
use super::resize::Resize;
use super::scale::Scaler;
use crate::data::Cut;
use crate::error::{Error, Result};
use crate::shape::ImageSize;

/// Bytes of a file for each pixel that it may have, and bytes that any file may have. No format takes as many.
const BYTES_A_PIXEL: u64 = 16;
const SPARE: u64 = 64 << 20;

/// How image files are read.
/// ```
/// use tilegrad::data::{ImageOptions, Resize};
///
/// let options = ImageOptions::default().resize(Resize::crop(224)).channels(1);
/// assert_eq!(options.channels, 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageOptions {
    /// Size that images are brought to; without it they keep theirs.
    pub resize: Option<Resize>,
    /// Number of channels: 3 for colour, to which gray images are repeated; 1 for gray, to which colour is weighted.
    pub channels: usize,
    /// Number of pixels above which a file is refused.
    pub max_pixels: u64,
}

impl Default for ImageOptions {
    /// The defaults: the image's own size, three channels, [`MAX_PIXELS`].
    fn default() -> Self {
        ImageOptions { resize: None, channels: 3, max_pixels: MAX_PIXELS }
    }
}

impl ImageOptions {
    /// Sets the size that images are brought to, or removes it.
    pub fn resize(mut self, resize: impl Into<Option<Resize>>) -> Self {
        self.resize = resize.into();
        self
    }

    /// Sets the number of channels, 1 or 3.
    pub fn channels(mut self, channels: usize) -> Self {
        self.channels = channels;
        self
    }

    /// Sets the number of pixels above which a file is refused.
    pub fn max_pixels(mut self, max_pixels: u64) -> Self {
        self.max_pixels = max_pixels;
        self
    }

    /// Checks the options. [`Error::Config`] names the one at fault.
    pub(in crate::data) fn check(&self) -> Result<()> {
        if !matches!(self.channels, 1 | 3) {
            return Err(super::pixels::channels_error(self.channels));
        }
        self.resize.map_or(Ok(()), Resize::check)
    }

    /// Decodes the content of the file at `path`, and brings it to size and channels.
    pub fn read(&self, path: &Path, bytes: &[u8]) -> Result<Pixels> {
        self.scaled(path, bytes, |scaler, pixels| match self.resize {
            Some(resize) => scaler.resize(&pixels, resize),
            None => Ok(pixels),
        })
    }

    /// Decodes the content of the file at `path`, cuts out a box and brings it to the height and width of `to`. `cut`
    /// gives top, left, height and width of the box in pixels for the height and width of the upright image.
    pub(in crate::data) fn read_cut(&self, path: &Path, bytes: &[u8], to: [usize; 2], cut: &Cut<'_>) -> Result<Pixels> {
        self.scaled(path, bytes, |scaler, pixels| {
            let ImageSize { height, width, .. } = pixels.size();
            let [top, left, rows, columns] = cut([height, width]).map(f64::from);
            let (height, width) = (height as f64, width as f64);
            scaler.crop(&pixels, [top / height, left / width, rows / height, columns / width], to)
        })
    }

    /// Decodes the content of the file at `path`, scales it and brings it to the channels.
    fn scaled(
        &self,
        path: &Path,
        bytes: &[u8],
        scale: impl FnOnce(&mut Scaler, Pixels) -> Result<Pixels>,
    ) -> Result<Pixels> {
        thread_local! {
            static SCALER: RefCell<Scaler> = RefCell::new(Scaler::new());
        }
        let pixels = decode(path, bytes, self.max_pixels)?;
        // Scaling works on the channels that are kept: weighted before it, as Pillow does, and repeated after it.
        let pixels = if self.channels < pixels.size().channels { pixels.with_channels(self.channels)? } else { pixels };
        let pixels = SCALER.with_borrow_mut(|scaler| scale(scaler, pixels))?;
        pixels.with_channels(self.channels)
    }
}

/// Reads the image file at `path` as `options` say: upright pixels of their size and channels.
///
/// [`Error::Io`] and [`Error::Data`] name a file that is missing, that is no image, or that is damaged.
/// [`Error::Config`] names an option that is not valid.
pub fn image_file(path: &Path, options: &ImageOptions) -> Result<Pixels> {
    options.check()?;
    options.read(path, &file_bytes(path, options.max_pixels)?)
}

/// Reads the file at `path`, which must be a regular file or a link to one. It is refused if it is larger than an image
/// of `max_pixels` can be.
pub(in crate::data) fn file_bytes(path: &Path, max_pixels: u64) -> Result<Vec<u8>> {
    let system = |error| Error::io(path, error);
    let metadata = fs::metadata(path).map_err(system)?;
    // Opening a FIFO would wait for a writer, and a device never ends.
    if !metadata.is_file() {
        let kind = if metadata.is_dir() { "a folder" } else { "a FIFO, socket or device" };
        return Err(Error::data(path, format!("is {kind}, not a file")));
    }
    let most = max_pixels.saturating_mul(BYTES_A_PIXEL).max(SPARE);
    let mut bytes = Vec::with_capacity(metadata.len().min(most) as usize);
    File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes)).map_err(system)?;
    if metadata.len() > most {
        let message = format!(
            "has {} bytes, an image of {max_pixels} pixels has fewer (--max-pixels raises the limit)",
            metadata.len()
        );
        return Err(Error::data(path, message));
    }
    Ok(bytes)
}

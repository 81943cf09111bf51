//! The bytes of an image file as upright pixels.

use std::io::Cursor;
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use super::pixels::Pixels;
use super::{jpeg, tiff, whole};
use crate::error::{Error, Result};
use crate::shape::ImageSize;

/// Number of pixels above which a file is refused unless an option raises it, which is Pillow's. A photo has up to 200
/// million.
pub const MAX_PIXELS: u64 = 178_956_970;

/// Memory that a decoder may take beside the pixels.
const SPARE: u64 = 64 << 20;
/// Most bytes of a pixel: four channels of 32 bits.
const PIXEL: u64 = 16;

/// Decodes the content of an image file to upright pixels: what EXIF says of the orientation has been applied, and
/// transparency dropped. Gray images have one channel, all others three. Sixteen bits are rounded to eight.
///
/// [`Error::Data`] names `path`, and says what is wrong: content that is no image, that is cut short or damaged, or
/// whose header claims more than `max_pixels` ([`MAX_PIXELS`]); that is seen before memory is taken.
pub fn decode(path: &Path, bytes: &[u8], max_pixels: u64) -> Result<Pixels> {
    if let Some((indices, colors)) = tiff::palette(bytes) {
        let indices = decode(path, &indices, max_pixels)?;
        let size = ImageSize { channels: 3, ..indices.size() };
        if indices.size().channels != 1 {
            return Err(refusal(path, "TIFF has a palette and more than one sample"));
        }
        return Pixels::new(size, indices.bytes().iter().flat_map(|&i| colors[usize::from(i)]).collect());
    }
    let image = Encoded::new(bytes, max_pixels).map_err(|message| refusal(path, &message))?;
    image.decode(bytes).map_err(|message| refusal(path, &message))
}

/// Reads the size of an image from its header: that of [`decode()`]'s pixels. What follows the header is not looked at.
pub fn inspect(path: &Path, bytes: &[u8], max_pixels: u64) -> Result<ImageSize> {
    if let Some((indices, _)) = tiff::palette(bytes) {
        return Ok(ImageSize { channels: 3, ..inspect(path, &indices, max_pixels)? });
    }
    let image = Encoded::new(bytes, max_pixels).map_err(|message| refusal(path, &message))?;
    Ok(image.upright())
}

fn refusal(path: &Path, message: &str) -> Error {
    Error::data(path, format!("is no image that can be read: {message}"))
}

/// A recognised image whose header has been read.
struct Encoded<'a> {
    size: ImageSize,
    orientation: Orientation,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Jpeg(jpeg::Header),
    Other(ImageFormat, Box<dyn ImageDecoder + 'a>),
}

impl<'a> Encoded<'a> {
    fn new(bytes: &'a [u8], max_pixels: u64) -> Result<Self, String> {
        if bytes.is_empty() {
            return Err("it is empty".into());
        }
        let format = image::guess_format(bytes).map_err(|_| "its content is of no known format".to_string())?;
        let encoded = if format == ImageFormat::Jpeg {
            let header = jpeg::Header::read(bytes).map_err(|message| format!("JPEG {message}"))?;
            Encoded { size: header.size, orientation: header.orientation, kind: Kind::Jpeg(header) }
        } else {
            if format == ImageFormat::Tiff {
                tiff::check(bytes)?;
            }
            let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
            reader.no_limits();
            let mut decoder = reader.into_decoder().map_err(|error| error.to_string())?;
            let (width, height) = decoder.dimensions();
            let channels = if decoder.color_type().has_color() { 3 } else { 1 };
            let orientation = match format {
                // The structure that EXIF has in other files is TIFF's own.
                ImageFormat::Tiff => Orientation::from_exif_chunk(bytes),
                _ => decoder.orientation().ok(),
            };
            let size = ImageSize::new(height as usize, width as usize, channels);
            let orientation = orientation.unwrap_or(Orientation::NoTransforms);
            Encoded { size, orientation, kind: Kind::Other(format, Box::new(decoder)) }
        };
        let ImageSize { height, width, .. } = encoded.size;
        if height == 0 || width == 0 {
            return Err(format!("it claims {width}x{height} pixels"));
        }
        // Sides have 32 bits.
        if height as u64 * width as u64 > max_pixels {
            return Err(format!(
                "it claims {width}x{height} pixels, the limit is {max_pixels} (--max-pixels raises it)"
            ));
        }
        Ok(encoded)
    }

    fn upright(&self) -> ImageSize {
        use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
        let ImageSize { height, width, channels } = self.size;
        match self.orientation {
            Rotate90 | Rotate90FlipH | Rotate270 | Rotate270FlipH => ImageSize::new(width, height, channels),
            _ => self.size,
        }
    }

    fn decode(self, bytes: &[u8]) -> Result<Pixels, String> {
        let pixels = match self.kind {
            Kind::Jpeg(header) => jpeg::decode(bytes, &header).map_err(|message| format!("JPEG {message}"))?,
            Kind::Other(format, mut decoder) => {
                match format {
                    ImageFormat::Png => whole::png(bytes),
                    ImageFormat::Gif => whole::gif(bytes),
                    ImageFormat::WebP => whole::webp(bytes),
                    _ => Ok(()),
                }?;
                let mut limits = image::Limits::no_limits();
                limits.max_alloc = Some(self.size.height as u64 * self.size.width as u64 * PIXEL + SPARE);
                let image = decoder.set_limits(limits).and_then(|()| DynamicImage::from_decoder(decoder));
                eight_bits(image.map_err(|error| error.to_string())?)
            }
        };
        let pixels = Pixels::new(self.size, pixels).map_err(|error| error.to_string())?;
        Ok(pixels.oriented(self.orientation))
    }
}

/// The samples of an image without transparency, in eight bits.
fn eight_bits(image: DynamicImage) -> Vec<u8> {
    fn some<const N: usize>(bytes: Vec<u8>, kept: usize) -> Vec<u8> {
        let (pixels, _) = bytes.as_chunks::<N>();
        pixels.iter().flat_map(|pixel| pixel[..kept].iter().copied()).collect()
    }
    let rounded =
        |samples: Vec<u16>| samples.into_iter().map(|sample| ((u32::from(sample) + 128) / 257) as u8).collect();
    match image {
        DynamicImage::ImageLuma8(image) => image.into_raw(),
        DynamicImage::ImageRgb8(image) => image.into_raw(),
        DynamicImage::ImageLumaA8(image) => some::<2>(image.into_raw(), 1),
        DynamicImage::ImageRgba8(image) => some::<4>(image.into_raw(), 3),
        DynamicImage::ImageLuma16(image) => rounded(image.into_raw()),
        DynamicImage::ImageRgb16(image) => rounded(image.into_raw()),
        DynamicImage::ImageLumaA16(image) => some::<2>(rounded(image.into_raw()), 1),
        DynamicImage::ImageRgba16(image) => some::<4>(rounded(image.into_raw()), 3),
        other => other.into_rgb8().into_raw(),
    }
}

//! A picture in memory: pixels, rectangles, a line of text, and PNG encoding.

use std::io::Cursor;
use std::path::Path;

use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};

use super::colour::{Rgb, mix};
use super::fonts::{Fonts, LETTER, cells};
use super::names::width;
use crate::error::{Error, Result};
use crate::files::write_whole;

/// Largest number of pixels of a picture: 8192x8192, which common viewers still open.
const LARGEST: usize = 1 << 26;

/// An RGB picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<Rgb>,
}

impl Picture {
    /// Creates a picture in one colour. [`Error::Config`] if it has no pixel, or more than 67 million.
    pub fn new(width: usize, height: usize, colour: [u8; 3]) -> Result<Self> {
        let pixels = width.checked_mul(height).filter(|pixels| (1..=LARGEST).contains(pixels)).ok_or_else(|| {
            Error::config(
                "picture",
                format!("is {width}x{height} pixels, must be 1 to {LARGEST} in all; show fewer tiles or smaller ones"),
            )
        })?;
        Ok(Picture { width, height, pixels: vec![colour; pixels] })
    }

    /// Creates a picture of these bytes, three a pixel.
    #[cfg(feature = "curves")]
    pub(super) fn of(width: usize, height: usize, bytes: Vec<u8>) -> Result<Self> {
        let mut picture = Picture::new(width, height, [0; 3])?;
        picture.pixels.as_flattened_mut().copy_from_slice(&bytes);
        Ok(picture)
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Red, green and blue of the pixel in column `x` of row `y`; `None` outside.
    pub fn pixel(&self, x: usize, y: usize) -> Option<[u8; 3]> {
        if x < self.width { self.pixels.get(y * self.width + x).copied() } else { None }
    }

    /// Sets one pixel. Does nothing outside the picture.
    pub(super) fn set(&mut self, x: usize, y: usize, colour: Rgb) {
        if x < self.width && y < self.height {
            self.pixels[y * self.width + x] = colour;
        }
    }

    /// Fills the part of a rectangle that lies inside the picture.
    pub(super) fn rectangle(&mut self, [x, y]: [usize; 2], [width, height]: [usize; 2], colour: Rgb) {
        for row in y..y.saturating_add(height).min(self.height) {
            for column in x..x.saturating_add(width).min(self.width) {
                self.set(column, row, colour);
            }
        }
    }

    /// Copies `other` with its upper left corner at this position, each pixel enlarged to `zoom` by `zoom`.
    pub(super) fn paste(&mut self, [x, y]: [usize; 2], other: &Picture, zoom: usize) {
        for (i, &colour) in other.pixels.iter().enumerate() {
            let corner = [x + i % other.width * zoom, y + i / other.width * zoom];
            self.rectangle(corner, [zoom, zoom], colour);
        }
    }

    /// Writes a line of text from its upper left corner. Characters that no font has become question marks.
    pub(super) fn text(&mut self, [x, y]: [usize; 2], text: &str, colour: Rgb, fonts: &Fonts) {
        self.letters(text, colour, fonts, |along, down| Some([x + along, y + down]));
    }

    /// Writes a line of text upward from its lower left corner, as for names of columns.
    pub(super) fn text_upward(&mut self, [x, y]: [usize; 2], text: &str, colour: Rgb, fonts: &Fonts) {
        self.letters(text, colour, fonts, |along, down| Some([x + down, y.checked_sub(along + 1)?]));
    }

    /// Blends every pixel of the text at the position that `place` gives for its offset along the line and down from
    /// its top.
    fn letters(&mut self, text: &str, colour: Rgb, fonts: &Fonts, place: impl Fn(usize, usize) -> Option<[usize; 2]>) {
        let mut cell: usize = 0;
        for letter in text.chars() {
            let taken = cells(letter);
            // A mark stands on the letter before it.
            let at = if taken == 0 { cell.saturating_sub(1) } else { cell };
            cell += taken;
            let Some(glyph) = fonts.glyph(letter).or_else(|| fonts.glyph('?').filter(|_| taken > 0)) else { continue };
            for (down, row) in glyph.iter().enumerate() {
                for (across, &ink) in row.iter().enumerate() {
                    let Some([x, y]) = place(at * LETTER[0] + across, down) else { continue };
                    if let Some(ground) = self.pixel(x, y) {
                        self.set(x, y, mix(ground, colour, f64::from(ink) / 255.0));
                    }
                }
            }
        }
    }

    /// Encodes the picture as a PNG file.
    pub fn png(&self) -> Result<Vec<u8>> {
        let mut bytes = Cursor::new(Vec::new());
        let (width, height) = (self.width as u32, self.height as u32);
        PngEncoder::new(&mut bytes)
            .write_image(self.pixels.as_flattened(), width, height, ExtendedColorType::Rgb8)
            .map_err(|error| Error::config("picture", format!("cannot be encoded as PNG: {error}")))?;
        Ok(bytes.into_inner())
    }

    /// Writes a PNG file, completely or not at all. [`Error::Io`] names a path that can't be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_whole(path, &self.png()?)
    }
}

/// Width of a text in pixels.
pub(super) fn text_width(text: &str) -> usize {
    width(text) * LETTER[0]
}

//! Image files, in two steps. [`decode`](fn@decode) turns the bytes of a file into upright pixels, and a [`Resize`]
//! brings pixels to the size that a model wants. [`image_file`] does both for one file.
//!
//! JPEG, PNG, BMP, WebP, TIFF, GIF and PNM (PBM, PGM, PPM) are recognised by their content, never by the ending of
//! a name. Of an animation or a file of several pages the first picture is read.

mod decode;
mod file;
mod jpeg;
mod pixels;
mod resize;
mod scale;
mod tiff;
mod whole;

pub use decode::{MAX_PIXELS, decode, inspect};
pub(super) use file::file_bytes;
pub use file::{ImageOptions, image_file};
pub use pixels::Pixels;
pub use resize::Resize;
pub use scale::Scaler;

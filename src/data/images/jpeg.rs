//! JPEG, by zune-jpeg in its strict mode, and a check of what that mode lets pass.
//!
//! The decoder makes up what is missing before the end of an image, and does not ask for that end. The segments are
//! therefore walked first: the end must be there, and the restart markers in their order. Then a look at the last row
//! shows whether the data reached it.

use image::metadata::Orientation;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use crate::shape::ImageSize;

/// Markers of segments, by their second byte.
mod marker {
    pub const FIRST_RESTART: u8 = 0xd0;
    pub const LAST_RESTART: u8 = 0xd7;
    pub const START: u8 = 0xd8;
    pub const END: u8 = 0xd9;
    pub const SCAN: u8 = 0xda;
    pub const EXIF: u8 = 0xe1;
    pub const PROGRESSIVE: u8 = 0xc2;
    /// Of a standard that codes arithmetically, and two segments that share the range of frames.
    pub const NO_FRAMES: [u8; 3] = [0xc4, 0xc8, 0xcc];
}

/// Largest number of pixels for a byte of a scan. A block of 8 by 8 pixels takes at least one bit.
const PIXELS_A_BYTE: u64 = 64 * 8;

/// An empty comment and the end of an image. At a comment within a scan the decoder stops, where it would fill up the
/// image with gray at an end.
const STOP: [u8; 6] = [0xff, 0xfe, 0, 2, 0xff, marker::END];
/// Bits that the decoder may have read ahead when it stops.
const AHEAD: usize = 64;

/// What the segments say.
pub(super) struct Header {
    /// Size as stored, with 1 or 3 channels.
    pub size: ImageSize,
    pub orientation: Orientation,
    /// Position of the first scan.
    scan: usize,
    blocks: Blocks,
}

/// The units in which an image is coded, each of several blocks of 8 by 8 samples.
#[derive(Clone, Copy)]
struct Blocks {
    /// Rows and columns of pixels of a unit.
    unit: [usize; 2],
    /// Number of blocks of a unit.
    count: usize,
    progressive: bool,
}

impl Blocks {
    /// Reads the sampling factors of a frame's components.
    fn new(marker: u8, components: &[u8]) -> Self {
        let progressive = marker == marker::PROGRESSIVE;
        let (factors, _) = components.as_chunks::<3>();
        let factors = || factors.iter().map(|&[_, factors, _]| [usize::from(factors & 15), usize::from(factors >> 4)]);
        // One component alone is not interleaved.
        if factors().count() < 2 {
            return Blocks { unit: [8, 8], count: 1, progressive };
        }
        let most = |axis: usize| factors().map(|pair| pair[axis]).max().unwrap_or(1).max(1) * 8;
        Blocks { unit: [most(0), most(1)], count: factors().map(|[v, h]| v * h).sum(), progressive }
    }
}

impl Header {
    /// Reads the segments up to the first scan.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let (mut at, mut frame, mut orientation) = (2, None, Orientation::NoTransforms);
        loop {
            let (marker, content, end) = segment(bytes, at)?;
            match marker {
                0xc0..=0xcf if !marker::NO_FRAMES.contains(&marker) && frame.is_none() => {
                    let &[_, h1, h0, w1, w0, components, ref factors @ ..] = content else {
                        return Err("has a short frame".into());
                    };
                    let [height, width] = [[h1, h0], [w1, w0]].map(|pair| usize::from(u16::from_be_bytes(pair)));
                    let size = ImageSize::new(height, width, if components == 1 { 1 } else { 3 });
                    frame = Some((size, Blocks::new(marker, factors)));
                }
                marker::EXIF => {
                    let exif = content.strip_prefix(b"Exif\0\0").and_then(Orientation::from_exif_chunk);
                    orientation = exif.unwrap_or(orientation);
                }
                marker::SCAN => {
                    let (size, blocks) = frame.ok_or("has a scan and no frame")?;
                    return Ok(Header { size, orientation, scan: at, blocks });
                }
                marker::END => return Err("ends without an image".into()),
                _ => {}
            }
            at = end;
        }
    }
}

/// The marker at or after `at`, the content of its segment, and where that ends.
fn segment(bytes: &[u8], at: usize) -> Result<(u8, &[u8], usize), String> {
    let cut = || format!("is cut short, it ends after {} bytes", bytes.len());
    let mut at = at;
    loop {
        let rest = bytes.get(at..).ok_or_else(cut)?;
        at += rest.iter().position(|&byte| byte == 0xff).ok_or_else(cut)?;
        match *bytes.get(at + 1).ok_or_else(cut)? {
            // Fill bytes, and what is no marker.
            0xff => at += 1,
            0 | 1 | marker::FIRST_RESTART..=marker::START => at += 2,
            marker::END => return Ok((marker::END, &[], at + 2)),
            found => {
                let length = bytes.get(at + 2..at + 4).ok_or_else(cut)?;
                let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
                let end = at + 2 + length;
                // A length counts its own two bytes.
                let content = bytes.get(at + 4..end.max(at + 4)).ok_or_else(cut)?;
                return Ok((found, content, end.max(at + 4)));
            }
        }
    }
}

/// Walks from the first scan to the end of the image, and returns that.
fn end(bytes: &[u8], header: &Header) -> Result<usize, String> {
    let mut at = header.scan;
    loop {
        let (marker, _, next) = segment(bytes, at)?;
        at = next;
        match marker {
            marker::END => return Ok(at),
            marker::SCAN => at = skip_scan(bytes, at)?,
            _ => {}
        }
    }
}

/// Returns the end of the scan's data that begin at `at`, after a look at the order of its restart markers.
fn skip_scan(bytes: &[u8], mut at: usize) -> Result<usize, String> {
    let mut restarts: u8 = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(found) = rest.iter().position(|&byte| byte == 0xff) else {
            return Err(format!("is cut short, its data end after {} bytes", bytes.len()));
        };
        at += found;
        match bytes.get(at + 1) {
            Some(0 | 0xff) => at += 1,
            Some(&restart @ marker::FIRST_RESTART..=marker::LAST_RESTART) => {
                if restart - marker::FIRST_RESTART != restarts % 8 {
                    return Err(format!("lacks data before byte {at}: a restart marker is out of order"));
                }
                restarts = (restarts + 1) % 8;
                at += 2;
            }
            _ => return Ok(at),
        }
    }
}

/// Decodes the image as it is stored, to the channels of the header's size.
pub(super) fn decode(bytes: &[u8], header: &Header) -> Result<Vec<u8>, String> {
    let end = end(bytes, header)?;
    let ImageSize { height, width, .. } = header.size;
    // Before memory is taken for what the data can't hold.
    if (height * width) as u64 / PIXELS_A_BYTE > (end - header.scan) as u64 {
        return Err(format!("claims {width}x{height} pixels, its {} bytes can't hold them", bytes.len()));
    }
    // The progressive decoder notices by itself when data end early.
    if header.blocks.progressive {
        return filled(&bytes[..end], header, 0);
    }
    let stopped = [&bytes[..end - 2], &STOP].concat();
    let pixels = filled(&stopped, header, 1)?;
    if untouched_rows(&pixels, header.size) == 0 {
        return Ok(pixels);
    }
    // Either the data end early, or the few bits of the last rows were all read ahead when the decoder stopped.
    let rows = untouched_rows(&filled(&stopped, header, height)?, header.size);
    let Blocks { unit: [unit_rows, unit_columns], count, .. } = header.blocks;
    let missing = rows.div_ceil(unit_rows) * width.div_ceil(unit_columns) * count;
    // A block takes at least a bit for each of its two kinds of coefficients.
    match 2 * missing > AHEAD {
        true => Err(format!("lacks data: they end {rows} rows above the last")),
        false => filled(&bytes[..end], header, 0),
    }
}

/// A value of the pattern by which rows are known that nothing was written to.
fn pattern(i: usize) -> u8 {
    (i as u32).wrapping_mul(0x9e37_79b1).rotate_left(9) as u8
}

/// Number of rows at the end that still hold the pattern.
fn untouched_rows(pixels: &[u8], ImageSize { width, channels, .. }: ImageSize) -> usize {
    let untouched = |row: &&[u8]| row.iter().enumerate().all(|(i, &byte)| byte == pattern(i));
    pixels.chunks_exact(width * channels).rev().take_while(untouched).count()
}

/// Decodes the image into pixels whose last `rows` hold the pattern before.
fn filled(bytes: &[u8], header: &Header, rows: usize) -> Result<Vec<u8>, String> {
    let ImageSize { height, width, channels } = header.size;
    let strict = DecoderOptions::default().set_strict_mode(true).set_max_width(1 << 16).set_max_height(1 << 16);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), strict);
    decoder.decode_headers().map_err(|error| error.to_string())?;
    let wanted = if channels == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(strict.jpeg_set_out_colorspace(wanted));
    let mut pixels = vec![0; header.size.values()];
    let line = width * channels;
    for row in pixels.chunks_exact_mut(line).rev().take(rows) {
        row.iter_mut().enumerate().for_each(|(i, byte)| *byte = pattern(i));
    }
    if decoder.dimensions() != Some((width, height)) || decoder.output_buffer_size() != Some(pixels.len()) {
        return Err("has more than one size".into());
    }
    decoder.decode_into(&mut pixels).map_err(|error| error.to_string())?;
    Ok(pixels)
}

//! Small valid files, made here.

use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use image::{DynamicImage, ImageFormat};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A file of IDX: the magic number, the extents, and as many bytes as they say, of 0, 1, 2 in turn.
pub fn idx(magic: u32, extents: &[u32]) -> Vec<u8> {
    let mut bytes = magic.to_be_bytes().to_vec();
    extents.iter().for_each(|extent| bytes.extend(extent.to_be_bytes()));
    bytes.extend((0..extents.iter().product::<u32>()).map(|i| (i % 3) as u8));
    bytes
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A .npy array of this type and shape.
pub fn npy(descr: &str, shape: &str, body: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\0", &length[..], header.as_bytes(), body].concat()
}

/// Six images of 4x3 in bytes, and their labels.
pub fn arrays() -> [Vec<u8>; 2] {
    let pixels: Vec<u8> = (0..72).collect();
    let labels: Vec<u8> = (0..6_i64).flat_map(|i| (i % 2).to_le_bytes()).collect();
    [npy("|u1", "(6, 4, 3)", &pixels), npy("<i8", "(6,)", &labels)]
}

/// A zip archive of these files.
pub fn zip(files: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// An image of 12x9 in every format and colour type that can be written here.
pub fn images() -> Vec<Vec<u8>> {
    let colour = image::RgbImage::from_fn(12, 9, |x, y| image::Rgb([(20 * x) as u8, (25 * y) as u8, (x * y) as u8]));
    let colour = DynamicImage::from(colour);
    let kinds = [
        colour.clone(),
        colour.to_luma8().into(),
        colour.to_rgba8().into(),
        colour.to_luma_alpha8().into(),
        colour.to_rgb16().into(),
        colour.to_luma16().into(),
    ];
    let formats = [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::Bmp,
        ImageFormat::WebP,
        ImageFormat::Tiff,
        ImageFormat::Gif,
        ImageFormat::Pnm,
    ];
    let mut files = Vec::new();
    for format in formats {
        for kind in &kinds {
            let mut bytes = Cursor::new(Vec::new());
            // Not every format has every colour type.
            if kind.write_to(&mut bytes, format).is_ok() {
                files.push(bytes.into_inner());
            }
        }
    }
    files
}

/// 64-bit FNV-1a, the checksum of checkpoints and caches.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

//! EXIF's orientation in every format that carries it, and what lies in class folders and can't be read.

use std::fs;
use std::path::Path;

use image::codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder};
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, RgbImage};
use tilegrad::Error;
use tilegrad::data::ImageSet;
use tilegrad::data::folder::{self, FolderOptions};
use tilegrad::data::images::{MAX_PIXELS, decode, inspect};
use tilegrad::shape::ImageSize;

use crate::scratch::{Scratch, colour};

/// Numbers of 16 bits in a TIFF file's directory.
fn entry(tag: u16, kind: u16, count: u32, value: u32) -> Vec<u8> {
    [&tag.to_le_bytes()[..], &kind.to_le_bytes(), &count.to_le_bytes(), &value.to_le_bytes()].concat()
}

/// A block of EXIF with an orientation alone.
fn exif(orientation: u16) -> Vec<u8> {
    let entry = entry(0x112, 3, 1, orientation.into());
    [b"II*\0\x08\0\0\0\x01\0".as_slice(), &entry, &[0; 4]].concat()
}

/// An uncompressed TIFF file.
fn tiff(image: &RgbImage, orientation: u16) -> Vec<u8> {
    let (width, height) = image.dimensions();
    let (pixels, bits) = (image.as_raw(), [8_u16; 3].map(u16::to_le_bytes).concat());
    let bits_at = 8 + pixels.len() as u32;
    let entries = [
        entry(256, 4, 1, width),
        entry(257, 4, 1, height),
        entry(258, 3, 3, bits_at),
        entry(259, 3, 1, 1),
        entry(262, 3, 1, 2),
        entry(273, 4, 1, 8),
        entry(274, 3, 1, orientation.into()),
        entry(277, 3, 1, 3),
        entry(278, 4, 1, height),
        entry(279, 4, 1, pixels.len() as u32),
    ];
    let directory = bits_at + bits.len() as u32;
    let count = (entries.len() as u16).to_le_bytes();
    [b"II*\0".as_slice(), &directory.to_le_bytes(), pixels, &bits, &count, &entries.concat(), &[0; 4]].concat()
}

/// The picture in a format, with this orientation.
fn file(format: &str, image: &RgbImage, orientation: u16) -> Vec<u8> {
    fn encode(mut encoder: impl ImageEncoder, image: &RgbImage, orientation: u16) {
        encoder.set_exif_metadata(exif(orientation)).unwrap();
        encoder.write_image(image.as_raw(), image.width(), image.height(), ExtendedColorType::Rgb8).unwrap();
    }
    let mut bytes = Vec::new();
    match format {
        "jpeg" => encode(JpegEncoder::new(&mut bytes), image, orientation),
        "png" => encode(PngEncoder::new(&mut bytes), image, orientation),
        "webp" => encode(WebPEncoder::new_lossless(&mut bytes), image, orientation),
        _ => bytes = tiff(image, orientation),
    }
    bytes
}

#[test]
fn every_format_is_read_upright_by_all_eight_orientations() {
    let image = RgbImage::from_fn(20, 12, |x, y| image::Rgb([(x * 12) as u8, (y * 20) as u8, 90]));
    for format in ["jpeg", "png", "webp", "tiff"] {
        let read = |orientation| {
            let (bytes, name) = (file(format, &image, orientation), Path::new("x"));
            let pixels = decode(name, &bytes, MAX_PIXELS).unwrap();
            assert_eq!(inspect(name, &bytes, MAX_PIXELS).unwrap(), pixels.size(), "{format} {orientation}");
            pixels
        };
        let lying = read(1);
        assert_eq!(lying.size(), ImageSize::new(12, 20, 3), "{format}");
        for orientation in 1..=8_u8 {
            let mut expected: DynamicImage = RgbImage::from_raw(20, 12, lying.bytes().to_vec()).unwrap().into();
            expected.apply_orientation(Orientation::from_exif(orientation).unwrap());
            let upright = read(orientation.into());
            assert_eq!(
                [upright.size().width, upright.size().height],
                [expected.width(), expected.height()].map(|i| i as usize)
            );
            assert!(upright.bytes() == expected.as_bytes(), "{format} {orientation}");
        }
        // Red grows to the right and green downward in the file. By orientation 6 the file's left is above.
        let upright = read(6);
        let at = |row: usize, column: usize| &upright.bytes()[(row * 12 + column) * 3..][..3];
        assert!(at(0, 0)[0] < 30 && at(19, 0)[0] > 200 && at(0, 0)[1] > 190 && at(0, 11)[1] < 40, "{format}");
    }
}

/// What can't be read is an error that names it, or left out and counted, whether images are read at once or on demand.
#[cfg(unix)]
#[test]
fn links_to_nowhere_and_what_is_no_file_are_named_or_left_out() {
    let scratch = Scratch::new("bad-files");
    for i in 0..6 {
        colour(&scratch, &format!("in/{}/{i}.png", if i % 2 == 0 { "ant" } else { "bee" }), 30 * i);
    }
    let dir = scratch.join("in");
    type Make = fn(&Path);
    let spoilers: [(&str, &str, Make); 4] = [
        ("gone.png", "No such file", |path| std::os::unix::fs::symlink("nowhere.png", path).unwrap()),
        ("circle.jpg", "Too many levels", |path| std::os::unix::fs::symlink(path, path).unwrap()),
        ("pipe.webp", "is a FIFO, socket or device, not a file", |path| {
            assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
        }),
        ("device.bmp", "is a FIFO, socket or device, not a file", |path| {
            std::os::unix::fs::symlink("/dev/zero", path).unwrap();
        }),
    ];
    let plain = FolderOptions::default().test(0.0).validation(0.0);
    let expected = folder::read(&dir, &plain).unwrap().train;
    for (name, fault, make) in spoilers {
        let path = dir.join("bee").join(name);
        make(&path);
        for error in [folder::read(&dir, &plain).unwrap_err(), folder::open(&dir, &plain).unwrap_err()] {
            assert!(matches!(error, Error::Io { .. } | Error::Data { .. }));
            let text = error.to_string();
            assert!(text.contains(name) && text.contains(fault), "{text}");
        }
        let options = plain.clone().skip_bad(true);
        let (read, open) = (folder::read(&dir, &options).unwrap(), folder::open(&dir, &options).unwrap());
        assert_eq!(read.train, expected);
        assert_eq!(ImageSet::collect(&open.train).unwrap(), expected);
        for skipped in [read.skipped, open.skipped] {
            assert!(skipped.len() == 1 && skipped[0].to_string().contains(name), "{skipped:?}");
        }
        fs::remove_file(&path).unwrap();
    }
    // A file that may not be read, unless root asks.
    let path = dir.join("ant/locked.png");
    fs::copy(dir.join("ant/0.png"), &path).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    if fs::read(&path).is_err() {
        let text = folder::open(&dir, &plain).unwrap_err().to_string();
        assert!(text.contains("locked.png"), "{text}");
        assert_eq!(folder::read(&dir, &plain.skip_bad(true)).unwrap().train, expected);
    }
}

/// Compares odd files in the folder TILEGRAD_IMAGE_CASES with its expected.json.
#[test]
fn odd_files_are_what_their_list_says() {
    let Some(dir) = std::env::var_os("TILEGRAD_IMAGE_CASES").map(std::path::PathBuf::from) else { return };
    let list = fs::read(dir.join("expected.json")).unwrap();
    let list: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&list).unwrap();
    for (name, expected) in &list {
        let read = tilegrad::data::image_file(&dir.join(name), &Default::default());
        println!("{name}: {:?}", read.as_ref().map(|pixels| pixels.size()).map_err(Error::to_string));
        match expected {
            // In words: an error, or the picture that lies on its side.
            serde_json::Value::String(text) if text.starts_with("an error") => {
                let error = read.unwrap_err().to_string();
                assert!(error.contains(name) && (!text.contains("limit") || error.contains("the limit is")), "{error}");
            }
            serde_json::Value::String(_) => {
                let pixels = read.unwrap();
                assert_eq!(pixels.size(), ImageSize::new(40, 20, 3));
                let at = |row: usize| &pixels.bytes()[(row * 20 + 10) * 3..][..3];
                assert!(at(5)[0] > 200 && at(5)[2] < 60 && at(35)[2] > 200 && at(35)[0] < 60);
            }
            other => {
                let pixels = read.unwrap();
                let numbers = |key: &str| -> Option<Vec<i64>> {
                    Some(other.get(key)?.as_array()?.iter().filter_map(|number| number.as_i64()).collect())
                };
                let within = other["within"].as_i64().unwrap();
                let near = |seen: &[u8], wanted: &[i64]| {
                    assert!(
                        seen.iter().zip(wanted).all(|(&a, b)| (i64::from(a) - b).abs() <= within),
                        "{name}: {seen:?}"
                    );
                };
                if let Some(rgb) = numbers("rgb") {
                    pixels.bytes().chunks_exact(3).for_each(|seen| near(seen, &rgb));
                }
                if let Some(rgb) = numbers("rgb_at_0_0") {
                    near(&pixels.bytes()[..3], &rgb);
                }
                if let Some(size) = numbers("size") {
                    assert_eq!([pixels.size().width, pixels.size().height].map(|side| side as i64), size[..]);
                }
                if let Some(gray) = numbers("gray") {
                    // A ramp: each value is there.
                    gray.iter().for_each(|&gray| {
                        assert!(
                            pixels.bytes().iter().any(|&byte| (i64::from(byte) - gray).abs() <= within),
                            "{name}: {gray}"
                        );
                    });
                }
            }
        }
    }
    assert!(!list.is_empty());
}

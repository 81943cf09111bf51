//! Image files of every format: as Pillow reads and scales them, cut short, damaged, and claiming too much.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageFormat};
use serde_json::Value;
use tilegrad::Error;
use tilegrad::data::images::{MAX_PIXELS, Pixels, Scaler, decode, inspect};
use tilegrad::data::{ImageOptions, Resize, image_file};
use tilegrad::rng::Rng;
use tilegrad::shape::ImageSize;

use crate::common::scratch::Scratch;

/// A file with what Pillow makes of it.
struct Case {
    name: String,
    file: Vec<u8>,
    pixels: Pixels,
    scaled: Pixels,
}

fn numbers<const N: usize>(value: &Value) -> [usize; N] {
    let numbers: Vec<usize> = value.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
    numbers.try_into().unwrap()
}

fn pixels([height, width, channels]: [usize; 3], bytes: Vec<u8>) -> Pixels {
    Pixels::new(ImageSize::new(height, width, channels), bytes).unwrap()
}

impl Case {
    fn new(value: &Value, name: String, bytes: impl Fn(&str) -> Vec<u8>) -> Self {
        let [height, width, channels] = numbers(&value["size"]);
        let [rows, columns] = numbers(&value["to"]);
        Case {
            name,
            file: bytes("file"),
            pixels: pixels([height, width, channels], bytes("pixels")),
            scaled: pixels([rows, columns, channels], bytes("scaled")),
        }
    }

    /// Largest and mean difference of what is decoded and of what is scaled from Pillow's pixels.
    fn differences(&self) -> [(u8, f64); 2] {
        let decoded = read(&self.name, &self.file).unwrap();
        assert_eq!(inspect(Path::new("x"), &self.file, MAX_PIXELS).unwrap(), decoded.size(), "{}", self.name);
        // A palette that holds gray alone is colour here and gray to Pillow.
        let decoded = decoded.with_channels(self.pixels.size().channels).unwrap();
        assert_eq!(decoded.size(), self.pixels.size(), "{}", self.name);
        let size = self.scaled.size();
        let scaled = Scaler::new().resize(&self.pixels, Resize::stretch(size.height, size.width)).unwrap();
        [difference(&decoded, &self.pixels), difference(&scaled, &self.scaled)]
    }
}

fn read(name: &str, file: &[u8]) -> tilegrad::Result<Pixels> {
    decode(Path::new(name), file, MAX_PIXELS)
}

fn difference(a: &Pixels, b: &Pixels) -> (u8, f64) {
    let all = || a.bytes().iter().zip(b.bytes()).map(|(a, b)| a.abs_diff(*b));
    (all().max().unwrap(), all().map(f64::from).sum::<f64>() / a.bytes().len() as f64)
}

fn golden() -> Vec<Case> {
    let text = include_str!("../golden/images.json");
    let Value::Array(cases) = serde_json::from_str(text).unwrap() else { panic!("a list") };
    let hex =
        |text: &str| (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect();
    let case = |case: &Value| {
        let name = case["name"].as_str().unwrap().to_string();
        Case::new(case, name, |field| hex(case[field].as_str().unwrap()))
    };
    cases.iter().map(case).collect()
}

#[test]
fn files_of_every_kind_are_pillows() {
    for case in golden() {
        let [(decoded, mean), (scaled, _)] = case.differences();
        let lossy = case.file.starts_with(&[0xff, 0xd8]) || case.name == "webp";
        let (most, mean_most) = if lossy { (20, 0.5) } else { (0, 0.0) };
        assert!(decoded <= most && mean <= mean_most, "{}: up to {decoded}, mean {mean}", case.name);
        assert!(scaled <= 2, "{}: scaled up to {scaled}", case.name);
    }
}

/// Compares the files that tests/golden/images.py has written into the folder TILEGRAD_PILLOW_IMAGES.
#[test]
fn two_hundred_random_files_are_pillows() {
    let Some(dir) = std::env::var_os("TILEGRAD_PILLOW_IMAGES").map(PathBuf::from) else { return };
    let Value::Array(index) = serde_json::from_slice(&fs::read(dir.join("index.json")).unwrap()).unwrap() else {
        panic!("a list")
    };
    let mut worst = [(0, 0.0_f64); 3];
    for entry in &index {
        let stem = entry["name"].as_str().unwrap().trim_end_matches(".jpg");
        let kind = entry["kind"].as_str().unwrap();
        let ending = |field: &str| match field {
            "file" => "jpg",
            "pixels" => "raw",
            _ => "scaled",
        };
        let bytes = |field: &str| fs::read(dir.join(format!("{stem}.{}", ending(field)))).unwrap();
        let [decoded, scaled] = Case::new(entry, format!("{stem} {kind}"), bytes).differences();
        let place = if kind.starts_with("JPEG") || kind.starts_with("WEBP") { 0 } else { 1 };
        let allowed = if place == 0 { (20, 0.5) } else { (1, 0.01) };
        if decoded.0 > allowed.0 || decoded.1 > allowed.1 || scaled.0 > 2 {
            println!("{stem} {kind}: decoded {decoded:?}, scaled {scaled:?}");
        }
        for (place, found) in [(place, decoded), (2, scaled)] {
            worst[place] = (worst[place].0.max(found.0), worst[place].1.max(found.1));
        }
    }
    println!("lossy {:?}, lossless {:?}, scaled {:?} (largest, largest mean)", worst[0], worst[1], worst[2]);
    assert!(worst[0].0 <= 20 && worst[0].1 < 0.5 && worst[1].0 <= 1 && worst[2].0 <= 2);
}

/// The message for a file that is refused; it must name the file.
fn refusal(name: &str, file: &[u8]) -> Option<String> {
    match read(name, file) {
        Ok(_) => None,
        Err(Error::Data { path, message, .. }) => {
            assert_eq!(path, Path::new(name));
            assert!(message.starts_with("is no image that can be read: "), "{message}");
            Some(message)
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    for case in golden() {
        for length in 0..case.file.len() {
            assert!(refusal(&case.name, &case.file[..length]).is_some(), "{} cut to {length}", case.name);
        }
    }
}

#[test]
fn a_damaged_file_is_refused_or_has_its_size_and_never_panics() {
    let rng = Rng::new(1, "damage");
    for case in golden() {
        let checked = case.file.starts_with(b"\x89PNG");
        for round in 0..150 {
            let [at, bit, ..] = rng.words(round);
            let mut file = case.file.clone();
            let at = at as usize % file.len();
            file[at] ^= 1 << (bit % 8);
            match read(&case.name, &file) {
                // Only PNG has checksums.
                Ok(pixels) => {
                    assert!(!checked && pixels.bytes().len() == pixels.size().values(), "{}: byte {at}", case.name)
                }
                Err(error) => assert!(matches!(error, Error::Data { .. }), "{error}"),
            }
        }
    }
}

/// A picture of some detail.
fn picture(width: u32, height: u32) -> DynamicImage {
    let rng = Rng::new(3, "picture");
    let byte = |x: u32, y: u32, c: u64| (rng.words(u64::from(x / 4 * 977 + y / 4) * 3 + c)[0] >> 24) as u8;
    image::RgbImage::from_fn(width, height, |x, y| image::Rgb([byte(x, y, 0), byte(x, y, 1), byte(x, y, 2)])).into()
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

#[test]
fn a_jpeg_whose_data_end_early_is_refused_though_it_has_an_end() {
    let whole = encoded(&picture(160, 120), ImageFormat::Jpeg);
    assert!(refusal("whole.jpg", &whole).is_none());
    for part in [0.3, 0.5, 0.7] {
        let mut file = whole[..(whole.len() as f64 * part) as usize].to_vec();
        file.extend([0xff, 0xd9]);
        assert!(refusal("mended.jpg", &file).is_some(), "{part}");
    }
}

#[test]
fn what_a_header_claims_is_refused_before_memory_is_taken() {
    // As cases/claims_20000x20000.jpg: the header of another size over the data of a small image.
    let mut file = encoded(&picture(16, 16), ImageFormat::Jpeg);
    let at = file.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    let mut claim = |height: u16, width: u16| {
        file[at + 5..at + 7].copy_from_slice(&height.to_be_bytes());
        file[at + 7..at + 9].copy_from_slice(&width.to_be_bytes());
        refusal("claims.jpg", &file).unwrap()
    };
    let message = claim(20_000, 20_000);
    let expected = "it claims 20000x20000 pixels, the limit is 178956970 (--max-pixels raises it)";
    assert!(message.ends_with(expected), "{message}");
    assert!(claim(13_000, 13_000).contains("can't hold them"));
    assert!(claim(0, 16).contains("claims 16x0 pixels"));
    // PNG, BMP and PNM.
    for (format, at, big_endian) in [(ImageFormat::Png, 16, true), (ImageFormat::Bmp, 18, false)] {
        let mut file = encoded(&picture(16, 16), format);
        let side = 30_000_u32;
        let side = if big_endian { side.to_be_bytes() } else { side.to_le_bytes() };
        file[at..at + 4].copy_from_slice(&side);
        file[at + 4..at + 8].copy_from_slice(&side);
        if format == ImageFormat::Png {
            let mut crc = flate2::Crc::new();
            crc.update(&file[12..29]);
            file[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        }
        let message = refusal("claims", &file).unwrap();
        assert!(message.contains("claims 30000x30000 pixels"), "{message}");
    }
    assert!(refusal("claims.ppm", b"P6 30000 30000 255\n123").unwrap().contains("claims 30000x30000"));
    // The option raises it, and lowers it.
    let scratch = Scratch::new("claims");
    let path = scratch.write("ten.png", encoded(&picture(10, 10), ImageFormat::Png));
    assert!(image_file(&path, &ImageOptions::default().max_pixels(100)).is_ok());
    let error = image_file(&path, &ImageOptions::default().max_pixels(99)).unwrap_err().to_string();
    assert!(error.contains("ten.png") && error.contains("10x10 pixels, the limit is 99"), "{error}");
}

#[test]
fn what_is_no_regular_file_is_never_opened() {
    let scratch = Scratch::new("special");
    let error = image_file(&scratch, &ImageOptions::default()).unwrap_err().to_string();
    assert!(error.ends_with("is a folder, not a file"), "{error}");
    let missing = image_file(&scratch.join("none.png"), &ImageOptions::default());
    assert!(matches!(missing, Err(Error::Io { .. })), "{missing:?}");
    #[cfg(unix)]
    {
        let fifo = scratch.join("fifo.png");
        if std::process::Command::new("mkfifo").arg(&fifo).status().is_ok_and(|status| status.success()) {
            let error = image_file(&fifo, &ImageOptions::default()).unwrap_err().to_string();
            assert!(error.ends_with("is a FIFO, socket or device, not a file"), "{error}");
        }
        let error = image_file(Path::new("/dev/zero"), &ImageOptions::default()).unwrap_err().to_string();
        assert!(error.contains("device, not a file"), "{error}");
        std::os::unix::fs::symlink(scratch.join("gone.png"), scratch.join("broken.png")).unwrap();
        let broken = image_file(&scratch.join("broken.png"), &ImageOptions::default());
        assert!(matches!(broken, Err(Error::Io { path, .. }) if path.ends_with("broken.png")));
    }
}

#[test]
fn a_box_of_a_photo_is_scaled_as_if_it_had_been_cut_out() {
    let whole = pixels([40, 60, 3], picture(60, 40).into_bytes());
    let part = pixels([20, 30, 3], picture(60, 40).crop_imm(15, 10, 30, 20).into_bytes());
    let mut scaler = Scaler::new();
    let expected = scaler.resize(&part, Resize::stretch(8, 9)).unwrap();
    assert_eq!(scaler.crop(&whole, [0.25, 0.25, 0.5, 0.5], [8, 9]).unwrap(), expected);
    // Nothing outside the image is asked for.
    for fractions in [[0.9, 0.9, 0.5, 0.5], [1.5, -2.0, 9.0, 0.0], [f64::NAN; 4]] {
        assert_eq!(scaler.crop(&whole, fractions, [3, 4]).unwrap().size(), ImageSize::new(3, 4, 3));
    }
}

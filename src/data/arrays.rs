//! Arrays as data sets: NumPy's .npz files, or .npy files in a folder.
//!
//! An array's name says its part and what it holds: `x_train` and `y_train`, `train_images` and `train_labels`, `images`
//! and `labels`, with `test` and `val` for the other parts. Images are [N, H, W], [N, H, W, C] or [N, C, H, W] with 1 or 3
//! channels: whole numbers from 0 to 255, or floats in 0..1 or 0..255. Labels are whole numbers, [N] or [N, 1].

use std::fs;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::label_map::LabelMap;
use super::npy::{Array, Kind};
use super::pixels::{channels_last, size_of};
use super::split::DataPart;
use super::whole::Whole;
use super::{ImageSet, folder};
use crate::error::{Error, Result, printable};
use crate::files::{most_expanded, open_regular};
use crate::shape::ImageSize;

/// Words that say what an array holds, in small letters.
const IMAGES: [&str; 6] = ["x", "images", "image", "imgs", "data", "inputs"];
const LABELS: [&str; 7] = ["y", "labels", "label", "targets", "target", "classes", "class"];
/// Words that say the part, long ones first.
const PARTS: [(&str, DataPart); 8] = [
    ("training", DataPart::Train),
    ("train", DataPart::Train),
    ("validation", DataPart::Validation),
    ("valid", DataPart::Validation),
    ("val", DataPart::Validation),
    ("dev", DataPart::Validation),
    ("testing", DataPart::Test),
    ("test", DataPart::Test),
];

/// What an array holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Images,
    Labels,
}

/// The part and the content that the name of an array says.
fn role(name: &str) -> Option<(DataPart, Role)> {
    let name = name.to_lowercase();
    let separator = ['_', '-', '.', ' '];
    let divided = PARTS.iter().find_map(|(word, part)| {
        let rest = name.strip_suffix(word).or_else(|| name.strip_prefix(word))?;
        Some((*part, rest.trim_matches(separator)))
    });
    let (part, what) = divided.unwrap_or((DataPart::Train, name.as_str()));
    match () {
        () if IMAGES.contains(&what) => Some((part, Role::Images)),
        () if LABELS.contains(&what) => Some((part, Role::Labels)),
        () => None,
    }
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending))
}

/// True if the file at `path` may hold arrays.
pub(super) fn is_file(path: &Path) -> bool {
    has_ending(path, "npz") || has_ending(path, "npy")
}

/// True if a folder with these names has one .npz file.
pub(super) fn has_one_file(names: &[String]) -> bool {
    names.iter().filter(|name| has_ending(Path::new(name), "npz")).count() == 1
}

/// True if a folder with these names has an array of images.
pub(super) fn has_images(names: &[String]) -> bool {
    let images = |name: &String| {
        let path = Path::new(name);
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        has_ending(path, "npy") && role(&stem).is_some_and(|(_, role)| role == Role::Images)
    };
    names.iter().any(images)
}

/// Reads the data set in the .npz file or the folder at `path`. [`Error::Data`] names the file and the array at fault.
pub(super) fn read(path: &Path) -> Result<Whole> {
    let named = if path.is_dir() {
        let mut files: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(path).map_err(|error| Error::io(path, error))? {
            files.push(entry.map_err(|error| Error::io(path, error))?.path());
        }
        files.sort();
        match files.iter().any(|file| has_ending(file, "npy")) {
            true => of_folder(files)?,
            false => match files.iter().find(|file| has_ending(file, "npz")) {
                Some(file) => of_zip(file)?,
                None => Vec::new(),
            },
        }
    } else if has_ending(path, "npy") {
        let message = "is one array; name the folder that holds it together with the labels, or a .npz file of both";
        return Err(Error::data(path, message));
    } else {
        of_zip(path)?
    };
    Arrays { path, named }.whole()
}

/// The arrays of the .npy files among these.
fn of_folder(files: Vec<PathBuf>) -> Result<Vec<(String, Array)>> {
    let mut arrays = Vec::new();
    for path in files.into_iter().filter(|path| has_ending(path, "npy")) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if role(&name).is_none() {
            continue;
        }
        let (file, length) = open_regular(&path)?;
        arrays.push((name, array(&path, "", &mut BufReader::new(file), length)?));
    }
    Ok(arrays)
}

/// The arrays of a .npz file, which is a zip archive of .npy files.
fn of_zip(path: &Path) -> Result<Vec<(String, Array)>> {
    let (file, length) = open_regular(path)?;
    let broken = |error| Error::data(path, format!("is no .npz file that can be read: {error}"));
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(broken)?;
    let (mut arrays, mut others) = (Vec::new(), Vec::new());
    // All arrays together, since entries of an archive may share their bytes.
    let mut most = most_expanded(length);
    for i in 0..archive.len() {
        let mut entry = archive.by_index(i).map_err(broken)?;
        let full = entry.name().map_err(broken)?.into_owned();
        let name = full.strip_suffix(".npy").unwrap_or(&full);
        if role(name).is_none() {
            others.push(name.to_string());
            continue;
        }
        let array = array(path, name, &mut entry, most)?;
        most -= array.bytes.len() as u64;
        arrays.push((name.to_string(), array));
    }
    if arrays.is_empty() {
        let message = format!(
            "holds the arrays {}, and none is called as images are: x_train, train_images, x, images or the like",
            folder::some_of(&others)
        );
        return Err(Error::data(path, message));
    }
    Ok(arrays)
}

/// Reads an array of at most `most` bytes; errors name it, if it has a name in the file.
fn array(path: &Path, name: &str, reader: &mut dyn Read, most: u64) -> Result<Array> {
    Array::read(reader, most).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput => {
            let name = if name.is_empty() { String::new() } else { format!("array {}: ", printable(name)) };
            Error::data(path, format!("{name}{error}"))
        }
        _ => Error::io(path, error),
    })
}

/// The arrays of a data set, by name.
struct Arrays<'a> {
    path: &'a Path,
    named: Vec<(String, Array)>,
}

/// Images and labels of a part.
struct Pair {
    images: (String, Array),
    labels: (String, Array),
}

impl Arrays<'_> {
    fn wrong(&self, name: &str, message: impl std::fmt::Display) -> Error {
        Error::data(self.path, format!("array {}: {message}", printable(name)))
    }

    fn whole(mut self) -> Result<Whole> {
        let Some(train) = self.pair(DataPart::Train)? else {
            return Err(Error::data(self.path, "has no images to train on: x_train, train_images, x or images"));
        };
        let validation = self.pair(DataPart::Validation)?;
        let test = self.pair(DataPart::Test)?;
        let (scale, notes) = self.scale([Some(&train), validation.as_ref(), test.as_ref()])?;
        let labels = LabelMap::new(self.labels(&train)?);
        if labels.len() < 2 {
            let message = format!("has one class only, the label {}; at least two are needed", labels.text());
            return Err(self.wrong(&train.labels.0, message));
        }
        let counted = labels.names().iter().enumerate().all(|(i, name)| *name == i.to_string());
        let mut size: Option<(ImageSize, String)> = None;
        let mut set = |pair: Pair| -> Result<ImageSet> {
            let name = pair.images.0.clone();
            let set = self.set(pair, &labels, scale)?;
            let found = set.image_size();
            let (first, of) = size.get_or_insert_with(|| (found, name.clone()));
            if found != *first {
                return Err(self.wrong(&name, format!("has images of {found}, but {of} has images of {first}")));
            }
            if counted { Ok(set) } else { set.named(labels.names()) }
        };
        let train = set(train)?;
        let (validation, test) = (validation.map(&mut set).transpose()?, test.map(&mut set).transpose()?);
        Ok(Whole { train, validation, test, notes })
    }

    /// Takes the two arrays of a part, if there are any.
    fn pair(&mut self, part: DataPart) -> Result<Option<Pair>> {
        let images = self.take(part, Role::Images)?;
        let labels = self.take(part, Role::Labels)?;
        match (images, labels) {
            (None, None) => Ok(None),
            (Some(images), Some(labels)) => Ok(Some(Pair { images, labels })),
            (Some((name, _)), None) => Err(self.wrong(&name, "has no labels beside it, such as y_train or labels")),
            (None, Some((name, _))) => Err(self.wrong(&name, "has no images beside it, such as x_train or images")),
        }
    }

    fn take(&mut self, part: DataPart, wanted: Role) -> Result<Option<(String, Array)>> {
        let is = |(name, _): &(String, Array)| role(name) == Some((part, wanted));
        let Some(at) = self.named.iter().position(is) else { return Ok(None) };
        let found = self.named.remove(at);
        match self.named.iter().find(|array| is(array)) {
            Some((other, _)) => {
                Err(self.wrong(other, format!("holds the same as {}; keep one of them", printable(&found.0))))
            }
            None => Ok(Some(found)),
        }
    }

    /// The factor that brings pixels to 0..255, by the range of all of them, and what is said of it.
    fn scale(&self, pairs: [Option<&Pair>; 3]) -> Result<(f64, Vec<String>)> {
        let (mut floats, mut most) = (false, 0.0_f64);
        for pair in pairs.into_iter().flatten() {
            let (name, array) = &pair.images;
            if array.kind == Kind::Unsigned(1) {
                continue;
            }
            floats |= matches!(array.kind, Kind::Float(_));
            for (i, value) in array.numbers().enumerate() {
                if !(0.0..=255.0).contains(&value) {
                    let message = format!("value {i} is {value}; pixels must be 0 to 1 or 0 to 255, not normalised");
                    return Err(self.wrong(name, message));
                }
                most = most.max(value);
            }
        }
        if !floats {
            return Ok((1.0, Vec::new()));
        }
        let scale = if most <= 1.0 { 255.0 } else { 1.0 };
        let inexact = pairs.into_iter().flatten().any(|pair| {
            // A float in 0..1 stands for the next byte if it is that byte's nearest float.
            pair.images.1.numbers().any(|value| (value * scale - (value * scale).round()).abs() > 1e-4)
        });
        let range = if scale == 1.0 { "0..255" } else { "0..1" };
        let rounded = if inexact { ", rounded to 256 steps" } else { "" };
        Ok((scale, vec![format!("pixels are floats, taken as {range}{rounded}")]))
    }

    fn labels(&self, pair: &Pair) -> Result<Vec<i64>> {
        let (name, array) = &pair.labels;
        let flat = matches!(array.shape.as_slice(), [_] | [_, 1]);
        if !flat {
            let hint = if array.shape.len() == 2 { "; of one-hot rows take the argmax" } else { "" };
            let message = format!("has the shape {:?}, labels are [N] or [N, 1]{hint}", array.shape);
            return Err(self.wrong(name, message));
        }
        if !matches!(array.kind, Kind::Signed(_) | Kind::Unsigned(_)) {
            return Err(self.wrong(name, format!("has the type {}, labels are whole numbers", array.kind)));
        }
        let labels: Option<Vec<i64>> = array.integers().collect();
        let labels = labels.ok_or_else(|| self.wrong(name, "has a label beyond 63 bits"))?;
        let images = pair.images.1.shape.first().copied().unwrap_or(0);
        if labels.len() != images {
            let message = format!("holds {} labels, but {} holds {images} images", labels.len(), pair.images.0);
            return Err(self.wrong(name, message).between(images, labels.len()));
        }
        Ok(labels)
    }

    fn set(&self, pair: Pair, map: &LabelMap, scale: f64) -> Result<ImageSet> {
        let mut classes = Vec::new();
        for (i, label) in self.labels(&pair)?.into_iter().enumerate() {
            let class = map.class(label).ok_or_else(|| {
                let message = format!("label {i} is {label}, the labels to train on are {}", map.text());
                self.wrong(&pair.labels.0, message)
            })?;
            classes.push(class);
        }
        let (name, array) = pair.images;
        let (size, axes) =
            size_of(array.shape.get(1..).unwrap_or_default()).map_err(|fault| self.wrong(&name, fault))?;
        let bytes = match array.kind {
            Kind::Unsigned(1) => array.bytes,
            _ => array.numbers().map(|value| (value * scale).round() as u8).collect(),
        };
        ImageSet::new(channels_last(bytes, size, axes), classes, size, map.len())
            .map_err(|error| self.wrong(&name, error))
    }
}

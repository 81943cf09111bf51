//! IDX, the file format of MNIST, Fashion-MNIST and EMNIST, plain or compressed by gzip.
//!
//! A file is a big-endian magic number (two zero bytes, the element type, the number of extents), one 32-bit extent per
//! axis, and the elements. Images are 0x00000803 (bytes, three extents: count, rows, columns) or 0x00000804 with the
//! channels as last or first extent of an image, labels 0x00000801. Source: LeCun, Cortes, Burges, "The MNIST database
//! of handwritten digits", section on file formats.
//!
//! EMNIST's images are stored with rows and columns exchanged. They are read as they are stored, as torchvision does.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::label_map::LabelMap;
use super::pixels::{Axes, channels_last, size_of};
use super::{ImageSet, Normalisation};
use crate::error::{Error, Result, printable};
use crate::files::{most_expanded, open_regular};
use crate::shape::ImageSize;

const IMAGES: u32 = 0x0803;
const IMAGES_WITH_CHANNELS: u32 = 0x0804;
const LABELS: u32 = 0x0801;
/// Bytes before the labels.
const LABELS_AT: usize = 8;
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Names of MNIST's classes, by index.
pub const MNIST_CLASS_NAMES: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
/// Names of Fashion-MNIST's classes, by index. Source: Xiao, Rasul, Vollgraf, "Fashion-MNIST", 2017, table 2.
pub const FASHION_MNIST_CLASS_NAMES: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];
/// Labels of the first test images, which distinguish the two sets: their files have the same names and sizes.
const MNIST_FIRST: [u8; 10] = [7, 2, 1, 0, 4, 1, 4, 9, 5, 9];
const FASHION_MNIST_FIRST: [u8; 10] = [9, 2, 1, 1, 6, 1, 4, 6, 5, 7];
/// EMNIST's sets: the part of the files' names, the first label, and a character for each class. Source: Cohen, Afshar,
/// Tapson, van Schaik, "EMNIST: an extension of MNIST to handwritten letters", 2017, and the mapping files of the set.
const EMNIST: [(&str, u8, &str); 6] = [
    ("balanced", 0, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"),
    ("bymerge", 0, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"),
    ("byclass", 0, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
    ("letters", 1, "abcdefghijklmnopqrstuvwxyz"),
    ("digits", 0, "0123456789"),
    ("mnist", 0, "0123456789"),
];
/// Largest valid extent; a larger one means a broken header. 28 is usual.
const MAX_EXTENT: u32 = 4096;
/// Beginnings of the names of training and of test files.
const HALVES: [&[&str]; 2] = [&["train"], &["t10k", "test"]];

/// Reads the training and the test set from the folder `dir`, or of the one IDX file of images that `dir` names.
///
/// Looks for `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
/// `t10k-labels-idx1-ubyte` (or `test-`), also with a dot before `idx`, with `idx4`, each also with `.gz`, and all with
/// the same beginning, as `emnist-letters-`. Compression is recognised by a file's first bytes.
///
/// There is a class for each label that occurs in training. Classes have names if the set is known (MNIST and
/// Fashion-MNIST by the first test labels, EMNIST by the files' names); if their labels are not 0, 1, 2.., the labels
/// are their names. Returns [`Error::Io`] if the system refuses a file, else [`Error::Data`] with the file and its
/// fault.
pub fn read(dir: &Path) -> Result<(ImageSet, ImageSet)> {
    let Found { train, test, .. } = find_and_read(dir)?;
    Ok((train, test))
}

/// A set of IDX files.
pub(super) struct Found {
    pub train: ImageSet,
    pub test: ImageSet,
    /// Name of a known set.
    pub name: Option<String>,
    pub normalisation: Option<Normalisation>,
}

/// A known set.
struct Known {
    name: String,
    first: u8,
    names: Vec<String>,
    normalisation: Option<Normalisation>,
}

/// True if a file of this name may be part of such a set.
pub(super) fn is_named(name: &str) -> bool {
    prefix(name).is_some()
}

/// What stands before "train" or "test" in the name of a file.
fn prefix(name: &str) -> Option<&str> {
    let (stem, _) = name.split_once("idx").filter(|(_, kind)| kind.contains("ubyte"))?;
    let stem = stem.strip_suffix(['-', '.'])?;
    let stem = stem.strip_suffix("images").or_else(|| stem.strip_suffix("labels"))?.strip_suffix('-')?;
    HALVES.concat().into_iter().find_map(|half| stem.strip_suffix(half))
}

/// Reads the set as [`read`] does.
pub(super) fn find_and_read(path: &Path) -> Result<Found> {
    let (dir, prefix) = place(path)?;
    let (train, test) = (read_half(&dir, &prefix, 0)?, read_half(&dir, &prefix, 1)?);
    let sizes = |half: &Half| format!("holds images of {}", half.size);
    if train.size != test.size {
        let message = format!("{}, but {} {}", sizes(&test), printable(&train.images_path), sizes(&train));
        return Err(Error::data(&test.images_path, message));
    }
    let known = known(&prefix, &test.labels);
    let labels = match &known {
        Some(Known { first, names, .. }) => LabelMap::new((0..names.len()).map(|i| i as i64 + i64::from(*first))),
        None => LabelMap::new(train.labels.iter().map(|&label| i64::from(label))),
    };
    if labels.len() < 2 {
        let message = format!("has one class only, the label {}; at least two are needed", labels.text());
        return Err(Error::data(&train.labels_path, message));
    }
    let counted = labels.names().iter().enumerate().all(|(i, name)| *name == i.to_string());
    let names = known.as_ref().map(|known| known.names.clone()).or_else(|| (!counted).then(|| labels.names()));
    let [train, test] = [train, test].map(|half| half.set(&labels, names.as_ref()));
    let normalisation = known.as_ref().and_then(|known| known.normalisation);
    Ok(Found { train: train?, test: test?, name: known.map(|known| known.name), normalisation })
}

/// The folder and the beginning of the files' names.
fn place(path: &Path) -> Result<(PathBuf, String)> {
    let metadata = fs::metadata(path).map_err(|e| Error::io(path, e))?;
    if !metadata.is_dir() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        return match (prefix(&name), path.parent()) {
            (Some(prefix), Some(dir)) => Ok((dir.to_path_buf(), prefix.to_string())),
            _ => Err(Error::data(path, "is not a folder; name the folder that holds the IDX files")),
        };
    }
    let mut prefixes = BTreeSet::new();
    for entry in fs::read_dir(path).map_err(|e| Error::io(path, e))? {
        let name = entry.map_err(|e| Error::io(path, e))?.file_name();
        prefixes.extend(prefix(&name.to_string_lossy()).map(String::from));
    }
    if prefixes.len() > 1 {
        let names: Vec<String> = prefixes.iter().map(|prefix| printable(format!("{prefix}train-images.."))).collect();
        let message = format!("holds several sets: name the file of one's training images, {}", names.join(" or "));
        return Err(Error::data(path, message));
    }
    Ok((path.to_path_buf(), prefixes.pop_first().unwrap_or_default()))
}

fn known(prefix: &str, test: &[u8]) -> Option<Known> {
    if let Some(kind) = prefix.strip_prefix("emnist-").and_then(|rest| rest.strip_suffix('-')) {
        let (kind, first, names) = EMNIST.into_iter().find(|(name, ..)| *name == kind)?;
        let names = names.chars().map(String::from).collect();
        return Some(Known { name: format!("EMNIST {kind}"), first, names, normalisation: None });
    }
    let (name, names, normalisation) = match test.get(..10)? {
        first if first == MNIST_FIRST => ("MNIST", MNIST_CLASS_NAMES, Normalisation::MNIST),
        first if first == FASHION_MNIST_FIRST => {
            ("Fashion-MNIST", FASHION_MNIST_CLASS_NAMES, Normalisation::FASHION_MNIST)
        }
        _ => return None,
    };
    let names = names.map(String::from).to_vec();
    Some(Known { name: name.into(), first: 0, names, normalisation: Some(normalisation) })
}

/// The training or the test files.
struct Half {
    images: Vec<u8>,
    labels: Vec<u8>,
    size: ImageSize,
    images_path: PathBuf,
    labels_path: PathBuf,
}

impl Half {
    fn set(self, labels: &LabelMap, names: Option<&Vec<String>>) -> Result<ImageSet> {
        let mut classes = Vec::with_capacity(self.labels.len());
        for (i, &label) in self.labels.iter().enumerate() {
            classes.push(labels.class(i64::from(label)).ok_or_else(|| {
                let (at, known) = (LABELS_AT + i, labels.text());
                let message = format!("label {i}, at offset {at}, is {label}, the labels to train on are {known}");
                Error::data(&self.labels_path, message)
            })?);
        }
        let set = ImageSet::new(self.images, classes, self.size, labels.len())?;
        match names {
            Some(names) => set.named(names.iter().cloned()),
            None => Ok(set),
        }
    }
}

/// Reads the files of a half.
fn read_half(dir: &Path, prefix: &str, half: usize) -> Result<Half> {
    let images_path = find(dir, prefix, half, "images", &["idx3-ubyte", "idx4-ubyte"])?;
    let labels_path = find(dir, prefix, half, "labels", &["idx1-ubyte"])?;
    let images = read_file(&images_path, &[IMAGES, IMAGES_WITH_CHANNELS])?;
    let labels = read_file(&labels_path, &[LABELS])?;
    let (found, expected) = (labels.extents[0], images.extents[0]);
    if found != expected {
        let other = printable(&images_path);
        let message = format!("holds {found} labels, but {other} holds {expected} images");
        return Err(Error::data(labels_path, message).between(expected as usize, found as usize));
    }
    let extents: Vec<usize> = images.extents[1..].iter().map(|&extent| extent as usize).collect();
    let (size, axes): (ImageSize, Axes) = size_of(&extents).map_err(|fault| Error::data(&images_path, fault))?;
    Ok(Half { images: channels_last(images.bytes, size, axes), labels: labels.bytes, size, images_path, labels_path })
}

/// Finds a file of a half, in any accepted spelling.
fn find(dir: &Path, prefix: &str, half: usize, what: &str, kinds: &[&str]) -> Result<PathBuf> {
    let mut names = Vec::new();
    for (half, kind) in HALVES[half].iter().flat_map(|half| kinds.iter().map(move |kind| (half, kind))) {
        for end in [format!("-{kind}"), format!("-{kind}.gz"), format!(".{kind}"), format!(".{kind}.gz")] {
            names.push(format!("{prefix}{half}-{what}{end}"));
        }
    }
    names.iter().map(|name| dir.join(name)).find(|path| path.is_file()).ok_or_else(|| {
        let stem = format!("{prefix}{}-{what}", HALVES[half][0]);
        Error::data(dir, format!("has no file with {stem}; looked for {}", names.join(", ")))
    })
}

/// The contents of one file.
struct Contents {
    /// Count, and for images rows, columns and channels.
    extents: Vec<u32>,
    bytes: Vec<u8>,
}

/// Reads the file at `path`, whose magic number must be one of `magic`.
fn read_file(path: &Path, magic: &[u32]) -> Result<Contents> {
    let (file, length) = open_regular(path)?;
    let mut file = BufReader::new(file);
    let gzip = file.fill_buf().map_err(|error| Error::io(path, error))?.starts_with(&GZIP);
    let most = if gzip { most_expanded(length) } else { length };
    let reader: Box<dyn Read> = if gzip {
        // Some tools write several gzip members in a row; a plain GzDecoder would stop after the first.
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    Stream { path, reader, gzip, most }.contents(magic)
}

/// The decompressed bytes of a file, with the context for errors.
struct Stream<'a> {
    path: &'a Path,
    reader: Box<dyn Read>,
    gzip: bool,
    /// Most bytes that are read of it.
    most: u64,
}

impl Stream<'_> {
    fn contents(mut self, magic: &[u32]) -> Result<Contents> {
        let [found] = self.words("magic number")?;
        if !magic.contains(&found) {
            return Err(self.wrong(format!(
                "magic number at offset 0 is {found:#010x} ({}), expected {:#010x} ({})",
                meaning(found),
                magic[0],
                meaning(magic[0])
            )));
        }
        let extents = match found {
            IMAGES => self.words::<3>("count, rows and columns")?.to_vec(),
            IMAGES_WITH_CHANNELS => self.words::<4>("count, rows, columns and channels")?.to_vec(),
            _ => self.words::<1>("count")?.to_vec(),
        };
        if extents[0] == 0 {
            return Err(self.wrong("header says 0 items, a data set needs at least 1"));
        }
        for (name, &extent) in ["rows", "columns", "channels"].into_iter().zip(&extents[1..]) {
            if !(1..=MAX_EXTENT).contains(&extent) {
                return Err(self.wrong(format!("header says {extent} {name}, allowed are 1..={MAX_EXTENT}")));
            }
        }
        let expected = extents.iter().try_fold(1_u64, |product, &extent| product.checked_mul(u64::from(extent)));
        let Some(expected) = expected else { return Err(self.wrong("header says more bytes than there can be")) };
        let bytes = self.take(expected)?;
        let most = self.most.saturating_sub(bytes.len() as u64);
        let rest = io::copy(&mut (&mut self.reader).take(most), &mut io::sink()).map_err(|e| self.failure(e))?;
        let held = bytes.len() as u64 + rest;
        if self.gzip && (held < expected || rest > 0) && held >= self.most {
            return Err(self.wrong(format!(
                "gzip data expand to more than {} bytes, the most that is read of a file of this length; \
                 gunzip it, if it is what it should be",
                self.most
            )));
        }
        if held != expected {
            let what = match extents[..] {
                [count, rows, columns] => format!("{count} images of {rows}x{columns}"),
                [count, a, b, c] => format!("{count} images of {a}x{b}x{c}"),
                _ => format!("{} labels", extents[0]),
            };
            let fault = if rest > 0 { "too long" } else { "truncated" };
            return Err(self.wrong(format!(
                "{fault}: header says {what} = {expected} bytes, the file holds {held} after the header"
            )));
        }
        Ok(Contents { extents, bytes })
    }

    /// Reads the next `N` big-endian words of the header. `field` names them in errors.
    fn words<const N: usize>(&mut self, field: &str) -> Result<[u32; N]> {
        let mut words = [0; N];
        for word in &mut words {
            let bytes = self
                .take(4)?
                .try_into()
                .map_err(|_| self.wrong(format!("truncated: the file ends in the header ({field})")))?;
            *word = u32::from_be_bytes(bytes);
        }
        Ok(words)
    }

    /// Reads the next `limit` bytes, or as many as there are. A header that overstates the size costs no memory beyond
    /// the limit.
    fn take(&mut self, limit: u64) -> Result<Vec<u8>> {
        let limit = limit.min(self.most);
        // At once: a vector that grows may take twice as much.
        let mut bytes = Vec::with_capacity(limit as usize);
        let result = (&mut self.reader).take(limit).read_to_end(&mut bytes);
        result.map_err(|e| self.failure(e))?;
        Ok(bytes)
    }

    fn wrong(&self, message: impl Into<String>) -> Error {
        Error::data(self.path, message)
    }

    /// The error of a failed read: a system error for a plain file, nearly always bad content for a compressed one.
    fn failure(&self, error: io::Error) -> Error {
        use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        match error.kind() {
            InvalidData | InvalidInput | UnexpectedEof if self.gzip => {
                self.wrong(format!("gzip data is corrupt or ends early: {error}; fetch or unpack the file again"))
            }
            _ => Error::io(self.path, error),
        }
    }
}

/// Describes the files with this magic number.
fn meaning(magic: u32) -> &'static str {
    match magic {
        IMAGES | IMAGES_WITH_CHANNELS => "images",
        LABELS => "labels",
        _ if [IMAGES, IMAGES_WITH_CHANNELS, LABELS].contains(&magic.swap_bytes()) => "bytes in reverse order",
        _ => "neither images nor labels",
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    /// A folder owned by one test and removed when the test ends.
    struct Folder(PathBuf);

    impl Folder {
        /// Three training and two test images of 2x3, with a label each, under the usual names.
        fn new(test: &str) -> Self {
            let name = format!("tilegrad-idx-{}-{test}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            let folder = Folder(path);
            folder.write(TRAIN_IMAGES, &idx(IMAGES, &[3, 2, 3], 18));
            folder.write(TRAIN_LABELS, &idx(LABELS, &[3], 3));
            folder.write("t10k-images-idx3-ubyte", &idx(IMAGES, &[2, 2, 3], 12));
            folder.write("t10k-labels-idx1-ubyte", &idx(LABELS, &[2], 2));
            folder
        }

        fn write(&self, name: &str, bytes: &[u8]) {
            fs::write(self.0.join(name), bytes).unwrap();
        }

        /// Replaces a file by its compressed form, in `members` gzip members, under the name `to`.
        fn compress(&self, from: &str, to: &str, members: usize) {
            let bytes = fs::read(self.0.join(from)).unwrap();
            fs::remove_file(self.0.join(from)).unwrap();
            let parts = bytes.chunks(bytes.len().div_ceil(members)).map(gzip);
            self.write(to, &parts.collect::<Vec<_>>().concat());
        }

        /// Returns the message of the Data error from reading, after checking that it blames the file `name`.
        fn fault(&self, name: &str) -> String {
            match read(&self.0) {
                Err(Error::Data { path, message, .. }) => {
                    assert_eq!(path, self.0.join(name), "{message}");
                    message
                }
                other => panic!("expected a Data error, got {other:?}"),
            }
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const TRAIN_IMAGES: &str = "train-images-idx3-ubyte";
    const TRAIN_LABELS: &str = "train-labels-idx1-ubyte";

    /// A file with `body` elements that count up from 0.
    fn idx(magic: u32, extents: &[u32], body: u8) -> Vec<u8> {
        let header = [&[magic], extents].concat();
        let header = header.into_iter().flat_map(u32::to_be_bytes);
        header.chain(0..body).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn plain_and_compressed_files_in_every_spelling_give_the_same_sets() {
        let folder = Folder::new("equal");
        let (training, test) = read(&folder.0).unwrap();
        assert_eq!((training.len(), test.len()), (3, 2));
        assert_eq!((training.height, training.width), (2, 3));
        assert_eq!((training.channels, training.classes), (1, 3));
        assert_eq!(training.image(1), [6, 7, 8, 9, 10, 11]);
        assert_eq!(training.labels, [0, 1, 2]);
        folder.compress(TRAIN_IMAGES, "train-images.idx3-ubyte.gz", 1);
        // Compressed without a matching file name, and in two members.
        folder.compress(TRAIN_LABELS, TRAIN_LABELS, 2);
        let from = folder.0.join("t10k-images-idx3-ubyte");
        fs::rename(from, folder.0.join("t10k-images.idx3-ubyte")).unwrap();
        folder.compress("t10k-labels-idx1-ubyte", "t10k-labels-idx1-ubyte.gz", 1);
        assert_eq!(read(&folder.0).unwrap(), (training, test));
    }

    #[test]
    fn a_folder_that_is_not_there_or_lacks_a_file_is_named() {
        let folder = Folder::new("missing");
        let nowhere = folder.0.join("nowhere");
        assert!(matches!(read(&nowhere), Err(Error::Io { path, .. }) if path == nowhere));
        folder.write("notes.txt", b"no set");
        let refused = read(&folder.0.join("notes.txt")).unwrap_err().to_string();
        assert!(refused.contains("is not a folder"), "{refused}");
        fs::remove_file(folder.0.join(TRAIN_LABELS)).unwrap();
        let message = folder.fault("");
        assert!(message.contains("train-labels-idx1-ubyte, "), "{message}");
        assert!(message.contains("train-labels.idx1-ubyte.gz"), "{message}");
    }

    #[test]
    fn the_first_test_labels_say_which_set_it_is() {
        let folder = Folder::new("names");
        assert!(read(&folder.0).unwrap().0.class_names.is_empty());
        let named = |first: [u8; 10]| {
            folder.write("t10k-images-idx3-ubyte", &idx(IMAGES, &[10, 2, 3], 60));
            let labels = [&idx(LABELS, &[10], 0)[..], &first].concat();
            folder.write("t10k-labels-idx1-ubyte", &labels);
            folder.write(TRAIN_IMAGES, &idx(IMAGES, &[10, 2, 3], 60));
            folder.write(TRAIN_LABELS, &idx(LABELS, &[10], 10));
            let (training, test) = read(&folder.0).unwrap();
            assert_eq!(training.class_names, test.class_names);
            test.class_names
        };
        assert_eq!(named(MNIST_FIRST), MNIST_CLASS_NAMES);
        assert_eq!(named(FASHION_MNIST_FIRST), FASHION_MNIST_CLASS_NAMES);
        assert!(named([7, 2, 1, 0, 4, 1, 4, 9, 5, 8]).is_empty());
    }

    #[test]
    fn broken_files_are_refused_with_expected_and_found() {
        let folder = Folder::new("broken");
        let refused = |name: &str, bytes: Vec<u8>, expected: &str| {
            let whole = fs::read(folder.0.join(name)).unwrap();
            for bytes in [gzip(&bytes), bytes] {
                folder.write(name, &bytes);
                let message = folder.fault(name);
                assert!(message.contains(expected), "{message}, not {expected}");
            }
            folder.write(name, &whole);
        };
        let images = |bytes, expected: &str| refused(TRAIN_IMAGES, bytes, expected);
        let body = |length| idx(IMAGES, &[3, 2, 3], length);
        let header = |extents: [u32; 3]| idx(IMAGES, &extents, 18);
        images(idx(LABELS, &[3], 3), "offset 0 is 0x00000801 (labels), expected 0x00000803 (");
        images(idx(0x0d03, &[3], 3), "neither images nor labels");
        images(idx(0x0308_0000, &[3], 3), "reverse order");
        images(Vec::new(), "ends in the header (magic number)");
        images(idx(IMAGES, &[3, 2], 0), "header (count, rows and col");
        images(body(17), "truncated: header says 3 images of 2x3");
        images(body(17), "= 18 bytes, the file holds 17");
        images(body(20), "= 18 bytes, the file holds 20");
        images(header([0, 2, 3]), "0 items");
        images(header([3, 0, 3]), "0 rows");
        images(header([3, 2, 0]), "0 columns");
        images(header([u32::MAX; 3]), "4294967295 rows");
        images(header([u32::MAX, 4096, 4096]), "= 72057594021150720");

        let labels = |bytes, expected: &str| refused(TRAIN_LABELS, bytes, expected);
        labels(idx(IMAGES, &[3, 1, 1], 3), "(images), expected 0x0");
        labels(idx(LABELS, &[3], 2), "truncated: header says 3 labels");
        labels(idx(LABELS, &[3], 4), "too long: header says 3 labels");
        labels(idx(LABELS, &[0], 0), "0 items");
    }

    #[test]
    fn sets_that_do_not_fit_together_are_refused() {
        let folder = Folder::new("mismatch");
        folder.write(TRAIN_LABELS, &idx(LABELS, &[2], 2));
        let message = folder.fault(TRAIN_LABELS);
        assert!(message.contains("holds 2 labels, but "), "{message}");
        assert!(message.contains(TRAIN_IMAGES), "{message}");
        assert!(message.contains("holds 3 images"), "{message}");

        folder.write(TRAIN_LABELS, &idx(LABELS, &[3], 3));
        let mut bytes = idx(LABELS, &[2], 1);
        bytes.push(10);
        folder.write("t10k-labels-idx1-ubyte", &bytes);
        let message = folder.fault("t10k-labels-idx1-ubyte");
        assert_eq!(message, "label 1, at offset 9, is 10, the labels to train on are 0..=2");

        folder.write("t10k-labels-idx1-ubyte", &idx(LABELS, &[2], 2));
        folder.write("t10k-images-idx3-ubyte", &idx(IMAGES, &[2, 3, 2], 12));
        let message = folder.fault("t10k-images-idx3-ubyte");
        assert!(message.starts_with("holds images of 3x2x1, "), "{message}");
        assert!(message.ends_with("holds images of 2x3x1"), "{message}");
    }

    /// Replaces the labels, and returns the sets.
    fn labelled(folder: &Folder, train: [u8; 3], test: [u8; 2]) -> (ImageSet, ImageSet) {
        folder.write(TRAIN_LABELS, &[&idx(LABELS, &[3], 0)[..], &train].concat());
        folder.write("t10k-labels-idx1-ubyte", &[&idx(LABELS, &[2], 0)[..], &test].concat());
        read(&folder.0).unwrap()
    }

    #[test]
    fn there_are_as_many_classes_as_labels_in_training() {
        let folder = Folder::new("classes");
        let (train, test) = labelled(&folder, [1, 2, 3], [3, 1]);
        assert_eq!((train.labels.as_slice(), test.labels.as_slice()), ([0, 1, 2].as_slice(), [2, 0].as_slice()));
        assert_eq!(train.class_names, ["1", "2", "3"]);
        let (train, _) = labelled(&folder, [200, 7, 7], [7, 200]);
        assert_eq!(
            (train.classes, train.labels, train.class_names),
            (2, vec![1, 0, 0], vec!["7".into(), "200".into()])
        );
        folder.write(TRAIN_LABELS, &[&idx(LABELS, &[3], 0)[..], &[4; 3]].concat());
        let message = folder.fault(TRAIN_LABELS);
        assert_eq!(message, "has one class only, the label 4; at least two are needed");
    }

    #[test]
    fn colour_images_have_their_channels_last_or_first() {
        let folder = Folder::new("colour");
        let write = |train: [u32; 4], test: [u32; 4]| {
            folder.write(TRAIN_IMAGES, &idx(IMAGES_WITH_CHANNELS, &train, 3 * 24));
            folder.write("t10k-images-idx3-ubyte", &idx(IMAGES_WITH_CHANNELS, &test, 2 * 24));
        };
        write([3, 2, 4, 3], [2, 2, 4, 3]);
        let (train, _) = read(&folder.0).unwrap();
        assert_eq!(train.image_size(), ImageSize::new(2, 4, 3));
        assert_eq!(train.image(0)[..4], [0, 1, 2, 3]);
        write([3, 3, 2, 4], [2, 3, 2, 4]);
        let (train, _) = read(&folder.0).unwrap();
        assert_eq!(train.image_size(), ImageSize::new(2, 4, 3));
        assert_eq!(train.image(0)[..4], [0, 8, 16, 1]);
        folder.write(TRAIN_IMAGES, &idx(IMAGES_WITH_CHANNELS, &[3, 3, 8, 1], 3 * 24));
        assert!(folder.fault(TRAIN_IMAGES).contains("first or last"));
        folder.write(TRAIN_IMAGES, &idx(IMAGES_WITH_CHANNELS, &[3, 2, 6, 2], 3 * 24));
        assert!(folder.fault(TRAIN_IMAGES).contains("neither first nor last"));
    }

    #[test]
    fn emnists_files_are_found_and_named() {
        let folder = Folder::new("emnist");
        for (from, to) in [("train", "train"), ("t10k", "test")] {
            for kind in ["images-idx3-ubyte", "labels-idx1-ubyte"] {
                let [from, to] = [format!("{from}-{kind}"), format!("emnist-letters-{to}-{kind}")];
                fs::rename(folder.0.join(from), folder.0.join(to)).unwrap();
            }
        }
        folder.write("emnist-letters-train-labels-idx1-ubyte", &[&idx(LABELS, &[3], 0)[..], &[1, 2, 26]].concat());
        folder.write("emnist-letters-test-labels-idx1-ubyte", &[&idx(LABELS, &[2], 0)[..], &[3, 26]].concat());
        let found = find_and_read(&folder.0).unwrap();
        assert_eq!((found.name.as_deref(), found.train.classes), (Some("EMNIST letters"), 26));
        assert_eq!((found.train.labels, found.test.labels), (vec![0, 1, 25], vec![2, 25]));
        assert_eq!(found.train.class_names[25], "z");
        assert_eq!(EMNIST.map(|(_, _, names)| names.len()), [47, 47, 62, 26, 10, 10]);
        // With a second set there, one of its files says which is meant.
        folder.write("emnist-digits-train-images-idx3-ubyte", &[]);
        let message = folder.fault("");
        assert!(message.contains("several sets") && message.contains("emnist-letters-train-images"), "{message}");
        assert!(read(&folder.0.join("emnist-letters-train-images-idx3-ubyte")).is_ok());
    }

    #[test]
    fn corrupt_gzip_is_told_from_a_short_file() {
        let folder = Folder::new("gzip");
        let whole = gzip(&idx(IMAGES, &[3, 2, 3], 18));
        let checksum = whole.len() - 8;
        let mut faults = [5, 20, checksum].map(|end| whole[..end].to_vec()).to_vec();
        faults.push([&whole[..], b"garbage"].concat());
        faults.push(whole);
        faults[4][checksum] ^= 1;
        for bytes in &faults {
            folder.write(TRAIN_IMAGES, bytes);
            let message = folder.fault(TRAIN_IMAGES);
            assert!(message.contains("gzip data is corrupt"), "{message}");
        }
    }
}

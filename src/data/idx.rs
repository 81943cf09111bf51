//! IDX, the file format of MNIST and Fashion-MNIST, plain or compressed by gzip.
//!
//! A file is a big-endian magic number (two zero bytes, the element type, the number of extents), one 32-bit extent per
//! axis, and the elements. Images are 0x00000803 (bytes, three extents: count, rows, columns), labels 0x00000801.
//! Source: LeCun, Cortes, Burges, "The MNIST database of handwritten digits", section on file formats.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::{ImageSet, misplaced_label};
use crate::error::{Error, Result};
use crate::shape::ImageSize;

const IMAGES: u32 = 0x0803;
const LABELS: u32 = 0x0801;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const CLASSES: usize = 10;
/// Names of MNIST's classes, by index.
pub const MNIST_CLASS_NAMES: [&str; CLASSES] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
/// Names of Fashion-MNIST's classes, by index. Source: Xiao, Rasul, Vollgraf, "Fashion-MNIST", 2017, table 2.
pub const FASHION_MNIST_CLASS_NAMES: [&str; CLASSES] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];
/// Labels of the first test images, which distinguish the two sets: their files have the same names and sizes.
const MNIST_FIRST: [i32; 10] = [7, 2, 1, 0, 4, 1, 4, 9, 5, 9];
const FASHION_MNIST_FIRST: [i32; 10] = [9, 2, 1, 1, 6, 1, 4, 6, 5, 7];
/// Largest valid extent; a larger one means a broken header. 28 is usual.
const MAX_EXTENT: u32 = 4096;

/// Reads the training and the test set from the folder `dir`: gray images of ten classes.
///
/// Looks for `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
/// `t10k-labels-idx1-ubyte`, also with a dot before `idx`, each also with `.gz`. Compression is recognised by a file's
/// first bytes. The classes have names if the first test labels are those of MNIST or of Fashion-MNIST. Returns
/// [`Error::Io`] if the system refuses a file, else [`Error::Data`] with the file and its fault.
pub fn read(dir: &Path) -> Result<(ImageSet, ImageSet)> {
    let metadata = fs::metadata(dir).map_err(|e| Error::io(dir, e))?;
    if !metadata.is_dir() {
        let message = "is not a folder; name the folder that holds the IDX files";
        return Err(Error::data(dir, message));
    }
    let (training, training_path) = read_half(dir, "train")?;
    let (test, test_path) = read_half(dir, "t10k")?;
    if (training.height, training.width) != (test.height, test.width) {
        let sizes = |set: &ImageSet| format!("holds images of {}x{}", set.height, set.width);
        let (found, expected) = (sizes(&test), sizes(&training));
        let message = format!("{found}, but {} {expected}", training_path.display());
        return Err(Error::data(test_path, message));
    }
    let names = match test.labels.get(..10) {
        Some(first) if first == MNIST_FIRST => MNIST_CLASS_NAMES,
        Some(first) if first == FASHION_MNIST_FIRST => FASHION_MNIST_CLASS_NAMES,
        _ => return Ok((training, test)),
    };
    Ok((training.named(names)?, test.named(names)?))
}

/// Reads the set whose files start with `half`, and returns it with the path of its images.
fn read_half(dir: &Path, half: &str) -> Result<(ImageSet, PathBuf)> {
    let images_path = find(dir, &format!("{half}-images"), "idx3-ubyte")?;
    let labels_path = find(dir, &format!("{half}-labels"), "idx1-ubyte")?;
    let images = read_file(&images_path, IMAGES)?;
    let labels = read_file(&labels_path, LABELS)?;
    let (found, expected) = (labels.extents[0], images.extents[0]);
    if found != expected {
        let other = images_path.display();
        let message = format!("holds {found} labels, but {other} holds {expected} images");
        return Err(Error::data(labels_path, message).between(expected as usize, found as usize));
    }
    let classes: Vec<i32> = labels.bytes.into_iter().map(i32::from).collect();
    if let Some((i, label)) = misplaced_label(&classes, CLASSES) {
        let message = format!("label {i} is {label}, must be in 0..={}", CLASSES - 1);
        return Err(Error::data(labels_path, message));
    }
    let size = ImageSize::new(images.extents[1] as usize, images.extents[2] as usize, 1);
    let set = ImageSet::new(images.bytes, classes, size, CLASSES)?;
    Ok((set, images_path))
}

/// Finds the file called `stem` and `kind`, in any accepted spelling.
fn find(dir: &Path, stem: &str, kind: &str) -> Result<PathBuf> {
    let names =
        [format!("{stem}-{kind}"), format!("{stem}-{kind}.gz"), format!("{stem}.{kind}"), format!("{stem}.{kind}.gz")];
    names.iter().map(|name| dir.join(name)).find(|path| path.is_file()).ok_or_else(|| {
        let names = names.join(", ");
        Error::data(dir, format!("has no file with {stem}; looked for {names}"))
    })
}

/// The contents of one file.
struct Contents {
    /// Count, and for images rows and columns.
    extents: Vec<u32>,
    bytes: Vec<u8>,
}

/// Reads the file at `path`, whose magic number must be `magic`.
fn read_file(path: &Path, magic: u32) -> Result<Contents> {
    let system = |e| Error::io(path, e);
    let mut file = BufReader::new(File::open(path).map_err(system)?);
    let gzip = file.fill_buf().map_err(system)?.starts_with(&GZIP);
    let reader: Box<dyn Read> = if gzip {
        // Some tools write several gzip members in a row; a plain GzDecoder would stop after the first.
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    Stream { path, reader, gzip }.contents(magic)
}

/// The decompressed bytes of a file, with the context for errors.
struct Stream<'a> {
    path: &'a Path,
    reader: Box<dyn Read>,
    gzip: bool,
}

impl Stream<'_> {
    fn contents(mut self, magic: u32) -> Result<Contents> {
        let [found] = self.words("magic number")?;
        if found != magic {
            return Err(self.wrong(format!(
                "magic number is {found:#010x} ({}), expected {magic:#010x} ({})",
                meaning(found),
                meaning(magic)
            )));
        }
        let extents = if magic == IMAGES {
            self.words::<3>("count, rows and columns")?.to_vec()
        } else {
            self.words::<1>("count")?.to_vec()
        };
        if extents[0] == 0 {
            return Err(self.wrong("header says 0 items, a data set needs at least 1"));
        }
        for (name, &extent) in ["rows", "columns"].into_iter().zip(&extents[1..]) {
            if !(1..=MAX_EXTENT).contains(&extent) {
                return Err(self.wrong(format!("header says {extent} {name}, allowed are 1..={MAX_EXTENT}")));
            }
        }
        // At most 2^32 * 2^12 * 2^12, which fits a u64.
        let expected: u64 = extents.iter().map(|&extent| u64::from(extent)).product();
        let bytes = self.take(expected)?;
        let rest = io::copy(&mut self.reader, &mut io::sink()).map_err(|e| self.failure(e))?;
        let held = bytes.len() as u64 + rest;
        if held != expected {
            let what = match extents[..] {
                [count, rows, columns] => format!("{count} images of {rows}x{columns}"),
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

    /// Reads the next `limit` bytes, or as many as there are. A header that overstates the size costs no memory.
    fn take(&mut self, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
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
        IMAGES => "images",
        LABELS => "labels",
        _ if [IMAGES, LABELS].contains(&magic.swap_bytes()) => "bytes in reverse order",
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
        assert_eq!((training.channels, training.classes), (1, 10));
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
        let file = folder.0.join(TRAIN_LABELS);
        let refused = read(&file).unwrap_err().to_string();
        assert!(refused.contains("is not a folder"), "{refused}");
        fs::remove_file(&file).unwrap();
        let message = folder.fault("");
        assert!(message.contains("train-labels-idx1-ubyte, "), "{message}");
        assert!(message.contains("train-labels.idx1-ubyte.gz"), "{message}");
    }

    #[test]
    fn the_first_test_labels_say_which_set_it_is() {
        let folder = Folder::new("names");
        assert!(read(&folder.0).unwrap().0.class_names.is_empty());
        let named = |first: [i32; 10]| {
            folder.write("t10k-images-idx3-ubyte", &idx(IMAGES, &[10, 2, 3], 60));
            let labels = [&idx(LABELS, &[10], 0)[..], &first.map(|label| label as u8)].concat();
            folder.write("t10k-labels-idx1-ubyte", &labels);
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
        images(idx(LABELS, &[3], 3), "(labels), expected 0x00000803 (");
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

        let mut bytes = idx(LABELS, &[3], 2);
        bytes.push(10);
        folder.write(TRAIN_LABELS, &bytes);
        let message = folder.fault(TRAIN_LABELS);
        assert_eq!(message, "label 2 is 10, must be in 0..=9");

        folder.write(TRAIN_LABELS, &idx(LABELS, &[3], 3));
        folder.write("t10k-images-idx3-ubyte", &idx(IMAGES, &[2, 3, 2], 12));
        let message = folder.fault("t10k-images-idx3-ubyte");
        assert!(message.starts_with("holds images of 3x2, "), "{message}");
        assert!(message.ends_with("holds images of 2x3"), "{message}");
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

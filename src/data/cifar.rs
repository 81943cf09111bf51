//! CIFAR-10 and CIFAR-100 in their binary version.
//!
//! A file is a sequence of records without a header: one label byte (CIFAR-100: coarse, then fine label), then 1,024
//! bytes each of red, green and blue of a 32x32 image, row by row. CIFAR-10 has the files data_batch_1.bin to
//! data_batch_5.bin and test_batch.bin, CIFAR-100 train.bin and test.bin. Source: Krizhevsky, "Learning multiple layers
//! of features from tiny images", 2009, and the page of the data set.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::ImageSet;
use crate::error::{Error, Quantity, Result};
use crate::files::open_regular;
use crate::shape::ImageSize;

const SIDE: usize = 32;
const PIXELS: usize = SIDE * SIDE;
const CHANNELS: usize = 3;
/// Number of images in a batch, and for the test.
const RECORDS: usize = 10_000;
/// Folders created by the published archives.
pub(super) const FOLDER: &str = "cifar-10-batches-bin";
pub(super) const FOLDER_100: &str = "cifar-100-binary";

/// Names of CIFAR-10's classes, by index.
pub const CLASS_NAMES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Names of CIFAR-100's fine classes, by index.
#[rustfmt::skip]
pub const CIFAR100_CLASS_NAMES: [&str; 100] = [
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl",
    "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair",
    "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin",
    "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp",
    "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck",
    "pine_tree", "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road",
    "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger",
    "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman",
    "worm",
];

/// Reads CIFAR-10's training and test sets from the folder `dir`, or from `cifar-10-batches-bin` in it: 32x32 in
/// colour.
///
/// The files hold 50,000 and 10,000 images. A file with fewer records was cut, and is an error. Returns [`Error::Io`] if the system refuses a file, else [`Error::Data`] with the file and its fault.
pub fn read(dir: &Path) -> Result<(ImageSet, ImageSet)> {
    read_batches(dir, RECORDS)
}

/// Reads the batches, each of this number of records.
fn read_batches(dir: &Path, records: usize) -> Result<(ImageSet, ImageSet)> {
    let dir = folder(dir, FOLDER);
    let batches: Vec<PathBuf> = (1..=5).map(|i| dir.join(format!("data_batch_{i}.bin"))).collect();
    let set = |files: &[PathBuf]| read_files(files, 1, 10, records)?.named(CLASS_NAMES);
    Ok((set(&batches)?, set(&[dir.join("test_batch.bin")])?))
}

/// Reads CIFAR-100's training and test sets with the 100 fine labels, as [`read`] does for CIFAR-10. The inner folder
/// is `cifar-100-binary`.
///
/// Class names come from `fine_label_names.txt` if it lies beside the images, else they are [`CIFAR100_CLASS_NAMES`].
pub fn read_100(dir: &Path) -> Result<(ImageSet, ImageSet)> {
    read_files_100(dir, [5 * RECORDS, RECORDS])
}

/// Reads the training and the test file, each of this number of records.
fn read_files_100(dir: &Path, records: [usize; 2]) -> Result<(ImageSet, ImageSet)> {
    let dir = folder(dir, FOLDER_100);
    let names = dir.join("fine_label_names.txt");
    let names: Vec<String> = match names.is_file() {
        true => {
            let mut text = String::new();
            let file = open_regular(&names)?.0;
            file.take(NAMES).read_to_string(&mut text).map_err(|error| Error::io(&names, error))?;
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect()
        }
        false => CIFAR100_CLASS_NAMES.map(String::from).to_vec(),
    };
    let set = |file: &str, records| read_files(&[dir.join(file)], 2, 100, records)?.named(names.clone());
    Ok((set("train.bin", records[0])?, set("test.bin", records[1])?))
}

/// `dir`, or the archive's folder in it if there is one.
pub(super) fn folder(dir: &Path, archive: &str) -> PathBuf {
    let inner = dir.join(archive);
    if inner.is_dir() { inner } else { dir.to_path_buf() }
}

/// Most bytes that are read of a file of names.
const NAMES: u64 = 1 << 16;

/// Reads all records of `files` in order, `records` of each. The last of a record's `labels` label bytes is its label.
fn read_files(files: &[PathBuf], labels: usize, classes: usize, records: usize) -> Result<ImageSet> {
    let record = labels + CHANNELS * PIXELS;
    let (mut images, mut found) = (Vec::new(), Vec::new());
    for path in files {
        let (mut file, length) = open_regular(path)?;
        let rest = length % record as u64;
        if length == 0 || rest != 0 {
            let at = length - rest;
            let expected = format!("a record of {record} bytes at offset {at}");
            let error = Error::data(path, format!("truncated: expected {expected}, found {rest} bytes"));
            return Err(error.between(Quantity::Bytes(record as u64), Quantity::Bytes(rest)));
        }
        let held = (length / record as u64) as usize;
        if held != records {
            let fault = if held < records { "cut at the end of a record" } else { "too long" };
            let message = format!("{fault}: holds {held} images, expected {records}; fetch the file again");
            return Err(Error::data(path, message).between(records, held));
        }
        // The length is now known to be right.
        let mut bytes = Vec::with_capacity(length as usize);
        file.read_to_end(&mut bytes).map_err(|error| Error::io(path, error))?;
        images.reserve(records * CHANNELS * PIXELS);
        for (i, record_bytes) in bytes.chunks_exact(record).enumerate() {
            let label = record_bytes[labels - 1];
            if usize::from(label) >= classes {
                let offset = i * record + labels - 1;
                let allowed = format!("must be in 0..={}", classes - 1);
                return Err(Error::data(path, format!("label {i}, at offset {offset}, is {label}, {allowed}")));
            }
            found.push(i32::from(label));
            let planes = &record_bytes[labels..];
            images.extend((0..PIXELS).flat_map(|pixel| [0, 1, 2].map(|plane| planes[plane * PIXELS + pixel])));
        }
    }
    ImageSet::new(images, found, ImageSize::new(SIDE, SIDE, CHANNELS), classes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A folder owned by one test and removed when the test ends.
    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("tilegrad-cifar-{}-{test}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn write(&self, name: &str, bytes: &[u8]) {
            fs::write(self.0.join(name), bytes).unwrap();
        }

        /// Two records in each of CIFAR-10's files: classes 0 and 9. Plane p of record r is filled with 10 r + p,
        /// except its first byte, 100 + p.
        fn ten(test: &str) -> Self {
            let folder = Folder::new(test);
            for name in ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"] {
                folder.write(&format!("{name}.bin"), &[record(&[0], 0), record(&[9], 1)].concat());
            }
            folder
        }

        fn fault(&self, name: &str) -> String {
            match read_batches(&self.0, 2) {
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

    fn record(labels: &[u8], number: u8) -> Vec<u8> {
        let mut bytes = labels.to_vec();
        for plane in 0..3 {
            bytes.push(100 + plane);
            bytes.extend([10 * number + plane; PIXELS - 1]);
        }
        bytes
    }

    #[test]
    fn planes_become_pixels_and_batches_follow_one_another() {
        let folder = Folder::ten("good");
        let (train, test) = read_batches(&folder.0, 2).unwrap();
        assert_eq!((train.len(), test.len()), (10, 2));
        assert_eq!((train.height, train.width, train.channels, train.classes), (32, 32, 3, 10));
        assert_eq!(test.labels, [0, 9]);
        assert_eq!(test.class_names[9], "truck");
        assert_eq!(test.image(1)[..6], [100, 101, 102, 10, 11, 12]);
        assert_eq!(train.image(7), test.image(1));
        // The archive creates a folder of its own.
        let inner = folder.0.join("cifar-10-batches-bin");
        fs::create_dir(&inner).unwrap();
        for entry in fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_file() {
                fs::rename(&entry, inner.join(entry.file_name().unwrap())).unwrap();
            }
        }
        assert_eq!(read_batches(&folder.0, 2).unwrap(), (train, test));
    }

    #[test]
    fn broken_files_are_named_with_the_place() {
        let folder = Folder::ten("broken");
        let good = fs::read(folder.0.join("data_batch_3.bin")).unwrap();
        folder.write("data_batch_3.bin", &good[..5000]);
        let message = folder.fault("data_batch_3.bin");
        assert_eq!(message, "truncated: expected a record of 3073 bytes at offset 3073, found 1927 bytes");
        folder.write("data_batch_3.bin", &good[..3073]);
        let message = folder.fault("data_batch_3.bin");
        assert_eq!(message, "cut at the end of a record: holds 1 images, expected 2; fetch the file again");
        folder.write("data_batch_3.bin", &[&good[..], &good[..3073]].concat());
        assert!(folder.fault("data_batch_3.bin").starts_with("too long: holds 3 images, expected 2"));
        folder.write("data_batch_3.bin", &[]);
        assert!(folder.fault("data_batch_3.bin").contains("offset 0, found 0 bytes"));
        let mut bytes = good.clone();
        bytes[3073] = 10;
        folder.write("data_batch_3.bin", &bytes);
        assert_eq!(folder.fault("data_batch_3.bin"), "label 1, at offset 3073, is 10, must be in 0..=9");
        fs::remove_file(folder.0.join("data_batch_3.bin")).unwrap();
        let error = read_batches(&folder.0, 2).unwrap_err();
        assert!(matches!(&error, Error::Io { path, .. } if path.ends_with("data_batch_3.bin")), "{error}");
    }

    #[test]
    fn cifar_100_takes_the_fine_label() {
        let folder = Folder::new("hundred");
        folder.write("train.bin", &[record(&[19, 99], 2), record(&[0, 4], 3)].concat());
        folder.write("test.bin", &record(&[7, 50], 4));
        let (train, test) = read_files_100(&folder.0, [2, 1]).unwrap();
        assert_eq!(
            (train.labels.as_slice(), test.labels.as_slice(), train.classes),
            ([99, 4].as_slice(), [50].as_slice(), 100)
        );
        assert_eq!(train.image(1)[3..6], [30, 31, 32]);
        assert_eq!((&*train.class_names[0], &*train.class_names[99]), ("apple", "worm"));
        folder.write("fine_label_names.txt", (0..100).map(|i| format!("n{i}\n")).collect::<String>().as_bytes());
        assert_eq!(read_files_100(&folder.0, [2, 1]).unwrap().0.class_names[99], "n99");
        folder.write("test.bin", &record(&[7, 100], 4));
        assert!(read_files_100(&folder.0, [2, 1]).unwrap_err().to_string().contains("label 0, at offset 1, is 100"));
    }
}

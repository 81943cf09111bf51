//! Recognition of a folder's data set by its files.

use std::path::Path;
use std::sync::Arc;
use std::{fmt, fs};

use super::folder::{self, Folder, FolderOptions};
use super::{Dataset, ImageSet, Normalisation, cifar, idx};
use crate::error::{Error, Result};

/// The data set formats that [`open`] knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The IDX files of MNIST and Fashion-MNIST: [`idx::read`].
    Idx,
    /// The binary version of CIFAR-10: [`cifar::read`].
    Cifar10,
    /// The binary version of CIFAR-100, with fine labels: [`cifar::read_100`].
    Cifar100,
    /// JPEG and PNG files in one folder per class: [`folder::read`].
    Folder,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Idx => "IDX images",
            Format::Cifar10 => "CIFAR-10",
            Format::Cifar100 => "CIFAR-100",
            Format::Folder => "images by class",
        })
    }
}

/// The data set in a folder.
#[derive(Debug)]
pub struct Opened<D = ImageSet> {
    /// The recognised format.
    pub format: Format,
    /// Description of the images and their place, for people: "MNIST of data/mnist".
    pub description: String,
    /// Training images, with class names if known.
    pub train: D,
    /// Test images, with the same classes.
    pub test: D,
    /// Errors of the omitted files, each with its path.
    pub skipped: Vec<Error>,
    /// Usual normalisation of a known set; for others, [`Normalisation::of`] measures it.
    pub normalisation: Option<Normalisation>,
}

/// Reads the data set in the folder `dir` into memory. `options` apply to images by class.
///
/// If nothing is recognised, [`Error::Data`] lists what was looked for. A `resize` of a set with a fixed size is
/// [`Error::Config`]. Other errors are those of the format's own reader.
pub fn open(dir: &Path, options: &FolderOptions) -> Result<Opened> {
    let format = detect(dir)?;
    if format == Format::Folder {
        let Folder { train, test, skipped } = folder::read(dir, options)?;
        return Ok(describe(dir, format, train, test, skipped));
    }
    if options.images.resize.is_some() {
        return Err(Error::config("resize", format!("is for folders of images, {} is {format}", dir.display())));
    }
    let (train, test) = match format {
        Format::Idx => idx::read(dir)?,
        Format::Cifar10 => cifar::read(dir)?,
        Format::Cifar100 | Format::Folder => cifar::read_100(dir)?,
    };
    Ok(describe(dir, format, train, test, Vec::new()))
}

/// Opens the data set as [`open`] does, but for a [`super::DatasetSource`]: images by class are decoded on demand
/// ([`folder::open`]), so there may be more than fit into memory.
pub fn open_lazily(dir: &Path, options: &FolderOptions) -> Result<Opened<Arc<dyn Dataset>>> {
    if detect(dir)? == Format::Folder {
        let Folder { train, test, skipped } = folder::open(dir, options)?;
        let (train, test): (Arc<dyn Dataset>, Arc<dyn Dataset>) = (Arc::new(train), Arc::new(test));
        return Ok(describe(dir, Format::Folder, train, test, skipped));
    }
    let Opened { format, description, train, test, skipped, normalisation } = open(dir, options)?;
    Ok(Opened { format, description, train: Arc::new(train), test: Arc::new(test), skipped, normalisation })
}

fn describe<D: Dataset>(dir: &Path, format: Format, train: D, test: D, skipped: Vec<Error>) -> Opened<D> {
    let (name, normalisation) = match (format, train.class_names()) {
        (Format::Idx, names) if names == idx::MNIST_CLASS_NAMES => ("MNIST".into(), Some(Normalisation::MNIST)),
        (Format::Idx, names) if names == idx::FASHION_MNIST_CLASS_NAMES => {
            ("Fashion-MNIST".into(), Some(Normalisation::FASHION_MNIST))
        }
        (Format::Cifar10, _) => (format.to_string(), Some(Normalisation::CIFAR10)),
        (Format::Cifar100, _) => (format.to_string(), Some(Normalisation::CIFAR100)),
        _ => (format.to_string(), None),
    };
    let description = format!("{name} of {}", dir.display());
    Opened { format, description, train, test, skipped, normalisation }
}

/// Recognises the format in the folder `dir` by the names of its files, without reading them.
pub fn detect(dir: &Path) -> Result<Format> {
    let system = |error| Error::io(dir, error);
    if !fs::metadata(dir).map_err(system)?.is_dir() {
        return Err(Error::data(dir, "is not a folder; name the folder that holds the data set"));
    }
    let mut has_idx = false;
    for entry in fs::read_dir(dir).map_err(system)? {
        let name = entry.map_err(system)?.file_name();
        let name = name.to_string_lossy();
        has_idx |= ["train-", "t10k-"].iter().any(|half| name.starts_with(half)) && name.contains("ubyte");
    }
    let (ten, hundred) = (cifar::folder(dir, cifar::FOLDER), cifar::folder(dir, cifar::FOLDER_100));
    let python = ["cifar-10-batches-py", "cifar-100-python", "data_batch_1"].iter().any(|name| dir.join(name).exists());
    let found = [
        (has_idx, Format::Idx),
        (ten.join("data_batch_1.bin").is_file() || ten.join("test_batch.bin").is_file(), Format::Cifar10),
        (hundred.join("train.bin").is_file() || hundred.join("test.bin").is_file(), Format::Cifar100),
        (folder::has_classes(dir) && !python, Format::Folder),
    ];
    if let Some((_, format)) = found.into_iter().find(|(is, _)| *is) {
        return Ok(format);
    }
    let hint = if python { "; CIFAR's version for Python is not read, take the binary one" } else { "" };
    Err(Error::data(
        dir,
        format!(
            "holds no data set that is known; looked for train-images-idx3-ubyte (MNIST, Fashion-MNIST), \
             data_batch_1.bin (CIFAR-10, binary), train.bin (CIFAR-100, binary), and a folder for each class with .jpg, \
             .jpeg or .png files, or folders train and test with them{hint}"
        ),
    ))
}

//! Recognition of a data set by its files, and its division into parts.

use std::path::Path;
use std::sync::Arc;
use std::{fmt, fs};

use super::folder::{self, Folder, FolderOptions};
use super::split::Split;
use super::whole::Whole;
use super::{Dataset, ImageSet, Normalisation, Overview, arrays, cifar, idx, table};
use crate::error::{Error, Result, printable};

/// The data set formats that [`open`] knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// IDX files, as of MNIST, Fashion-MNIST and EMNIST: [`idx::read`].
    Idx,
    /// The binary version of CIFAR-10: [`cifar::read`].
    Cifar10,
    /// The binary version of CIFAR-100, with fine labels: [`cifar::read_100`].
    Cifar100,
    /// NumPy's arrays: a .npz file, or .npy files in a folder.
    Arrays,
    /// A table of image files and labels: a .csv file.
    Table,
    /// Image files in one folder per class: [`folder::read`].
    Folder,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Idx => "IDX images",
            Format::Cifar10 => "CIFAR-10",
            Format::Cifar100 => "CIFAR-100",
            Format::Arrays => "arrays",
            Format::Table => "images by table",
            Format::Folder => "images by class",
        })
    }
}

/// A data set, divided.
#[derive(Debug)]
pub struct Opened<D = ImageSet> {
    /// The recognised format.
    pub format: Format,
    /// Description of the images and their place, for people: "MNIST of data/mnist".
    pub description: String,
    /// Training images, with class names if known.
    pub train: D,
    /// Validation images, with the same classes. There may be none.
    pub validation: D,
    /// Test images, with the same classes. There may be none.
    pub test: D,
    /// Origin of validation and test images.
    pub split: Split,
    /// Description of everything, for people.
    pub overview: Overview,
    /// Errors of the omitted folders and files, each with its path.
    pub skipped: Vec<Error>,
    /// Usual normalisation of a known set; for others, [`Normalisation::of`] measures it.
    pub normalisation: Option<Normalisation>,
}

/// Reads the data set at `path`, a folder or a file, into memory.
///
/// What the data set has of validation and test images is used, and what is missing is held out by class, as
/// [`FolderOptions::validation`] and [`FolderOptions::test`] say. The other options are for image files. If nothing is
/// recognised, [`Error::Data`] lists what was looked for. A `resize` of a set with a fixed size is [`Error::Config`].
/// Other errors are those of the format's own reader.
pub fn open(path: &Path, options: &FolderOptions) -> Result<Opened> {
    match detect(path)? {
        Format::Folder => of_files(path, Format::Folder, folder::read(path, options)?),
        Format::Table => of_files(path, Format::Table, folder::read_files(table::list(path, options)?, options)?),
        format => of_arrays(path, format, options),
    }
}

/// Opens the data set as [`open`] does, but for a [`super::DatasetSource`]: image files are decoded on demand
/// ([`folder::open`]), so there may be more than fit into memory.
pub fn open_lazily(path: &Path, options: &FolderOptions) -> Result<Opened<Arc<dyn Dataset>>> {
    match detect(path)? {
        Format::Folder => Ok(of_files(path, Format::Folder, folder::open(path, options)?)?.shared()),
        Format::Table => {
            let read = folder::open_files(table::list(path, options)?, options)?;
            Ok(of_files(path, Format::Table, read)?.shared())
        }
        format => Ok(of_arrays(path, format, options)?.shared()),
    }
}

impl Opened {
    /// Divides images in memory as [`open`] does those of files. Class names and normalisation stay as they are.
    pub fn of(
        description: impl Into<String>,
        train: ImageSet,
        test: Option<ImageSet>,
        options: &FolderOptions,
    ) -> Result<Self> {
        let whole = Whole { train, validation: None, test, notes: Vec::new() };
        divided(Format::Arrays, description.into(), whole, None, options)
    }
}

impl<D: Dataset + 'static> Opened<D> {
    /// The same with images behind a pointer.
    fn shared(self) -> Opened<Arc<dyn Dataset>> {
        let Opened { format, description, split, overview, skipped, normalisation, .. } = self;
        let (train, validation, test) = (Arc::new(self.train), Arc::new(self.validation), Arc::new(self.test));
        Opened { format, description, train, validation, test, split, overview, skipped, normalisation }
    }
}

fn of_files<D: Dataset>(path: &Path, format: Format, folder: Folder<D>) -> Result<Opened<D>> {
    let Folder { train, validation, test, split, passed, skipped } = folder;
    let description = format!("{format} of {}", printable(path));
    let mut overview = Overview::new(&description, [&train, &validation, &test], split)?;
    // Folders are told among what was passed over.
    overview.skipped = skipped.len().saturating_sub(passed.unreadable.len());
    overview.passed = passed;
    Ok(Opened { format, description, train, validation, test, split, overview, skipped, normalisation: None })
}

fn of_arrays(path: &Path, format: Format, options: &FolderOptions) -> Result<Opened> {
    if options.images.resize.is_some() {
        return Err(Error::config("resize", format!("is for image files, {} is {format}", printable(path))));
    }
    let pair = |(train, test)| Whole { train, validation: None, test: Some(test), notes: Vec::new() };
    let (whole, name, normalisation) = match format {
        Format::Idx => {
            let idx::Found { train, test, name, normalisation } = idx::find_and_read(path)?;
            (pair((train, test)), name, normalisation)
        }
        Format::Cifar10 => (pair(cifar::read(path)?), None, Some(Normalisation::CIFAR10)),
        Format::Cifar100 => (pair(cifar::read_100(path)?), None, Some(Normalisation::CIFAR100)),
        _ => (arrays::read(path)?, None, None),
    };
    let description = format!("{} of {}", name.unwrap_or_else(|| format.to_string()), printable(path));
    divided(format, description, whole, normalisation, options)
}

fn divided(
    format: Format,
    description: String,
    whole: Whole,
    normalisation: Option<Normalisation>,
    options: &FolderOptions,
) -> Result<Opened> {
    let notes = whole.notes.clone();
    let whole = match options.array_channels {
        Some(channels) => whole.with_channels(channels)?,
        None => whole,
    };
    let ([train, validation, test], split) = whole.divide(options.wanted())?;
    let mut overview = Overview::new(&description, [&train, &validation, &test], split)?;
    overview.notes = notes;
    let skipped = Vec::new();
    Ok(Opened { format, description, train, validation, test, split, overview, skipped, normalisation })
}

/// Recognises the format of the folder or file at `path` by names, without reading contents.
pub fn detect(path: &Path) -> Result<Format> {
    let system = |error| Error::io(path, error);
    if !fs::metadata(path).map_err(system)?.is_dir() {
        return file(path);
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(system)? {
        names.push(entry.map_err(system)?.file_name().to_string_lossy().into_owned());
    }
    let (ten, hundred) = (cifar::folder(path, cifar::FOLDER), cifar::folder(path, cifar::FOLDER_100));
    let python =
        ["cifar-10-batches-py", "cifar-100-python", "data_batch_1"].iter().any(|name| path.join(name).exists());
    let found = [
        (names.iter().any(|name| idx::is_named(name)), Format::Idx),
        (ten.join("data_batch_1.bin").is_file() || ten.join("test_batch.bin").is_file(), Format::Cifar10),
        (hundred.join("train.bin").is_file() || hundred.join("test.bin").is_file(), Format::Cifar100),
        (arrays::has_images(&names), Format::Arrays),
        (folder::has_classes(path) && !python, Format::Folder),
        (arrays::has_one_file(&names), Format::Arrays),
    ];
    if let Some((_, format)) = found.into_iter().find(|(is, _)| *is) {
        return Ok(format);
    }
    let tables: Vec<String> = names.iter().filter(|name| table::is_named(Path::new(name))).cloned().collect();
    let images = names.iter().filter(|name| folder::is_image(Path::new(name))).count();
    let hint = if python {
        "; CIFAR's version for Python is not read, take the binary one".to_string()
    } else if !tables.is_empty() {
        format!("; if {} lists images with their labels, name that file", folder::some_of(&tables))
    } else if images > 0 {
        format!("; the {images} images in it need a folder for each class, or a .csv file with their labels")
    } else {
        String::new()
    };
    Err(Error::data(path, format!("holds no data set that is known; looked for {}{hint}", looked_for())))
}

/// The formats, for people.
fn looked_for() -> String {
    format!(
        "train-images-idx3-ubyte and its like (IDX: MNIST, Fashion-MNIST, EMNIST), data_batch_1.bin (CIFAR-10, binary), \
         train.bin (CIFAR-100, binary), images.npy and labels.npy or x_train.npy and y_train.npy or one .npz file \
         (arrays), and a folder for each class with images in it, or folders train, val and test with them ({}); or name \
         a file: .npz, .csv (a table of image files and labels) or an IDX file of images",
        folder::endings()
    )
}

/// Recognises the format of a file.
fn file(path: &Path) -> Result<Format> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match () {
        () if idx::is_named(&name) => Ok(Format::Idx),
        () if arrays::is_file(path) => Ok(Format::Arrays),
        () if table::is_named(path) => Ok(Format::Table),
        () => {
            let message = format!("is not a folder, and no file that holds a data set; looked for {}", looked_for());
            Err(Error::data(path, message))
        }
    }
}

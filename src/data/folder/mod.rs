//! Images in folders, one folder per class, as in torchvision's `ImageFolder`.
//!
//! A folder of a class holds images at any depth; links to folders are followed, and each file is taken once. The
//! classes lie in `DIR`, or in folders of its parts: `DIR/train`, `DIR/val` (or valid, validation, dev) and `DIR/test`,
//! also training and testing, in any capitals. Such a name is a part where the folder holds folders of images and no
//! images itself, and no folder beside it is a class with images in it; else it is a class. What is missing of
//! validation and test images is held out by class ([`crate::data::split_by_class`]).
//!
//! Files are images by their ending; others are counted, names that start with a dot are ignored, and so is the folder
//! of a training run. Classes are numbered in the order of their sorted names, and images are in the order of theirs,
//! whatever order the system lists. [`read`] keeps all images in memory, and [`open`] decodes each on demand; both give
//! the same bytes.

mod cache;
mod dataset;
mod found;
mod layout;
mod listing;
mod names;
mod options;
mod survey;
mod walk;

pub use dataset::FolderDataset;
pub use found::ImageFiles;
pub(super) use layout::has_classes;
pub(super) use listing::{File, Files, at_least_two};
pub(super) use names::some_of;
pub use options::FolderOptions;
pub use walk::PassedOver;
pub(super) use walk::{LeftOut, endings, entries, images, is_image};

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use crate::data::split::{Division, Split, Wanted};
use crate::data::{ImageSet, Subset};
use crate::error::{Error, Result};

/// The images read from a folder.
#[derive(Debug)]
pub struct Folder<D = ImageSet> {
    /// Training images, with the classes' names.
    pub train: D,
    /// Validation images, with the same classes.
    pub validation: D,
    /// Test images, with the same classes.
    pub test: D,
    /// Origin of validation and test images.
    pub split: Split,
    /// What the folder holds besides.
    pub passed: PassedOver,
    /// Errors of the omitted folders and files, each with its path.
    pub skipped: Vec<Error>,
}

impl FolderOptions {
    /// The choices of a division.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted { validation: self.validation, test: self.test, seed: self.seed, if_missing: self.if_missing }
    }
}

/// Reads the images of the folder `dir` into memory, upright and with the channels of [`FolderOptions::images`]: gray
/// images become three equal channels, or colour images their luma. Transparency is dropped. At no time are images in
/// memory twice.
///
/// Files are decoded on all cores. [`Error::Data`] names a folder without classes, with a single class, without images
/// or with two readings, a file that is no image, or the first file of a different size. [`Error::Io`] is what the
/// system refuses.
pub fn read(dir: &Path, options: &FolderOptions) -> Result<Folder> {
    read_files(listing::list(dir, options)?, options)
}

/// Reads these files as [`read`] does.
pub(super) fn read_files(files: Files, options: &FolderOptions) -> Result<Folder> {
    if options.cache.is_some() || options.train_resize.is_some() {
        let Folder { train, validation, test, split, passed, skipped } = open_files(files, options)?;
        let [train, validation, test] = [&train, &validation, &test].map(|part| ImageSet::collect(part));
        return Ok(Folder { train: train?, validation: validation?, test: test?, split, passed, skipped });
    }
    let (set, kept, bad) = dataset::read_all(&files, options)?;
    let (Division { train, validation, test }, split) = divide(&files, &kept, options)?;
    // Of a part that is not wanted.
    let used: HashSet<u32> = [&train, &validation, &test].into_iter().flatten().copied().collect();
    let others: Vec<u32> = (0..kept.len() as u32).filter(|i| !used.contains(i)).collect();
    let [train, validation, test, _] = set.divide([&train, &validation, &test, &others])?;
    let skipped = files.skipped.into_iter().chain(bad).collect();
    Ok(Folder { train, validation, test, split, passed: files.passed, skipped })
}

/// Opens the images of the folder `dir`, equal to those of [`read`] but decoded on demand: for a
/// [`DatasetSource`](crate::data::DatasetSource), and for more images than fit into memory.
///
/// All files are read once, for their digests. Their headers are checked; if the rest of a file is damaged, reading its
/// image fails. With [`FolderOptions::skip_bad`] all are decoded once, so that the same files are omitted as by [`read`];
/// a [`FolderOptions::cache`] remembers which.
pub fn open(dir: &Path, options: &FolderOptions) -> Result<Folder<Subset<FolderDataset>>> {
    open_files(listing::list(dir, options)?, options)
}

/// Opens these files as [`open`] does.
pub(super) fn open_files(files: Files, options: &FolderOptions) -> Result<Folder<Subset<FolderDataset>>> {
    // The training images are the most, so that a cache is best of use to them.
    let all = options.train_resize.map(|resize| options.clone().resize(resize));
    let (dataset, kept, bad) = FolderDataset::open(&files, all.as_ref().unwrap_or(options))?;
    let (Division { train, validation, test }, split) = divide(&files, &kept, options)?;
    let held = match (options.train_resize, options.images.resize) {
        (None, _) => None,
        (Some(_), Some(resize)) => Some(Arc::new(dataset.resized(resize))),
        (Some(_), None) => {
            return Err(Error::config("train_resize", "goes with resize, the size of the other images: set that too"));
        }
    };
    let dataset = Arc::new(dataset);
    let held = held.unwrap_or_else(|| Arc::clone(&dataset));
    let train = Subset::new(dataset, train)?;
    let [validation, test] = [validation, test].map(|part| Subset::new(Arc::clone(&held), part));
    let skipped = files.skipped.into_iter().chain(bad).collect();
    Ok(Folder { train, validation: validation?, test: test?, split, passed: files.passed, skipped })
}

/// Divides the `kept` files; the indices are positions in `kept`.
fn divide(files: &Files, kept: &[usize], options: &FolderOptions) -> Result<(Division, Split)> {
    files.check(kept)?;
    let labels: Vec<i32> = kept.iter().map(|&i| files.files[i].class as i32).collect();
    let parts: Vec<_> = kept.iter().map(|&i| files.files[i].part).collect();
    options.wanted().divide(&labels, &parts, files.has)
}

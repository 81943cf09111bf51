//! Images in folders, one folder per class, as in torchvision's `ImageFolder`.
//!
//! The layout is either `DIR/train/CLASS/*` and `DIR/test/CLASS/*`, or `DIR/CLASS/*`, of which a part is held out for
//! the test. Images are .jpg, .jpeg or .png. Other files, and names that start with a dot, are ignored. Classes are
//! numbered in the order of their sorted names, and images are in the order of theirs, whatever order the system lists.
//! [`read`] keeps all images in memory, and [`open`] decodes each on demand; both give the same bytes.

mod cache;
mod dataset;
mod listing;
mod options;
mod survey;

pub use dataset::FolderDataset;
pub(super) use listing::has_classes;
pub use options::FolderOptions;

use std::path::Path;
use std::sync::Arc;

use crate::data::{ImageSet, Subset};
use crate::error::{Error, Result};

/// The images read from a folder.
#[derive(Debug)]
pub struct Folder<D = ImageSet> {
    /// Training images, with the classes' names.
    pub train: D,
    /// Test images, with the same classes.
    pub test: D,
    /// Errors of the omitted files, each with its path.
    pub skipped: Vec<Error>,
}

/// Reads the images of the folder `dir` into memory, upright and with the channels of [`FolderOptions::images`]: gray
/// images become three equal channels, or colour images their luma. Transparency is dropped. At no time are images in
/// memory twice.
///
/// Files are decoded on all cores. [`Error::Data`] names a folder without classes, with a single class or without
/// images, a file that is no image, or the first file of a different size. [`Error::Io`] is what the system refuses.
pub fn read(dir: &Path, options: &FolderOptions) -> Result<Folder> {
    if options.cache.is_some() {
        let Folder { train, test, skipped } = open(dir, options)?;
        return Ok(Folder { train: ImageSet::collect(&train)?, test: ImageSet::collect(&test)?, skipped });
    }
    let files = listing::list(dir)?;
    let (set, kept, skipped) = dataset::read_all(&files, options)?;
    let (train, test) = files.divide(&kept, options)?;
    let (train, test) = set.divide(&train, &test)?;
    Ok(Folder { train, test, skipped })
}

/// Opens the images of the folder `dir`, equal to those of [`read`] but decoded on demand: for a
/// [`DatasetSource`](crate::data::DatasetSource), and for more images than fit into memory.
///
/// All files are read once, for their digests. Their headers are checked; if the rest of a file is damaged, reading its
/// image fails. With [`FolderOptions::skip_bad`] all are decoded once, so that the same files are omitted as by [`read`];
/// a [`FolderOptions::cache`] remembers which.
pub fn open(dir: &Path, options: &FolderOptions) -> Result<Folder<Subset<FolderDataset>>> {
    let files = listing::list(dir)?;
    let (dataset, kept, skipped) = FolderDataset::open(&files, options)?;
    let (train, test) = files.divide(&kept, options)?;
    let dataset = Arc::new(dataset);
    let train = Subset::new(Arc::clone(&dataset), train)?;
    Ok(Folder { train, test: Subset::new(dataset, test)?, skipped })
}

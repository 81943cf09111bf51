//! Images in folders, one folder for each class, as torchvision's `ImageFolder` has them.
//!
//! Either `DIR/train/CLASS/*` and `DIR/test/CLASS/*`, or `DIR/CLASS/*`, of which a part is held out for the test. Images are
//! .jpg, .jpeg or .png; other files, and names that start with a dot, are passed over. Classes are numbered in the order of
//! their sorted names, images follow one another in the order of their sorted names, whatever the system lists first.
//! [`read`] has all images in memory, [`open`] decodes each when it is asked for; both give the same bytes.

mod cache;
mod dataset;
mod listing;
mod options;

pub use dataset::{FolderDataset, image_file};
pub(super) use listing::has_classes;
pub use options::{FolderOptions, Resize};

use std::path::Path;
use std::sync::Arc;

use crate::data::{ImageSet, Subset};
use crate::error::{Error, Result};

/// What has been read.
#[derive(Debug)]
pub struct Folder<D = ImageSet> {
    /// The images to train on, with the classes' names.
    pub train: D,
    /// The images to test on, of the same classes.
    pub test: D,
    /// What was wrong with the files that were left out, each with its path.
    pub skipped: Vec<Error>,
}

/// The images of the folder `dir` in memory: gray if all of them are, else red, green and blue, to which gray ones among
/// them are brought; transparency is dropped.
///
/// Files are decoded on all cores. [`Error::Data`] names the folder that has no classes, one class only or no images, the
/// file that is no image, or the first whose size is not that of the others; [`Error::Io`] is what the system refuses.
pub fn read(dir: &Path, options: &FolderOptions) -> Result<Folder> {
    if options.cache.is_some() {
        let Folder { train, test, skipped } = open(dir, options)?;
        return Ok(Folder { train: ImageSet::collect(&train)?, test: ImageSet::collect(&test)?, skipped });
    }
    let files = listing::list(dir, options)?;
    let (set, kept, skipped) = dataset::decode(&files, options)?;
    let (train, test) = files.divide(&kept, options)?;
    Ok(Folder { train: set.subset(&train), test: set.subset(&test), skipped })
}

/// The images of the folder `dir`, as [`read`] gives them, but each decoded when it is asked for: for a
/// [`DatasetSource`](crate::data::DatasetSource), and for more images than fit into memory.
///
/// What can be seen from a file's beginning is checked at once. Where the rest of a file is damaged, getting its image is
/// the error, unless [`FolderOptions::cache`] is set: making it decodes everything, so damage shows, or is left out, then.
pub fn open(dir: &Path, options: &FolderOptions) -> Result<Folder<Subset<FolderDataset>>> {
    let files = listing::list(dir, options)?;
    let (dataset, kept, skipped) = FolderDataset::open(&files, options)?;
    let (train, test) = files.divide(&kept, options)?;
    let dataset = Arc::new(dataset);
    let train = Subset::new(Arc::clone(&dataset), train)?;
    Ok(Folder { train, test: Subset::new(dataset, test)?, skipped })
}

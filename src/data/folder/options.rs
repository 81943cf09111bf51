//! Options for reading a folder of images.

use std::fmt;
use std::path::PathBuf;

/// Target size of every image, without keeping its proportions. Prints as "32x48", height first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resize {
    /// Number of rows.
    pub height: usize,
    /// Number of pixels in a row.
    pub width: usize,
}

impl Resize {
    /// Creates a square size.
    pub fn square(side: usize) -> Self {
        Resize { height: side, width: side }
    }
}

impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

/// Options for reading a folder of images.
/// ```
/// use tilegrad::data::{FolderOptions, Resize};
///
/// let options = FolderOptions::default().resize(Resize { height: 64, width: 48 }).skip_bad(true);
/// assert!(options.cache.is_none());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FolderOptions {
    /// Target size of every image. Without it all images must have one size.
    pub resize: Option<Resize>,
    /// True to omit unreadable files, with a warning in the log, instead of failing at the first.
    pub skip_bad: bool,
    /// Share of the training images held out for validation. `None` is what is usual: a tenth, unless the data set has
    /// images for it.
    pub validation: Option<f64>,
    /// Share of the training images held out for the test. `None` is what is usual: a fifth, unless the data set has
    /// images for the test or for validation.
    pub test: Option<f64>,
    /// Seed of the choice of held-out images.
    pub seed: u64,
    /// Folder with the images that a table of labels lists, if they don't lie beside the table.
    pub images: Option<PathBuf>,
    /// File for the decoded images, created by the first run and read by later ones. It is recreated if a file's name,
    /// length or time changed, if the options changed, or if it is damaged.
    pub cache: Option<PathBuf>,
    /// Bytes of decoded images that [`super::open`] keeps in memory, so that they are decoded once. Images beyond that
    /// are decoded in each epoch.
    pub keep: u64,
}

impl Default for FolderOptions {
    /// The defaults: no resize, no omitted files, the usual shares held out, no cache file, none kept.
    fn default() -> Self {
        FolderOptions {
            resize: None,
            skip_bad: false,
            validation: None,
            test: None,
            seed: 1,
            images: None,
            cache: None,
            keep: 0,
        }
    }
}

impl FolderOptions {
    /// Sets the target size of every image, or removes it.
    pub fn resize(mut self, resize: impl Into<Option<Resize>>) -> Self {
        self.resize = resize.into();
        self
    }

    /// Enables or disables omitting unreadable files.
    pub fn skip_bad(mut self, skip_bad: bool) -> Self {
        self.skip_bad = skip_bad;
        self
    }

    /// Sets the share of the training images held out for validation; 0 for none.
    pub fn validation(mut self, share: impl Into<Option<f64>>) -> Self {
        self.validation = share.into();
        self
    }

    /// Sets the share of the training images held out for the test; 0 for none.
    pub fn test(mut self, share: impl Into<Option<f64>>) -> Self {
        self.test = share.into();
        self
    }

    /// Sets the folder with the images that a table of labels lists.
    pub fn images(mut self, dir: impl Into<Option<PathBuf>>) -> Self {
        self.images = dir.into();
        self
    }

    /// Sets the seed of the choice of held-out images.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the file for the decoded images, or removes it.
    pub fn cache(mut self, cache: impl Into<Option<PathBuf>>) -> Self {
        self.cache = cache.into();
        self
    }

    /// Sets the number of bytes of decoded images kept in memory.
    pub fn keep(mut self, keep: u64) -> Self {
        self.keep = keep;
        self
    }
}

//! How a folder of images is read.

use std::fmt;
use std::path::PathBuf;

/// Rows and columns that every image is brought to, its proportions not kept. Prints as "32x48", height first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resize {
    /// Rows.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
}

impl Resize {
    /// As many rows as pixels in each.
    pub fn square(side: usize) -> Self {
        Resize { height: side, width: side }
    }
}

impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

/// How a folder of images is read.
///
/// ```
/// use tilegrad::data::{FolderOptions, Resize};
///
/// let options = FolderOptions::default().resize(Resize { height: 64, width: 48 }).skip_bad(true);
/// assert!(options.cache.is_none());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FolderOptions {
    /// What every image is brought to; without it all must have one size.
    pub resize: Option<Resize>,
    /// Leaves out files that can't be read as images, with a warning in the log, instead of giving up at the first.
    pub skip_bad: bool,
    /// The part that is held out for the test where there is no folder `train`.
    pub test_fraction: f64,
    /// Which images are held out.
    pub seed: u64,
    /// A file for the decoded images, made by the first run and read by those after it. It is made anew where a file's
    /// name, length or time has changed, where the options have, or where it is damaged.
    pub cache: Option<PathBuf>,
    /// Bytes of decoded images that [`super::open`] keeps in memory, so that they are decoded once; with a full memory the others
    /// are decoded in each epoch.
    pub keep: u64,
}

impl Default for FolderOptions {
    /// Images as they are, all of them good, a fifth held out, no cache file, none kept.
    fn default() -> Self {
        FolderOptions { resize: None, skip_bad: false, test_fraction: 0.2, seed: 1, cache: None, keep: 0 }
    }
}

impl FolderOptions {
    /// Sets the rows and columns that every image is brought to, or leaves images as they are.
    pub fn resize(mut self, resize: impl Into<Option<Resize>>) -> Self {
        self.resize = resize.into();
        self
    }

    /// Sets whether files that can't be read as images are left out.
    pub fn skip_bad(mut self, skip_bad: bool) -> Self {
        self.skip_bad = skip_bad;
        self
    }

    /// Sets the part, above 0 and below 1, that is held out for the test where there is no folder `train`.
    pub fn test_fraction(mut self, test_fraction: f64) -> Self {
        self.test_fraction = test_fraction;
        self
    }

    /// Sets which images are held out.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the file for the decoded images, or has none.
    pub fn cache(mut self, cache: impl Into<Option<PathBuf>>) -> Self {
        self.cache = cache.into();
        self
    }

    /// Sets how many bytes of decoded images stay in memory.
    pub fn keep(mut self, keep: u64) -> Self {
        self.keep = keep;
        self
    }
}

//! How a folder of images is read.

use std::path::PathBuf;

/// How a folder of images is read.
#[derive(Clone, Debug, PartialEq)]
pub struct FolderOptions {
    /// [height, width] that every image is brought to, its proportions not kept; without it all must have one size.
    pub resize: Option<[usize; 2]>,
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

//! Options for reading a folder of images.

use std::path::PathBuf;

use crate::data::images::{ImageOptions, Resize};
use crate::data::split::Split;

/// Options for reading a folder of images.
/// ```
/// use tilegrad::data::{FolderOptions, Resize};
///
/// let options = FolderOptions::default().resize(Resize::stretch(64, 48)).skip_bad(true);
/// assert!(options.cache.is_none());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FolderOptions {
    /// Size that images are brought to, their channels, and the limit of their pixels. Without a size all images must
    /// have one.
    pub images: ImageOptions,
    /// Size that training images are brought to, if it is not that of [`images`](Self::images): larger for a random
    /// resized crop on the device, which cuts its boxes from them ([`ResidentSource::output_size`]). A `cache` then holds
    /// all images in this size, and those to validate and test with are decoded from their files.
    ///
    /// [`ResidentSource::output_size`]: crate::data::ResidentSource::output_size
    pub train_resize: Option<Resize>,
    /// Number of channels of images that come from arrays; `None` keeps theirs.
    pub array_channels: Option<usize>,
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
    /// True to use a part that the data set has though a share for it is set.
    pub if_missing: bool,
    /// True to accept a single class, as for an evaluation; a network can't learn one.
    pub single_class: bool,
    /// Folder with the images that a table of labels lists, if they don't lie beside the table.
    pub image_dir: Option<PathBuf>,
    /// File for the decoded images, created by the first run and read by later ones. It is recreated if a file's
    /// content changed, if the options changed, or if it is damaged.
    pub cache: Option<PathBuf>,
    /// Bytes of decoded images that [`super::open`] keeps in memory, so that they are decoded once. Images beyond that
    /// are decoded in each epoch.
    pub keep: u64,
}

impl Default for FolderOptions {
    /// The defaults: images in their own size with three channels, no omitted files, the usual shares held out, no cache
    /// file, none kept.
    fn default() -> Self {
        FolderOptions {
            images: ImageOptions::default(),
            train_resize: None,
            array_channels: None,
            skip_bad: false,
            validation: None,
            test: None,
            seed: 1,
            if_missing: false,
            single_class: false,
            image_dir: None,
            cache: None,
            keep: 0,
        }
    }
}

impl FolderOptions {
    /// Sets all that is said of images: their size, channels and limit.
    pub fn images(mut self, images: ImageOptions) -> Self {
        self.images = images;
        self
    }

    /// Sets the size that images are brought to, or removes it.
    pub fn resize(mut self, resize: impl Into<Option<Resize>>) -> Self {
        self.images.resize = resize.into();
        self
    }

    /// Sets the size that training images are brought to, if it is another.
    pub fn train_resize(mut self, resize: impl Into<Option<Resize>>) -> Self {
        self.train_resize = resize.into();
        self
    }

    /// Sets the number of channels of images that come from arrays.
    pub fn array_channels(mut self, channels: impl Into<Option<usize>>) -> Self {
        self.array_channels = channels.into();
        self
    }

    /// Sets the number of channels, 1 or 3. By default image files have 3, as in torchvision's `ImageFolder`, and images
    /// from arrays their own.
    pub fn channels(mut self, channels: impl Into<Option<usize>>) -> Self {
        self.array_channels = channels.into();
        self.images.channels = self.array_channels.unwrap_or(ImageOptions::default().channels);
        self
    }

    /// Sets the number of pixels above which a file is refused.
    pub fn max_pixels(mut self, max_pixels: u64) -> Self {
        self.images.max_pixels = max_pixels;
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

    /// Divides a data set as another was: what that held out is held out, unless this data set has such images.
    pub fn divided_as(mut self, split: &Split) -> Self {
        self.validation = Some(split.shares.validation);
        self.test = Some(split.shares.test);
        self.seed = split.seed;
        self.if_missing = true;
        self
    }

    /// Accepts or refuses a single class.
    pub fn single_class(mut self, single_class: bool) -> Self {
        self.single_class = single_class;
        self
    }

    /// Sets the folder with the images that a table of labels lists.
    pub fn image_dir(mut self, dir: impl Into<Option<PathBuf>>) -> Self {
        self.image_dir = dir.into();
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

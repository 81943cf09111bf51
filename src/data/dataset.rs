//! Data sets of any kind: custom ones, images decoded from files on demand, or images in memory.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use super::split::held_out;
use super::{ImageSet, ResizedCrop};
use crate::error::{Error, Result};
use crate::shape::ImageSize;

/// A box of an image: top, left, height and width, for the image's height and width, all in pixels.
pub type Cut<'a> = dyn Fn([usize; 2]) -> [i32; 4] + Sync + 'a;

/// A supply of labelled images of one size. A program implements it to train on custom data.
///
/// Threads request many images at once, in any order and again in each epoch. [`get`](Self::get) must therefore return
/// the same image each time.
/// ```
/// use std::borrow::Cow;
/// use tilegrad::data::{Dataset, DatasetSource};
/// use tilegrad::shape::ImageSize;
///
/// /// Images of one shade: class 0 is dark, class 1 bright.
/// struct Shades;
///
/// impl Dataset for Shades {
///     fn len(&self) -> usize {
///         100
///     }
///     fn image_size(&self) -> ImageSize {
///         ImageSize::new(8, 8, 1)
///     }
///     fn classes(&self) -> usize {
///         2
///     }
///     fn get(&self, i: usize) -> tilegrad::Result<(Cow<'_, [u8]>, i32)> {
///         let label = (i % 2) as i32;
///         Ok((Cow::Owned(vec![50 + 100 * label as u8; 64]), label))
///     }
/// }
///
/// let source = DatasetSource::new("train", Shades);
/// # use tilegrad::data::BatchSource;
/// # assert_eq!(source.len(), 100);
/// ```
pub trait Dataset: Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// True if there are no images.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size of every image.
    fn image_size(&self) -> ImageSize;

    /// Number of classes; labels are 0..classes.
    fn classes(&self) -> usize;

    /// Class names by index; empty if there are none.
    fn class_names(&self) -> &[String] {
        &[]
    }

    /// Returns image `i` as bytes [height, width, channels], and its label; `i` is below [`len`](Self::len).
    ///
    /// An error ends the run, so it should name the file at fault.
    fn get(&self, i: usize) -> Result<(Cow<'_, [u8]>, i32)>;

    /// Returns image `i` as [`get`](Self::get) does, but a box of it alone: cut out of the image at its full size, then
    /// scaled to the height and width of `to`. `cut` gives top, left, height and width of the box in pixels for the
    /// height and width of the upright image.
    ///
    /// `None`, the default, if nothing larger is there than what [`get`](Self::get) returns; the box is then cut out of
    /// that.
    fn get_cut(&self, i: usize, to: [usize; 2], cut: &Cut<'_>) -> Result<Option<(Vec<u8>, i32)>> {
        let _ = (i, to, cut);
        Ok(None)
    }

    /// Returns the label of image `i`. A data set that knows its labels without reading images should implement it.
    fn label(&self, i: usize) -> Result<i32> {
        Ok(self.get(i)?.1)
    }

    /// Returns the file of image `i`, if it comes from one.
    fn path(&self, _i: usize) -> Option<&Path> {
        None
    }

    /// CRC-32C of the whole file that image `i` comes from, if the file holds this image alone and the digest is known.
    fn file_digest(&self, i: usize) -> Option<u32> {
        let _ = i;
        None
    }

    /// Returns four bytes by which image `i` is known again in another data set, whatever its label: the digest of its
    /// file, else the CRC-32C of its bytes.
    fn digest(&self, i: usize) -> Result<u32> {
        match self.file_digest(i) {
            Some(digest) => Ok(digest),
            None => Ok(crc32c::crc32c(&self.get(i)?.0)),
        }
    }
}

impl Dataset for ImageSet {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn image_size(&self) -> ImageSize {
        ImageSet::image_size(self)
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn get(&self, i: usize) -> Result<(Cow<'_, [u8]>, i32)> {
        match self.labels.get(i) {
            Some(&label) => Ok((Cow::Borrowed(self.image(i)), label)),
            None => Err(beyond(i, self.labels.len())),
        }
    }

    fn label(&self, i: usize) -> Result<i32> {
        self.labels.get(i).copied().ok_or_else(|| beyond(i, self.labels.len()))
    }

    fn file_digest(&self, i: usize) -> Option<u32> {
        self.digests.get(i).copied()
    }
}

impl<D: Dataset + ?Sized> Dataset for Arc<D> {
    fn len(&self) -> usize {
        (**self).len()
    }

    fn image_size(&self) -> ImageSize {
        (**self).image_size()
    }

    fn classes(&self) -> usize {
        (**self).classes()
    }

    fn class_names(&self) -> &[String] {
        (**self).class_names()
    }

    fn get(&self, i: usize) -> Result<(Cow<'_, [u8]>, i32)> {
        (**self).get(i)
    }

    fn get_cut(&self, i: usize, to: [usize; 2], cut: &Cut<'_>) -> Result<Option<(Vec<u8>, i32)>> {
        (**self).get_cut(i, to, cut)
    }

    fn label(&self, i: usize) -> Result<i32> {
        (**self).label(i)
    }

    fn path(&self, i: usize) -> Option<&Path> {
        (**self).path(i)
    }

    fn file_digest(&self, i: usize) -> Option<u32> {
        (**self).file_digest(i)
    }

    fn digest(&self, i: usize) -> Result<u32> {
        (**self).digest(i)
    }
}

/// A subset of a data set, as torch.utils.data's `Subset`. Subsets share the whole.
#[derive(Clone, Debug)]
pub struct Subset<D> {
    whole: Arc<D>,
    indices: Vec<u32>,
}

impl<D: Dataset> Subset<D> {
    /// Selects the images of `whole` at `indices`, in that order. [`Error::Config`] names an index out of range.
    pub fn new(whole: Arc<D>, indices: Vec<u32>) -> Result<Self> {
        match indices.iter().find(|&&i| i as usize >= whole.len()) {
            Some(&i) => Err(beyond(i as usize, whole.len())),
            None => Ok(Subset { whole, indices }),
        }
    }

    /// Splits `whole` into (training, validation) with the same choice as [`ImageSet::split_validation`].
    pub fn split(whole: Arc<D>, share: f64, seed: u64) -> Result<(Self, Self)> {
        let labels: Vec<i32> = (0..whole.len()).map(|i| whole.label(i)).collect::<Result<_>>()?;
        let (training, validation) = held_out(&labels, share, seed)?;
        Ok((Subset { whole: Arc::clone(&whole), indices: training }, Subset { whole, indices: validation }))
    }

    fn index(&self, i: usize) -> Result<usize> {
        self.indices.get(i).map(|&index| index as usize).ok_or_else(|| beyond(i, self.indices.len()))
    }

    /// Indices into the whole.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// The data set that it is a subset of.
    pub fn whole(&self) -> &D {
        &self.whole
    }
}

impl<D: Dataset> Dataset for Subset<D> {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn image_size(&self) -> ImageSize {
        self.whole.image_size()
    }

    fn classes(&self) -> usize {
        self.whole.classes()
    }

    fn class_names(&self) -> &[String] {
        self.whole.class_names()
    }

    fn get(&self, i: usize) -> Result<(Cow<'_, [u8]>, i32)> {
        self.whole.get(self.index(i)?)
    }

    fn get_cut(&self, i: usize, to: [usize; 2], cut: &Cut<'_>) -> Result<Option<(Vec<u8>, i32)>> {
        self.whole.get_cut(self.index(i)?, to, cut)
    }

    fn label(&self, i: usize) -> Result<i32> {
        self.whole.label(self.index(i)?)
    }

    fn path(&self, i: usize) -> Option<&Path> {
        self.whole.path(*self.indices.get(i)? as usize)
    }

    fn file_digest(&self, i: usize) -> Option<u32> {
        self.whole.file_digest(*self.indices.get(i)? as usize)
    }

    fn digest(&self, i: usize) -> Result<u32> {
        self.whole.digest(self.index(i)?)
    }
}

impl ImageSet {
    /// Reads all images of `dataset` into memory, on all cores. The first failed image is the error.
    pub fn collect(dataset: &dyn Dataset) -> Result<Self> {
        let indices: Vec<u32> = (0..dataset.len() as u32).collect();
        let Bytes { images, labels, .. } = Bytes::read(dataset, &indices, None)?;
        let mut set = ImageSet::new(images, labels, dataset.image_size(), dataset.classes())?;
        // Those of all images, or of none.
        set.digests = (0..dataset.len()).map(|i| dataset.file_digest(i)).collect::<Option<_>>().unwrap_or_default();
        match dataset.class_names() {
            [] => Ok(set),
            names => set.named(names.iter().cloned()),
        }
    }
}

/// Images of a data set in sequence, and their labels.
#[derive(Debug, PartialEq)]
pub(crate) struct Bytes {
    pub images: Vec<u8>,
    pub labels: Vec<i32>,
    /// Bytes of each slot of `images`, and of an image that has been cut.
    slot: usize,
    cut: usize,
    /// For each image, whether it has been cut.
    is_cut: Vec<bool>,
}

/// The random boxes of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cuts {
    pub crop: ResizedCrop,
    pub random: [i32; 4],
    /// Height and width of the result.
    pub to: [usize; 2],
}

impl Bytes {
    /// Reads the images at `indices` with their labels, and checks them against the data set's properties. With `cuts`
    /// each is the box drawn for it, where the data set can cut it. Of several errors the first in order is returned.
    pub fn read(dataset: &dyn Dataset, indices: &[u32], cuts: Option<Cuts>) -> Result<Self> {
        let size = dataset.image_size();
        let cut = cuts.map_or(0, |Cuts { to: [height, width], .. }| height * width * size.channels);
        let slot = size.values().max(cut);
        let mut images = vec![0; indices.len() * slot];
        let read = |(output, &index): (&mut [u8], &u32)| {
            let part = match cuts {
                Some(Cuts { crop, random, to }) => {
                    dataset.get_cut(index as usize, to, &|extents| crop.draw(&random, index, extents))?
                }
                None => None,
            };
            let (is_cut, expected) = if part.is_some() { (true, cut) } else { (false, size.values()) };
            let (image, label) = match part {
                Some((image, label)) => (Cow::Owned(image), label),
                None => dataset.get(index as usize)?,
            };
            check(dataset, index, [expected, image.len()], label)?;
            output[..expected].copy_from_slice(&image);
            Ok((label, is_cut))
        };
        let read: Vec<Result<(i32, bool)>> = images.par_chunks_mut(slot.max(1)).zip(indices).map(read).collect();
        let (labels, is_cut) = read.into_iter().collect::<Result<Vec<_>>>()?.into_iter().unzip();
        Ok(Bytes { images, labels, slot, cut, is_cut })
    }

    /// The image in this slot, if it has been cut.
    pub fn cut(&self, slot: usize) -> Option<&[u8]> {
        self.is_cut[slot].then(|| &self.images[slot * self.slot..][..self.cut])
    }

    /// The image of `size` in this slot, if it has not been cut.
    pub fn whole(&self, slot: usize, size: ImageSize) -> &[u8] {
        &self.images[slot * self.slot..][..size.values()]
    }
}

/// Checks image `index` against the properties of `dataset`.
fn check(dataset: &dyn Dataset, index: u32, [expected, len]: [usize; 2], label: i32) -> Result<()> {
    if len != expected {
        let size = dataset.image_size();
        let message = match size.values() == expected {
            true => format!("image {index} has {len} bytes, {size} are expected"),
            false => format!("image {index} has {len} bytes after its box was cut, {expected} are expected"),
        };
        return Err(Error::config("data set", message).between(expected, len));
    }
    if usize::try_from(label).is_ok_and(|class| class < dataset.classes()) {
        return Ok(());
    }
    let message = format!("image {index} has label {label}, there are {} classes", dataset.classes());
    Err(Error::config("data set", message))
}

fn beyond(i: usize, len: usize) -> Error {
    Error::config("data set", format!("image {i} of a data set of {len}"))
}

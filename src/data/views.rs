//! Views of data sets: several one after the other, and one with other labels.

use std::borrow::Cow;
use std::path::Path;

use super::Dataset;
use crate::error::{Error, Result};
use crate::shape::ImageSize;

/// Several data sets one after the other, as torch.utils.data's `ConcatDataset`.
#[derive(Clone, Debug)]
pub struct ConcatDataset<D> {
    parts: Vec<D>,
}

impl<D: Dataset> ConcatDataset<D> {
    /// Creates the sequence of `parts`, of which there must be one at least. [`Error::Config`] unless all have images of
    /// one size and the same classes.
    pub fn new(parts: Vec<D>) -> Result<Self> {
        let [first, others @ ..] = parts.as_slice() else {
            return Err(Error::config("data sets", "are none, of which nothing can be made"));
        };
        for other in others {
            if other.image_size() != first.image_size() {
                let message = format!("have images of {} and of {}", first.image_size(), other.image_size());
                return Err(Error::config("data sets", message));
            }
            if other.classes() != first.classes() || other.class_names() != first.class_names() {
                return Err(Error::config("data sets", "have different classes"));
            }
        }
        Ok(ConcatDataset { parts })
    }

    /// The part that image `i` is in, and its index there.
    fn place(&self, mut i: usize) -> Result<(&D, usize)> {
        for part in &self.parts {
            match i.checked_sub(part.len()) {
                None => return Ok((part, i)),
                Some(beyond) => i = beyond,
            }
        }
        Err(Error::config("data set", format!("image {} of a data set of {}", i + self.len(), self.len())))
    }
}

impl<D: Dataset> Dataset for ConcatDataset<D> {
    fn len(&self) -> usize {
        self.parts.iter().map(Dataset::len).sum()
    }

    fn image_size(&self) -> ImageSize {
        self.parts[0].image_size()
    }

    fn classes(&self) -> usize {
        self.parts[0].classes()
    }

    fn class_names(&self) -> &[String] {
        self.parts[0].class_names()
    }

    fn get(&self, i: usize) -> Result<(Cow<'_, [u8]>, i32)> {
        let (part, i) = self.place(i)?;
        part.get(i)
    }

    fn label(&self, i: usize) -> Result<i32> {
        let (part, i) = self.place(i)?;
        part.label(i)
    }

    fn path(&self, i: usize) -> Option<&Path> {
        let (part, i) = self.place(i).ok()?;
        part.path(i)
    }

    fn file_digest(&self, i: usize) -> Option<u32> {
        let (part, i) = self.place(i).ok()?;
        part.file_digest(i)
    }

    fn digest(&self, i: usize) -> Result<u32> {
        let (part, i) = self.place(i)?;
        part.digest(i)
    }
}

/// A data set whose classes have other numbers and names, as those of a network that knows more of them.
#[derive(Clone, Debug)]
pub struct Relabelled<D> {
    whole: D,
    labels: Vec<i32>,
    names: Vec<String>,
}

impl<D: Dataset> Relabelled<D> {
    /// Gives class `i` of `whole` the number `labels[i]` among the classes called `names`. [`Error::Config`] unless there
    /// is such a number for each class.
    pub fn new(whole: D, labels: Vec<i32>, names: Vec<String>) -> Result<Self> {
        let inside = |&label: &i32| usize::try_from(label).is_ok_and(|label| label < names.len());
        if labels.len() != whole.classes() || !labels.iter().all(inside) {
            let message = format!("{labels:?} are not a class out of {} for each of {}", names.len(), whole.classes());
            return Err(Error::config("labels", message));
        }
        Ok(Relabelled { whole, labels, names })
    }

    /// The new number of a class. A label outside the classes stays, for its user to refuse.
    fn number(&self, label: i32) -> i32 {
        usize::try_from(label).ok().and_then(|label| self.labels.get(label).copied()).unwrap_or(label)
    }
}

impl<D: Dataset> Dataset for Relabelled<D> {
    fn len(&self) -> usize {
        self.whole.len()
    }

    fn image_size(&self) -> ImageSize {
        self.whole.image_size()
    }

    fn classes(&self) -> usize {
        self.names.len()
    }

    fn class_names(&self) -> &[String] {
        &self.names
    }

    fn get(&self, i: usize) -> Result<(Cow<'_, [u8]>, i32)> {
        let (image, label) = self.whole.get(i)?;
        Ok((image, self.number(label)))
    }

    fn label(&self, i: usize) -> Result<i32> {
        Ok(self.number(self.whole.label(i)?))
    }

    fn path(&self, i: usize) -> Option<&Path> {
        self.whole.path(i)
    }

    fn file_digest(&self, i: usize) -> Option<u32> {
        self.whole.file_digest(i)
    }

    fn digest(&self, i: usize) -> Result<u32> {
        self.whole.digest(i)
    }
}

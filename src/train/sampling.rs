//! The way in which an epoch draws its images, and the batches that follow from it.

use std::fmt;

use crate::data::{BatchSource, balanced_batches, epoch_batches};
use crate::error::{Error, Result};

/// The way in which an epoch draws its images. The order depends on the seed and the epoch alone, so a resumed run
/// continues with the same batches, on any engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sampling {
    /// Every image once, in random order.
    #[default]
    Shuffled,
    /// As many images as there are, drawn with replacement, every class equally likely: [`balanced_batches`]. It needs
    /// the labels of the training images: [`BatchSource::labels`].
    Balanced,
}

impl fmt::Display for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sampling::Shuffled => "shuffled",
            Sampling::Balanced => "balanced",
        })
    }
}

/// The labels of `train`, one for each image. [`Error::Config`] for `field` if the source doesn't know them.
pub(super) fn labels(train: &dyn BatchSource, field: &str) -> Result<Vec<i32>> {
    let Some(labels) = train.labels() else {
        let message = format!(
            "needs the label of every training image, which \"{}\" does not tell: implement BatchSource::labels",
            train.name()
        );
        return Err(Error::config(field, message));
    };
    if labels.len() != train.len() {
        let message = format!("\"{}\" tells {} labels for {} images", train.name(), labels.len(), train.len());
        return Err(Error::config(field, message).between(train.len(), labels.len()));
    }
    Ok(labels)
}

impl Sampling {
    /// Returns an error if `train` can't be drawn from in this way.
    pub(super) fn check(self, train: &dyn BatchSource) -> Result<()> {
        if self == Sampling::Balanced && labels(train, "sampling")?.iter().all(|&label| label < 0) {
            return Err(Error::config("sampling", format!("\"{}\" has no image of any class", train.name())));
        }
        Ok(())
    }

    /// The batches of an epoch of `train`.
    pub(super) fn batches(
        self,
        train: &dyn BatchSource,
        size: usize,
        seed: u64,
        epoch: usize,
    ) -> Result<Vec<Vec<u32>>> {
        match self {
            Sampling::Shuffled => Ok(epoch_batches(train.len(), size, seed, epoch)),
            Sampling::Balanced => Ok(balanced_batches(&labels(train, "sampling")?, size, seed, epoch)),
        }
    }
}

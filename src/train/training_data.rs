//! The images that a network was trained on, as its card tells them, and which of a data set's are among them.

use rayon::prelude::*;

use crate::data::{Dataset, Split};
use crate::error::Result;

/// The images that a network was trained on: how they were chosen, and four bytes of each ([`Dataset::digest`]).
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingData {
    /// Origin of validation and test images.
    pub split: Split,
    /// In order.
    digests: Vec<u32>,
}

impl TrainingData {
    /// Creates the description of images with these digests.
    pub fn new(split: Split, mut digests: Vec<u32>) -> Self {
        digests.sort_unstable();
        TrainingData { split, digests }
    }

    /// Describes the training images `train` of a data set that was divided in this way.
    pub fn of(split: Split, train: &dyn Dataset) -> Result<Self> {
        Ok(TrainingData::new(split, digests(train)?))
    }

    /// The digests in order, one for each image.
    pub fn digests(&self) -> &[u32] {
        &self.digests
    }

    /// True for each image of `dataset` that has the digest of a training image.
    pub fn seen(&self, dataset: &dyn Dataset) -> Result<Vec<bool>> {
        Ok(digests(dataset)?.iter().map(|digest| self.digests.binary_search(digest).is_ok()).collect())
    }

    /// Number of images out of `count` that share four bytes with a training image by chance, except once in a million
    /// times.
    pub(super) fn by_chance(&self, count: usize) -> usize {
        let expected = count as f64 * self.digests.len() as f64 / f64::from(u32::MAX);
        // A Poisson distribution: the least number above which less than a millionth lies.
        let (mut term, mut below, mut number) = ((-expected).exp(), 0.0, 0);
        loop {
            below += term;
            if 1.0 - below < 1e-6 || number > count {
                return number;
            }
            number += 1;
            term *= expected / number as f64;
        }
    }
}

/// The digest of each image.
fn digests(dataset: &dyn Dataset) -> Result<Vec<u32>> {
    (0..dataset.len()).into_par_iter().map(|i| dataset.digest(i)).collect()
}

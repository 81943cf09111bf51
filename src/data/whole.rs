//! A data set in memory as its files give it, and its division.

use super::ImageSet;
use super::split::{DataPart, Split, SplitKind, Wanted};
use crate::error::Result;

/// A data set in memory as its files give it.
pub(super) struct Whole {
    pub train: ImageSet,
    pub validation: Option<ImageSet>,
    pub test: Option<ImageSet>,
    /// Remarks for people.
    pub notes: Vec<String>,
}

impl Whole {
    /// Gives all images this number of channels.
    pub fn with_channels(self, channels: usize) -> Result<Self> {
        let convert = |set: Option<ImageSet>| set.map(|set| set.with_channels(channels)).transpose();
        let (validation, test) = (convert(self.validation)?, convert(self.test)?);
        Ok(Whole { train: self.train.with_channels(channels)?, validation, test, notes: self.notes })
    }

    /// Holds out what is missing, in the memory that the images have. Returns the images to train on, to validate with
    /// and to test with.
    pub fn divide(self, wanted: Wanted) -> Result<([ImageSet; 3], Split)> {
        let has = [self.validation.is_some(), self.test.is_some()];
        let parts = vec![DataPart::Train; self.train.len()];
        let (division, split) = wanted.divide(&self.train.labels, &parts, has)?;
        let kept = self.train.subset(&[]);
        let [train, validation, test] = match division.train.len() == self.train.len() {
            true => [self.train, kept.clone(), kept],
            false => self.train.divide([&division.train, &division.validation, &division.test])?,
        };
        let given = |kind, given: Option<ImageSet>, held: ImageSet| match (kind, given) {
            (SplitKind::Given, Some(given)) => given,
            _ => held,
        };
        let validation = given(split.validation, self.validation, validation);
        Ok(([train, validation, given(split.test, self.test, test)], split))
    }
}

//! Events of a training run.

use super::history::Epoch;
use crate::error::NonFinite;
use crate::plan::Memory;

/// An event of a training run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The first program is ready, with its memory if planned.
    Ready(Option<Memory>),
    /// An update of the parameters has been submitted. Each step is one batch.
    Step {
        /// The epoch, from 1.
        epoch: usize,
        /// Number of batches so far, over all epochs.
        steps: u32,
    },
    /// Some steps have finished.
    Progress {
        /// The epoch, from 1.
        epoch: usize,
        /// Number of images of this epoch that have been processed.
        images: usize,
        /// Number of images in an epoch.
        of: usize,
        /// The epoch's mean loss so far.
        loss: f64,
        /// The epoch's share of correct predictions so far, 0 to 1.
        accuracy: f64,
        /// Images per second over this epoch so far.
        images_per_second: f64,
    },
    /// An epoch, with its validation, has finished.
    Epoch(&'a Epoch),
    /// A loss was not finite, and the run continues: [`super::OnNonFinite::Warn`].
    NonFinite(&'a NonFinite),
    /// The device was lost, and the run continues on a new one from step `steps`.
    Renewed {
        /// The known cause of the loss.
        reason: &'a str,
        /// Number of steps in the host's last copy.
        steps: u32,
    },
    /// The run has ended for any reason but an error.
    End,
}

/// The decision of a callback about the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The run continues.
    Continue,
    /// The run ends after the current step; a later [`super::Trainer::fit`] continues from there.
    /// [`super::Checkpoints`] and [`super::Record`] write a checkpoint there, in the middle of an epoch too.
    Stop,
}

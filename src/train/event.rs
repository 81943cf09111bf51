//! What a training run says of itself while it runs.

use super::history::Epoch;
use crate::error::NonFinite;
use crate::plan::Memory;

/// What a training run says of itself while it runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The first program is ready: its memory, where it is planned.
    Ready(Option<Memory>),
    /// An update of the parameters has been submitted: the steps so far, each of a batch.
    Step {
        /// The epoch, from 1.
        epoch: usize,
        /// Batches so far, over all epochs.
        steps: u32,
    },
    /// Some steps are done.
    Progress {
        /// The epoch, from 1.
        epoch: usize,
        /// Images of this epoch that are done.
        images: usize,
        /// Images of an epoch.
        of: usize,
        /// The epoch's mean loss so far.
        loss: f64,
        /// The epoch's share of right predictions so far, 0 to 1.
        accuracy: f64,
        /// Over this epoch so far.
        images_per_second: f64,
    },
    /// An epoch is done, validation included.
    Epoch(&'a Epoch),
    /// A loss was not finite, and the run goes on: [`super::OnNonFinite::Warn`].
    NonFinite(&'a NonFinite),
    /// The device was lost, for this reason; the run goes on with a new one from step `steps`.
    Renewed {
        /// What is known of the loss.
        reason: &'a str,
        /// The steps that the host's last copy has.
        steps: u32,
    },
    /// The run is over, whatever ended it but an error.
    End,
}

/// Whether a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    Continue,
    /// It ends after what it is at; a later [`super::Trainer::fit`] goes on from there. [`super::Checkpoints`] and
    /// [`super::Record`] write a checkpoint there, in the middle of an epoch too.
    Stop,
}

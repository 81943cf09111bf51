//! Reports of loss and accuracy without waiting for the device: requested after a step, made once the numbers have
//! arrived.

use super::event::{Event, Flow};
use super::fit::Callbacks;
use super::trainer::{Report, Trainer, losses_of};
use crate::data::BatchSource;
use crate::error::Result;
use crate::graph::Purpose;
use crate::ops::metrics::Metrics;

impl Trainer {
    /// Requests the numbers as of the present epoch's last step so far, without waiting for them.
    pub(super) fn ask(&mut self, epoch: usize, images: usize) -> Result<()> {
        let reading = self.engine.request_state(losses_of(Purpose::Train))?;
        self.asked.push_back(Report { epoch, batch: self.run.batch, images, reading });
        Ok(())
    }

    /// Makes the reports whose numbers have arrived, in the order of their steps. Waits for the rest too if `all` is
    /// true.
    pub(super) fn deliver(
        &mut self,
        train: &mut dyn BatchSource,
        callbacks: Callbacks<'_, '_>,
        all: bool,
    ) -> Result<Flow> {
        let mut flow = Flow::Continue;
        while let Some(report) = self.asked.front_mut() {
            let state = match all {
                true => report.reading.wait()?,
                false => match report.reading.poll()? {
                    Some(state) => state,
                    None => break,
                },
            };
            let Some(Report { epoch, batch, images, .. }) = self.asked.pop_front() else { break };
            let metrics = Metrics::from_state(&state)?;
            self.note(batch, &metrics);
            if let Some(&loss) = self.run.history.losses.iter().find(|loss| !loss.is_finite()) {
                self.trip(train, callbacks, loss)?;
            }
            let event = Event::Progress {
                epoch,
                images,
                of: train.len(),
                loss: metrics.loss,
                accuracy: metrics.accuracy,
                images_per_second: images as f64 / self.run.epoch_seconds(),
            };
            if self.tell(callbacks, &event)? == Flow::Stop {
                flow = Flow::Stop;
            }
        }
        Ok(flow)
    }

    /// Appends the losses of the steps since the last call to the history, waiting for all of them.
    pub(super) fn note_losses(&mut self) -> Result<()> {
        if self.run.batch > 0 {
            let metrics = Metrics::from_state(&self.engine.state(losses_of(Purpose::Train))?)?;
            self.note(self.run.batch, &metrics);
        }
        Ok(())
    }

    /// Appends the new losses after `batch` batches of the epoch to the history.
    fn note(&mut self, batch: usize, metrics: &Metrics) {
        // An earlier request may arrive after a wait for a later one.
        let new = metrics.losses.len().min(batch.saturating_sub(self.run.noted));
        self.run.history.losses.extend(&metrics.losses[metrics.losses.len() - new..]);
        self.run.noted = self.run.noted.max(batch);
    }
}

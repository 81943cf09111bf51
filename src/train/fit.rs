//! The loop over epochs: batches in order, rates, reports, validation, the end of a run, and recovery from a lost
//! device.
//!
//! The position of a run follows from its counts alone, so the loop continues from wherever a snapshot has set them.

use std::path::Path;
use std::time::Instant;

use super::early_stopping::{Monitor, no_accuracy};
use super::event::{Event, Flow};
use super::history::{Epoch, History, Measured};
use super::options::{OnNonFinite, TrainOptions};
use super::trainer::{Callback, Share, Trainer, losses_of, state_of};
use crate::data::{Batch, BatchSource};
use crate::error::{Error, Result};
use crate::graph::Purpose;
use crate::ops::metrics::{HISTORY, Metrics};
use crate::optim::{Mode, Rates};
use crate::rng;

/// The name of a snapshot in memory, for errors.
const IN_MEMORY: &str = "the run's last copy in memory";

/// Combines an epoch's training metrics and validation metrics.
fn both(train: Vec<(String, f64)>, validation: Vec<(String, f64)>) -> Vec<Measured> {
    let pairs = train.into_iter().zip(validation);
    pairs.map(|((name, train), (_, validation))| Measured { name, train, validation }).collect()
}

/// All callbacks of a run.
pub(super) type Callbacks<'a, 'b> = &'a mut [&'b mut dyn Callback];

impl Trainer {
    /// Starts the clocks at these seconds, for the run and for its epoch.
    pub(super) fn start_clocks(&mut self, run: f64, epoch: f64) {
        self.run.clocks.start(run, epoch);
        self.run.noted = self.run.batch;
    }

    /// Trains until the number of epochs in the options is reached, and validates after each. Callbacks added by
    /// [`Trainer::on`] receive the events.
    ///
    /// Without validation images it trains all the same; an epoch's validation is then NaN
    /// ([`Epoch::is_validated`]). [`Error::Config`] if early stopping or the schedule depends on it.
    ///
    /// The history covers the whole run, including the part before [`Trainer::restore`]; its losses may begin later.
    pub fn fit(&mut self, train: &mut dyn BatchSource, validation: &mut dyn BatchSource) -> Result<History> {
        self.fit_with(train, validation, &mut [])
    }

    /// Trains like [`Trainer::fit`], with additional borrowed callbacks. Each receives every event, and may end the
    /// run.
    pub fn fit_with(
        &mut self,
        train: &mut dyn BatchSource,
        validation: &mut dyn BatchSource,
        lent: Callbacks<'_, '_>,
    ) -> Result<History> {
        let mut own = std::mem::take(&mut self.callbacks);
        let mut callbacks: Vec<&mut dyn Callback> = own.iter_mut().map(|callback| &mut **callback as _).collect();
        callbacks.extend(lent.iter_mut().map(|callback| &mut **callback as &mut dyn Callback));
        let history = self.fit_all(train, validation, &mut callbacks);
        // A callback added during the run receives events from the next call on.
        own.append(&mut self.callbacks);
        self.callbacks = own;
        history
    }

    fn fit_all(
        &mut self,
        train: &mut dyn BatchSource,
        validation: &mut dyn BatchSource,
        callbacks: Callbacks<'_, '_>,
    ) -> Result<History> {
        self.check_monitors(!validation.is_empty())?;
        self.options.sampling.check(train)?;
        let mut lost_at = None;
        // Drops the reports of a run that ended with an error.
        self.asked.clear();
        self.start_clocks(self.run.seconds(), self.run.epoch_seconds());
        self.run.clocks.warm = false;
        let mut step_ms = Vec::new();
        loop {
            match self.epochs_with(train, validation, callbacks, &mut step_ms) {
                Ok(()) => break,
                // A second loss at the same step is no accident.
                Err(Error::DeviceLost(reason)) if lost_at != Some(self.run.steps) => {
                    lost_at = Some(self.run.steps);
                    self.renew(&reason)?;
                    let steps = self.run.steps;
                    if self.tell(callbacks, &Event::Renewed { reason: &reason, steps })? == Flow::Stop {
                        break;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        self.note_losses()?;
        if self.has_classes && !self.run.history.epochs.is_empty() {
            // A run that had ended before has no validation here.
            self.validated = self.confusion().ok();
        }
        // The time until the next call does not count.
        self.run.clocks.stop();
        step_ms.sort_by(f64::total_cmp);
        let history = &mut self.run.history;
        history.median_step_ms = step_ms.get(step_ms.len() / 2).copied().unwrap_or(history.first_step_ms);
        self.run.history.seconds = self.run.seconds();
        self.tell(callbacks, &Event::End)?;
        Ok(self.run.history.clone())
    }

    /// Returns an error if the end of the run or its learning rate depends on a validation that there is not, or on an
    /// accuracy that the loss does not have.
    fn check_monitors(&self, validates: bool) -> Result<()> {
        if !validates {
            let message = "looks at the validation, and there are no images to validate with: hold some out";
            if self.options.early_stopping.is_some() {
                return Err(Error::config("early_stopping", message));
            }
            // Only a schedule that depends on results keeps a state.
            if !self.schedule.state().is_empty() {
                return Err(Error::config("schedule", message));
            }
        }
        if self.has_classes {
            return Ok(());
        }
        let stopping = self.options.early_stopping.map(|stopping| stopping.monitor);
        if stopping == Some(Monitor::ValidationAccuracy) {
            return Err(no_accuracy("early_stopping"));
        }
        if self.schedule.mode() == Mode::Max {
            return Err(no_accuracy("schedule"));
        }
        Ok(())
    }

    /// The states of the metrics measured in training beside the loss.
    fn train_metrics(&self) -> Vec<String> {
        self.metrics.iter().map(|name| state_of(Purpose::Train, name)).collect()
    }

    /// Passes an event to all callbacks.
    pub(super) fn tell(&mut self, callbacks: Callbacks<'_, '_>, event: &Event<'_>) -> Result<Flow> {
        let mut flow = Flow::Continue;
        for callback in callbacks.iter_mut() {
            if callback.on_event(event, self)? == Flow::Stop {
                flow = Flow::Stop;
            }
        }
        Ok(flow)
    }

    /// Replaces a lost device, and restores the run from the host's last copy.
    fn renew(&mut self, reason: &str) -> Result<()> {
        log::warn!("the device was lost: {reason}");
        let Some(kept) = self.kept.clone() else { return Err(Error::DeviceLost(reason.into())) };
        if !self.engine.renew()? {
            return Err(Error::DeviceLost(reason.into()));
        }
        self.programs.clear();
        self.prepared.clear();
        self.engine.initialise(&self.tape, self.options.seed)?;
        self.restore(&kept, Path::new(IN_MEMORY))
    }

    /// True if no epoch is left, or early stopping ends the run.
    fn is_over(&self) -> bool {
        let TrainOptions { epochs, early_stopping, .. } = self.options;
        self.run.epochs >= epochs || early_stopping.is_some_and(|stopping| stopping.is_enough(&self.run.history.epochs))
    }

    fn epochs_with(
        &mut self,
        train: &mut dyn BatchSource,
        validation: &mut dyn BatchSource,
        callbacks: Callbacks<'_, '_>,
        step_ms: &mut Vec<f64>,
    ) -> Result<()> {
        if self.programs.is_empty() {
            self.check_memory(train)?;
        }
        self.prepare(train)?;
        if self.kept.is_none() {
            self.snapshot()?;
        }
        while !self.is_over() {
            if self.train_epoch(train, callbacks, step_ms)? == Flow::Stop {
                return Ok(());
            }
            let lr = self.rates(train.len(), self.run.batch.saturating_sub(1)).lr;
            let metrics = self.measured(Purpose::Train)?;
            let train_seconds = self.run.epoch_seconds();
            let validated = self.validate(validation)?;
            if !validation.is_empty() {
                if !validated.loss.is_finite() {
                    self.trip(train, callbacks, validated.loss as f32)?;
                }
                self.schedule.observe(match self.schedule.mode() {
                    Mode::Min => validated.loss,
                    Mode::Max => validated.accuracy,
                });
            }
            let epoch = Epoch {
                epoch: self.run.epochs + 1,
                train_loss: metrics.loss,
                train_accuracy: metrics.accuracy,
                validation_loss: validated.loss,
                validation_accuracy: validated.accuracy,
                lr,
                seconds: self.run.epoch_seconds(),
                images_per_second: train.len() as f64 / train_seconds,
                metrics: both(metrics.others, validated.others),
            };
            self.run.history.epochs.push(epoch.clone());
            self.run.epochs += 1;
            (self.run.batch, self.run.noted) = (0, 0);
            self.start_clocks(self.run.seconds(), 0.0);
            self.snapshot()?;
            if self.tell(callbacks, &Event::Epoch(&epoch))? == Flow::Stop {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Evaluates on the validation images. Without any, every number is NaN.
    fn validate(&mut self, validation: &mut dyn BatchSource) -> Result<Metrics> {
        if !validation.is_empty() {
            return self.evaluate(validation);
        }
        let others = self.metrics.iter().map(|name| (name.clone(), f64::NAN)).collect();
        Ok(Metrics { loss: f64::NAN, accuracy: f64::NAN, others, ..Metrics::default() })
    }

    /// The rates of batch `i` of the present epoch.
    ///
    /// A schedule counts updates, which are fewer than steps when gradients of several batches are accumulated. It also
    /// counts the updates of epochs before a run was loaded.
    pub(super) fn rates(&self, images: usize, i: usize) -> Rates {
        let TrainOptions { batch_size, accumulate, .. } = self.options;
        let updates = self.run.epochs * images.div_ceil(batch_size).div_ceil(accumulate);
        self.schedule.rates(updates + i / accumulate, self.run.epochs)
    }

    /// The batches of the present epoch.
    pub(super) fn batches(&self, train: &dyn BatchSource) -> Result<Vec<Vec<u32>>> {
        let TrainOptions { batch_size, seed, sampling, .. } = self.options;
        sampling.batches(train, batch_size, seed, self.run.epochs + 1)
    }

    /// Trains on the rest of the present epoch's batches.
    fn train_epoch(
        &mut self,
        train: &mut dyn BatchSource,
        callbacks: Callbacks<'_, '_>,
        step_ms: &mut Vec<f64>,
    ) -> Result<Flow> {
        let TrainOptions { batch_size, report_every, accumulate, .. } = self.options;
        let mut flow = Flow::Continue;
        if self.run.batch == 0 {
            for state in std::iter::once(losses_of(Purpose::Train).to_string()).chain(self.train_metrics()) {
                self.engine.clear_state(&state)?;
            }
        }
        let batches = self.batches(train)?;
        let left = batches.iter().skip(self.run.batch).zip(self.run.steps..);
        let fed = left.map(|(batch, step)| Batch::train(batch, rng::draw(self.options.seed, step)));
        train.plan(&fed.collect::<Vec<_>>());
        let epoch = self.run.epochs + 1;
        for (i, batch) in batches.iter().enumerate().skip(self.run.batch) {
            let began = Instant::now();
            let rates = self.rates(train.len(), i);
            let share = Share::new(&batches, i, accumulate);
            self.step(train, batch, rates, &share)?;
            self.run.batch = i + 1;
            self.run.history.steps = self.run.steps as usize;
            if self.run.clocks.warm {
                step_ms.push(began.elapsed().as_secs_f64() * 1e3);
            } else {
                self.engine.wait()?;
                self.run.history.first_step_ms = began.elapsed().as_secs_f64() * 1e3;
                self.run.clocks.warm = true;
                let program = self.program(train, Purpose::Train, batch.len())?;
                self.run.history.memory = self.engine.memory(program);
                flow = self.tell(callbacks, &Event::Ready(self.run.history.memory))?;
            }
            let last = i + 1 == batches.len();
            if last || (i + 1) % report_every.min(HISTORY) == 0 {
                self.ask(epoch, (batch_size * i + batch.len()).min(train.len()))?;
            }
            if self.deliver(train, callbacks, last)? == Flow::Stop {
                flow = Flow::Stop;
            }
            // Between the batches of one update, gradients are partly accumulated; no snapshot holds them.
            if share.last {
                let event = Event::Step { epoch, steps: self.run.steps };
                if self.tell(callbacks, &event)? == Flow::Stop || flow == Flow::Stop {
                    self.deliver(train, callbacks, true)?;
                    return Ok(Flow::Stop);
                }
            }
        }
        Ok(flow)
    }

    /// Finds the tensor that made a loss non-finite. Ends the run, or reports the tensor.
    pub(super) fn trip(&mut self, train: &mut dyn BatchSource, callbacks: Callbacks<'_, '_>, loss: f32) -> Result<()> {
        let warn = self.options.on_non_finite == OnNonFinite::Warn;
        if warn && self.run.history.warned {
            return Ok(());
        }
        let found = self.find_non_finite(train, loss)?;
        if !warn {
            return Err(Error::NonFinite(found));
        }
        self.run.history.warned = true;
        self.tell(callbacks, &Event::NonFinite(&found))?;
        Ok(())
    }
}

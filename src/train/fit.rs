//! The loop over epochs: batches in their order, rates, reports, validation, what ends a run, and a device that was lost.
//!
//! Where a run is follows from its counts alone, so the loop goes on from wherever a snapshot has put them.

use std::path::Path;
use std::time::Instant;

use super::event::{Event, Flow};
use super::history::{Epoch, History, Measured};
use super::options::{OnNonFinite, TrainOptions};
use super::trainer::{Callback, Share, Trainer, losses_of, state_of};
use crate::data::{BatchSource, epoch_batches};
use crate::error::{Error, Result};
use crate::graph::Purpose;
use crate::ops::metrics::HISTORY;
use crate::optim::{Mode, Rates};

/// What errors about a snapshot in memory name.
const IN_MEMORY: &str = "the run's last copy in memory";

/// The metrics of an epoch from those of its training and of its validation.
fn both(train: Vec<(String, f64)>, validation: Vec<(String, f64)>) -> Vec<Measured> {
    let pairs = train.into_iter().zip(validation);
    pairs.map(|((name, train), (_, validation))| Measured { name, train, validation }).collect()
}

/// What looks on, all together.
pub(super) type Callbacks<'a, 'b> = &'a mut [&'b mut dyn Callback];

impl Trainer {
    /// Goes on from so many seconds, of the run and of its epoch.
    pub(super) fn start_clocks(&mut self, run: f64, epoch: f64) {
        self.run.clocks.start(run, epoch);
        self.run.noted = self.run.batch;
    }

    /// Trains until the epochs that the options say are done, and validates after each; what [`Trainer::on`] has added looks on.
    ///
    /// The history is that of the whole run, what came before [`Trainer::restore`] included; its losses may begin later.
    pub fn fit(&mut self, train: &mut dyn BatchSource, validation: &mut dyn BatchSource) -> Result<History> {
        self.fit_with(train, validation, &mut [])
    }

    /// [`Trainer::fit`] with more callbacks, which are only lent: each gets every event, and may end the run.
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
        // What a callback has added meanwhile looks on from the next time.
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
        let mut lost_at = None;
        // Those of a run that an error has ended.
        self.asked.clear();
        self.start_clocks(self.run.seconds(), self.run.epoch_seconds());
        self.run.clocks.warm = false;
        let mut step_ms = Vec::new();
        loop {
            match self.epochs_with(train, validation, callbacks, &mut step_ms) {
                Ok(()) => break,
                // Twice at the same step is no accident.
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
        // What happens before the next call is no part of the run.
        self.run.clocks.stop();
        step_ms.sort_by(f64::total_cmp);
        let history = &mut self.run.history;
        history.median_step_ms = step_ms.get(step_ms.len() / 2).copied().unwrap_or(history.first_step_ms);
        self.run.history.seconds = self.run.seconds();
        self.tell(callbacks, &Event::End)?;
        Ok(self.run.history.clone())
    }

    /// The states of what is measured beside the loss in training.
    fn train_metrics(&self) -> Vec<String> {
        self.metrics.iter().map(|name| state_of(Purpose::Train, name)).collect()
    }

    /// Hands an event to all callbacks.
    pub(super) fn tell(&mut self, callbacks: Callbacks<'_, '_>, event: &Event<'_>) -> Result<Flow> {
        let mut flow = Flow::Continue;
        for callback in callbacks.iter_mut() {
            if callback.on_event(event, self)? == Flow::Stop {
                flow = Flow::Stop;
            }
        }
        Ok(flow)
    }

    /// A new device in the place of one that was lost, with the run as the host's last copy has it.
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

    /// Whether no epoch is left, or early stopping has had enough.
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
            let validated = self.evaluate(validation)?;
            if !validated.loss.is_finite() {
                self.trip(train, callbacks, validated.loss as f32)?;
            }
            self.schedule.observe(match self.schedule.mode() {
                Mode::Min => validated.loss,
                Mode::Max => validated.accuracy,
            });
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

    /// The rates of batch `i` of the present epoch.
    ///
    /// A schedule counts updates, of which there are fewer than steps where gradients of several batches are added, and
    /// those of the epochs before a run was loaded too.
    pub(super) fn rates(&self, images: usize, i: usize) -> Rates {
        let TrainOptions { batch_size, accumulate, .. } = self.options;
        let updates = self.run.epochs * images.div_ceil(batch_size).div_ceil(accumulate);
        self.schedule.rates(updates + i / accumulate, self.run.epochs)
    }

    /// The batches of the present epoch.
    pub(super) fn batches(&self, images: usize) -> Vec<Vec<u32>> {
        epoch_batches(images, self.options.batch_size, self.options.seed, self.run.epochs + 1)
    }

    /// What is left of the present epoch's batches.
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
        let batches = self.batches(train.len());
        train.plan(&batches[self.run.batch.min(batches.len())..]);
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
            // Between the batches of one update gradients are half added up, which no snapshot holds.
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

    /// Finds what made a loss not finite, and ends the run or says so.
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

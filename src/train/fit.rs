//! The loop over epochs: batches in their order, rates, reports, validation, what ends a run, and a device that was lost.
//!
//! Where a run is follows from its counts alone, so the loop goes on from wherever a snapshot has put them.

use std::path::Path;
use std::time::Instant;

use super::callback::{Callback, Event, Flow};
use super::history::{Epoch, History};
use super::trainer::{OnNonFinite, Share, TRAIN, TrainOptions, Trainer};
use crate::data::{BatchSource, epoch_batches};
use crate::error::{Error, Result};
use crate::ops::metrics::{HISTORY, Metrics};
use crate::optim::{Mode, Rates};

/// What errors about a snapshot in memory name.
const IN_MEMORY: &str = "the run's last copy in memory";

/// What looks on, all together.
pub(super) type Callbacks<'a, 'b> = &'a mut [&'b mut dyn Callback];

impl Trainer<'_> {
    pub(super) fn seconds(&self) -> f64 {
        self.clocks.seconds()
    }

    pub(super) fn epoch_seconds(&self) -> f64 {
        self.clocks.epoch_seconds()
    }

    /// Goes on from so many seconds, of the run and of its epoch.
    pub(super) fn start_clocks(&mut self, run: f64, epoch: f64) {
        self.clocks.start(run, epoch);
        self.noted = self.batch;
    }

    /// Trains until the epochs that the options say are done, and validates after each; `observe` looks on.
    pub fn fit(
        &mut self,
        train: &mut dyn BatchSource,
        validation: &mut dyn BatchSource,
        observe: &mut dyn FnMut(Event<'_>),
    ) -> Result<History> {
        let mut look = |event: &Event<'_>, _: &mut Trainer<'_>| {
            observe(event.clone());
            Ok(Flow::Continue)
        };
        self.fit_with(train, validation, &mut [&mut look])
    }

    /// [`Trainer::fit`] with callbacks, each of which gets every event, and may end the run.
    ///
    /// The history is that of the whole run, what came before [`Trainer::restore`] included; its losses may begin later.
    pub fn fit_with(
        &mut self,
        train: &mut dyn BatchSource,
        validation: &mut dyn BatchSource,
        callbacks: Callbacks<'_, '_>,
    ) -> Result<History> {
        let mut lost_at = None;
        // Those of a run that an error has ended.
        self.asked.clear();
        self.start_clocks(self.seconds(), self.epoch_seconds());
        self.clocks.warm = false;
        let mut step_ms = Vec::new();
        loop {
            match self.epochs_with(train, validation, callbacks, &mut step_ms) {
                Ok(()) => break,
                // Twice at the same step is no accident.
                Err(Error::DeviceLost(reason)) if lost_at != Some(self.steps) => {
                    lost_at = Some(self.steps);
                    self.renew(&reason)?;
                    let steps = self.steps;
                    if self.tell(callbacks, &Event::Renewed { reason: &reason, steps })? == Flow::Stop {
                        break;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        self.note_losses()?;
        // What happens before the next call is no part of the run.
        self.clocks.stop();
        step_ms.sort_by(f64::total_cmp);
        let history = &mut self.history;
        history.median_step_ms = step_ms.get(step_ms.len() / 2).copied().unwrap_or(history.first_step_ms);
        self.history.seconds = self.seconds();
        self.tell(callbacks, &Event::End)?;
        Ok(self.history.clone())
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
        self.epochs >= epochs || early_stopping.is_some_and(|stopping| stopping.is_enough(&self.history.epochs))
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
            let lr = self.rates(train.len(), self.batch.saturating_sub(1)).lr;
            let metrics = Metrics::from_state(&self.engine.state(TRAIN)?);
            let train_seconds = self.epoch_seconds();
            let validated = self.evaluate(validation)?;
            if !validated.loss.is_finite() {
                self.trip(train, callbacks, validated.loss as f32)?;
            }
            self.schedule.observe(match self.schedule.mode() {
                Mode::Min => validated.loss,
                Mode::Max => validated.accuracy,
            });
            let epoch = Epoch {
                epoch: self.epochs + 1,
                train_loss: metrics.loss,
                train_accuracy: metrics.accuracy,
                validation_loss: validated.loss,
                validation_accuracy: validated.accuracy,
                lr,
                seconds: self.epoch_seconds(),
                images_per_second: train.len() as f64 / train_seconds,
            };
            self.history.epochs.push(epoch.clone());
            self.epochs += 1;
            (self.batch, self.noted) = (0, 0);
            self.start_clocks(self.seconds(), 0.0);
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
        let updates = self.epochs * images.div_ceil(batch_size).div_ceil(accumulate);
        self.schedule.rates(updates + i / accumulate, self.epochs)
    }

    /// The batches of the present epoch.
    pub(super) fn batches(&self, images: usize) -> Vec<Vec<u32>> {
        epoch_batches(images, self.options.batch_size, self.options.seed, self.epochs + 1)
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
        if self.batch == 0 {
            self.engine.clear_state(TRAIN)?;
        }
        let batches = self.batches(train.len());
        train.plan(&batches[self.batch.min(batches.len())..]);
        let epoch = self.epochs + 1;
        for (i, batch) in batches.iter().enumerate().skip(self.batch) {
            let began = Instant::now();
            let rates = self.rates(train.len(), i);
            let share = Share::new(&batches, i, accumulate);
            self.step(train, batch, rates, &share)?;
            self.batch = i + 1;
            self.history.steps = self.steps as usize;
            if self.clocks.warm {
                step_ms.push(began.elapsed().as_secs_f64() * 1e3);
            } else {
                self.engine.wait()?;
                self.history.first_step_ms = began.elapsed().as_secs_f64() * 1e3;
                self.clocks.warm = true;
                let program = self.program(train, TRAIN, batch.len())?;
                self.history.memory = self.engine.memory(program);
                flow = self.tell(callbacks, &Event::Ready(self.history.memory))?;
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
                let event = Event::Step { epoch, steps: self.steps };
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
        if warn && self.history.warned {
            return Ok(());
        }
        let found = self.find_non_finite(train, loss)?;
        if !warn {
            return Err(Error::NonFinite(found));
        }
        self.history.warned = true;
        self.tell(callbacks, &Event::NonFinite(&found))?;
        Ok(())
    }
}

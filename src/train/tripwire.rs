//! The tripwire: finds the first non-finite tensor. It repeats the steps since the host's last copy, and keeps every
//! tensor of the failed one.

use std::path::Path;

use super::trainer::{Share, Trainer};
use crate::data::BatchSource;
use crate::error::{Culprit, NonFinite, Result};
use crate::graph::{Purpose, Stage, Tape};
use crate::shape::DType;
use crate::tensor::{Role, TensorId};

/// Number of values that are infinite or NaN, by their bits.
fn wrong(values: &[f32]) -> usize {
    values.iter().filter(|value| value.to_bits() & 0x7fff_ffff >= 0x7f80_0000).count()
}

/// The tensors that a step computes, in order, with their names.
fn made(tape: &Tape) -> Vec<(TensorId, String)> {
    let mut made = Vec::new();
    for node in tape.nodes().iter().filter(|node| node.stage != Stage::Update) {
        for (i, &id) in node.outputs.iter().enumerate().filter(|(_, id)| tape.tensor(**id).dtype == DType::F32) {
            let what = match (&tape.tensor(id).role, node.stage) {
                (Role::Gradient { of }, _) => format!("gradient of \"{}\"", tape.tensor(*of).name),
                (_, Stage::Backward) => {
                    format!("result of {} at \"{}\" in the backward pass", node.op.name(), node.name)
                }
                _ if i > 0 => format!("output {i} of {} \"{}\"", node.op.name(), node.name),
                _ => format!("output of {} \"{}\"", node.op.name(), node.name),
            };
            made.push((id, what));
        }
    }
    made
}

impl Trainer {
    /// Finds the tensor that made `loss`, or a loss before it, non-finite. Restores the host's last copy, repeats the
    /// same steps to the bit, and checks all tensors of the last two. Then it returns to the present position.
    pub(super) fn find_non_finite(&mut self, train: &mut dyn BatchSource, loss: f32) -> Result<NonFinite> {
        // The steps after the reported one have already run too.
        self.note_losses()?;
        let asked = std::mem::take(&mut self.asked);
        let before = self.kept.clone();
        let losses = &self.run.history.losses;
        // The known losses are those of the last steps. After the last of them, only its update can be at fault.
        let unknown = self.run.steps as usize - losses.len();
        let at = losses.iter().position(|loss| !loss.is_finite()).map_or(self.run.steps as usize, |i| unknown + i + 1);
        let present = self.snapshot()?;
        let found = match &before {
            Some(kept) => self.search(train, at, kept),
            None => Ok(None),
        };
        self.restore(&present, Path::new("the run before the search"))?;
        self.kept = before;
        self.asked = asked;
        let found = found.unwrap_or_else(|error| {
            log::warn!("the step could not be done again with checks: {error}");
            None
        });
        let images = self.images.div_ceil(self.options.batch_size).max(1);
        let (step, tensor) = match found {
            Some((step, culprit)) => (step, Some(culprit)),
            None => (at, None),
        };
        let lr = self.rates_of(step, images);
        Ok(NonFinite { step, epoch: (step.max(1) - 1) / images + 1, lr, loss, tensor })
    }

    /// The learning rate of a step, for epochs of `per_epoch` steps.
    fn rates_of(&self, step: usize, per_epoch: usize) -> f64 {
        let accumulate = self.options.accumulate;
        let (epochs, batch) = ((step.max(1) - 1) / per_epoch, (step.max(1) - 1) % per_epoch);
        let updates = epochs * per_epoch.div_ceil(accumulate) + batch / accumulate;
        self.schedule.rates(updates, epochs).lr
    }

    /// Repeats the steps from `kept` up to step `at`, and checks the last two.
    fn search(
        &mut self,
        train: &mut dyn BatchSource,
        at: usize,
        kept: &std::sync::Arc<super::Snapshot>,
    ) -> Result<Option<(usize, Culprit)>> {
        self.restore(kept, Path::new("the run's last copy"))?;
        let batches = self.batches(train)?;
        while (self.run.steps as usize) < at && self.run.batch < batches.len() {
            let i = self.run.batch;
            let rates = self.rates(train.len(), i);
            let share = Share::new(&batches, i, self.options.accumulate);
            if self.run.steps as usize + 2 < at {
                self.step(train, &batches[i], rates, &share)?;
                self.run.batch = i + 1;
                continue;
            }
            let mut tape = self.tape_for(train, Purpose::Train, batches[i].len())?;
            let made = made(&tape);
            made.iter().for_each(|(id, _)| tape.keep(*id));
            let parameters: Vec<String> =
                tape.parameters().into_iter().map(|id| tape.tensor(id).name.clone()).collect();
            let program = self.engine.compile(tape)?;
            let step = self.run.steps as usize + 1;
            self.feed(train, program, &batches[i], rates, &share)?;
            self.engine.run(program, &[Stage::Gather, Stage::Forward, Stage::Backward])?;
            for (id, what) in &made {
                let values = self.engine.read(program, *id)?;
                if wrong(&values) > 0 {
                    let culprit = Culprit { what: what.clone(), wrong: wrong(&values), of: values.len() };
                    return Ok(Some((step, culprit)));
                }
            }
            if share.last {
                self.engine.run(program, &[Stage::Update])?;
            }
            for name in parameters {
                let values = self.engine.parameter(&name)?;
                if wrong(&values) > 0 {
                    let what = format!("parameter \"{name}\" after the update");
                    return Ok(Some((step, Culprit { what, wrong: wrong(&values), of: values.len() })));
                }
            }
            self.run.batch = i + 1;
        }
        Ok(None)
    }
}

//! Taking a snapshot of a run, and going back or on to one.

use std::path::Path;
use std::sync::Arc;

use safetensors::tensor::Dtype;

use super::optimizer_state;
use super::run::Fields;
use super::snapshot::{Snapshot, bytes};
use super::trainer::{Trainer, losses_of, state_of};
use super::weights::{self, Metadata};
use crate::error::{Error, Result};
use crate::graph::Purpose;
use crate::kernel::Choices;
use crate::optim::UPDATES;
use crate::tensor::Role;
use crate::twin::Value;

/// The accumulators' bits; those of a metric have its name after a dot.
const METRICS: &str = "trainer.metrics";
/// How many updates were applied, and how many of them with momentum.
const APPLIED: &str = "trainer.updates";

impl Trainer {
    /// The accumulators of training, with what a snapshot calls them: state, then name.
    fn accumulators(&self) -> Vec<(String, String)> {
        let own = (losses_of(Purpose::Train).to_string(), METRICS.to_string());
        let of_metric = |name: &String| (state_of(Purpose::Train, name), format!("{METRICS}.{name}"));
        std::iter::once(own).chain(self.metrics.iter().map(of_metric)).collect()
    }

    /// The run as it is, on the host, which is also what it goes on from if the device is lost; what was submitted has run then.
    pub fn snapshot(&mut self) -> Result<Arc<Snapshot>> {
        self.note_losses()?;
        let mut content = weights::model(&self.tape, &mut *self.engine)?;
        let updates = optimizer_state::updates(&mut *self.engine)?;
        content.extend(optimizer_state::kept(&self.tape, &*self.optimizer, &updates, &mut *self.engine)?);
        let mut words = |name: String, values: &[f32]| {
            content.insert(name, (Dtype::U32, vec![values.len()], bytes(values)));
        };
        words(APPLIED.into(), &updates);
        for (state, name) in self.accumulators() {
            // Before the first step there is no such state.
            let values = if self.run.batch > 0 { self.engine.state(&state)? } else { Vec::new() };
            words(name, &values);
        }
        let mut settings = Metadata::new();
        let mut setting = |name: &str, value: String| settings.insert(name.to_string(), value);
        setting("seed", self.options.seed.to_string());
        setting("batch_size", self.options.batch_size.to_string());
        setting("accumulate", self.options.accumulate.to_string());
        setting("images", self.images.to_string());
        if let Some(taken) = self.engine.taken() {
            setting("choices", taken.to_json());
        }
        settings.extend(optimizer_state::remembered(&self.schedule));
        let snapshot = Arc::new(Snapshot { run: self.run.stopped(), content, settings });
        // A run that has just gone wrong keeps the copy from before, from which its steps can be done again.
        if self.run.history.warned || !self.has_diverged() {
            self.kept = Some(Arc::clone(&snapshot));
        }
        Ok(snapshot)
    }

    /// Whether a loss was not finite, as far as losses are known.
    pub(super) fn has_diverged(&self) -> bool {
        self.run.history.losses.iter().any(|loss| !loss.is_finite())
    }

    /// Goes back, or on, to where `snapshot` was taken; `path` is what errors name. The next [`Trainer::fit`] does what the
    /// run would have done that it was taken of, to the bit; without the choices of kernels in a form of an older version, which a
    /// warning names.
    ///
    /// [`Error::Data`] names a setting or tensor that is not that of this run, and then nothing is changed. Seed, batch size,
    /// accumulation, the number of images, and every tensor's name and shape are compared. The images themselves, the loss, the
    /// schedule's settings, the number of epochs and the device are not: with others the run goes on, but not to the same bits.
    pub fn restore(&mut self, snapshot: &Arc<Snapshot>, path: &Path) -> Result<()> {
        let fields = Fields { path, metadata: &snapshot.settings };
        let options = self.options;
        fields.same("seed", &options.seed)?;
        fields.same("batch_size", &options.batch_size)?;
        fields.same("accumulate", &options.accumulate)?;
        fields.same("images", &self.images)?;
        let choices = match snapshot.settings.get("choices") {
            // Its numbers go on; only the order of some sums may differ from that of the run that wrote it.
            Some(text) if Choices::is_old(text) => {
                log::warn!(
                    "{}: was written by an older version of tilegrad, whose choices of kernels can't be read: this run takes its \
                     own, and may not end in the same bits",
                    path.display()
                );
                None
            }
            Some(text) => Some(Choices::from_json(text).map_err(|message| Error::data(path, message))?),
            None => None,
        };
        let remembered = optimizer_state::scheduler(path, &snapshot.settings)?;
        let updates = match (snapshot.words(APPLIED), snapshot.settings.get("has_momentum")) {
            (updates, _) if updates.len() == 2 => updates,
            // An older version said only whether there was momentum.
            (_, Some(text)) => vec![snapshot.steps() as f32, f32::from(u8::from(text == "true"))],
            _ => return Err(Error::data(path, format!("\"{APPLIED}\" is missing: how many updates were applied"))),
        };

        let bytes = weights::bytes(path, &snapshot.content, &Metadata::new())?;
        let file = weights::parse(path, &bytes)?;
        let optimizer_state::Buffers { values: buffers, mut problems, mut unexpected } =
            optimizer_state::buffers(&file, &self.tape, &*self.optimizer, &updates);
        let mut values = Vec::new();
        for id in self.tape.parameters().into_iter().chain(self.tape.buffers()) {
            let tensor = self.tape.tensor(id);
            unexpected.retain(|name| *name != tensor.name);
            match weights::value(&file, &tensor.name, tensor) {
                Ok(value) => values.push((tensor.clone(), value)),
                Err(problem) => problems.push(problem),
            }
        }
        let accumulators = self.accumulators();
        unexpected.retain(|name| name != APPLIED && !accumulators.iter().any(|(_, own)| own == name));
        weights::refuse(path, problems, unexpected)?;

        if !remembered.is_empty() {
            self.schedule.restore(&remembered)?;
        }
        if let Some(choices) = choices.filter(|_| self.programs.is_empty()) {
            self.engine.take(choices);
        }
        for (tensor, value) in values {
            match (&tensor.role, value) {
                (Role::Parameter { .. }, Value::Real(values)) => self.engine.set_parameter(&tensor.name, &values)?,
                (_, value) => self.engine.set_buffer(&tensor.name, value)?,
            }
        }
        for (parameter, buffer, values) in &buffers {
            self.engine.set_optimizer_buffer(parameter, buffer, values)?;
        }
        self.engine.set_state(UPDATES, &updates)?;
        for (state, name) in accumulators {
            let values = snapshot.words(&name);
            if !values.is_empty() {
                self.engine.set_state(&state, &values)?;
            }
        }
        self.asked.clear();
        // What this process has seen of the run stays: its first step, its memory, and whether it has been warned of.
        let now = std::mem::take(&mut self.run);
        self.run = snapshot.run.clone();
        self.run.clocks.warm = now.clocks.warm;
        let (first_step_ms, memory, warned) = (now.history.first_step_ms, now.history.memory, now.history.warned);
        self.run.history = super::History { first_step_ms, memory, warned, ..self.run.history.clone() };
        self.start_clocks(self.run.seconds(), self.run.epoch_seconds());
        self.kept = Some(Arc::clone(snapshot));
        Ok(())
    }
}

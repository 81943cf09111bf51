//! Taking a snapshot of a run, and restoring it from one.

use std::path::Path;
use std::sync::Arc;

use safetensors::tensor::Dtype;

use super::optimizer_state;
use super::run::Fields;
use super::sampling::Sampling;
use super::snapshot::{LOSSES, Snapshot, bytes};
use super::trainer::{Trainer, losses_of, state_of};
use super::weights::{self, Metadata};
use crate::error::{Error, Result};
use crate::graph::Purpose;
use crate::kernel::Choices;
use crate::optim::UPDATES;
use crate::tensor::Role;
use crate::twin::Value;

/// Name of the accumulators' bits. Those of a metric have its name after a dot.
const METRICS: &str = "trainer.metrics";
/// Name of the number of updates applied and the number of those with momentum.
const APPLIED: &str = "trainer.updates";

impl Trainer {
    /// The accumulators of training, as pairs of the state and its name in a snapshot.
    fn accumulators(&self) -> Vec<(String, String)> {
        let own = (losses_of(Purpose::Train).to_string(), METRICS.to_string());
        let of_metric = |name: &String| (state_of(Purpose::Train, name), format!("{METRICS}.{name}"));
        std::iter::once(own).chain(self.metrics.iter().map(of_metric)).collect()
    }

    /// Copies the present run to the host and returns the copy. A run whose device is lost continues from its last
    /// copy. All submitted work has finished by then.
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
            // The state does not exist before the first step.
            let values = if self.run.batch > 0 { self.engine.state(&state)? } else { Vec::new() };
            words(name, &values);
        }
        let losses = &self.run.history.losses;
        content.insert(LOSSES.into(), (Dtype::F32, vec![losses.len()], bytes(losses)));
        let mut settings = Metadata::new();
        let mut setting = |name: &str, value: String| settings.insert(name.to_string(), value);
        setting("seed", self.options.seed.to_string());
        setting("batch_size", self.options.batch_size.to_string());
        setting("accumulate", self.options.accumulate.to_string());
        setting("images", self.images.to_string());
        setting("sampling", self.options.sampling.to_string());
        if let Some(digest) = self.digest {
            setting("data", format!("{digest:016x}"));
        }
        setting("optimizer", self.optimizer.name().to_string());
        if let Some(taken) = self.engine.taken() {
            setting("choices", taken.to_json());
        }
        settings.extend(optimizer_state::remembered(&self.schedule));
        let snapshot = Arc::new(Snapshot { run: self.run.stopped(), content, settings });
        // A run whose loss has just become non-finite keeps the previous copy, from which its steps can be repeated.
        if self.run.history.warned || !self.has_diverged() {
            self.kept = Some(Arc::clone(&snapshot));
        }
        Ok(snapshot)
    }

    /// True if one of the losses known so far is not finite.
    pub(super) fn has_diverged(&self) -> bool {
        self.run.history.losses.iter().any(|loss| !loss.is_finite())
    }

    /// Compares the settings that must be the same to continue.
    fn check_settings(&self, snapshot: &Snapshot, path: &Path) -> Result<()> {
        let fields = Fields { path, metadata: &snapshot.settings };
        let options = self.options;
        fields.same("seed", &options.seed)?;
        fields.same("batch_size", &options.batch_size)?;
        fields.same("accumulate", &options.accumulate)?;
        fields.same("images", &self.images)?;
        if let (Some(found), Some(own)) = (snapshot.settings.get("data"), self.digest)
            && *found != format!("{own:016x}")
        {
            let message = "is of a run on other images or labels than those given now, though as many: \
                           give it the same data, or begin a new run";
            return Err(Error::data(path, message));
        }
        // Older versions drew every image once, and did not say so.
        if snapshot.settings.contains_key("sampling") || options.sampling != Sampling::Shuffled {
            fields.same("sampling", &options.sampling)?;
        }
        // Older versions had one optimizer, and did not name it.
        if snapshot.settings.contains_key("optimizer") {
            fields.same("optimizer", &self.optimizer.name())?;
        }
        Ok(())
    }

    /// Restores the position at which `snapshot` was taken; `path` is the file that errors name. The next
    /// [`Trainer::fit`] continues as the original run would have, to the bit. Choices in the format of an older version
    /// are not used, and a warning names them.
    ///
    /// [`Error::Data`] names a setting or tensor that differs from this run's; nothing is changed then. Seed, batch
    /// size, accumulation, the number of images, the sampling, the optimizer's name, and every tensor's name and shape
    /// are compared. So are images and labels, by their digest, where the source knows it without reading them all
    /// ([`BatchSource::digest`](crate::data::BatchSource::digest)). The loss, the schedule's settings, the number of
    /// epochs and the device are not compared. With different ones the run continues, but not to the same bits.
    pub fn restore(&mut self, snapshot: &Arc<Snapshot>, path: &Path) -> Result<()> {
        self.check_settings(snapshot, path)?;
        let choices = match snapshot.settings.get("choices") {
            // The run continues; only the order of some sums may differ from the run that wrote the snapshot.
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
            // An older version stored only a flag for momentum.
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
        unexpected.retain(|name| name != APPLIED && name != LOSSES && !accumulators.iter().any(|(_, own)| own == name));
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
        // The properties of this process are kept: its first step's time, its memory, and the flag for warnings.
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

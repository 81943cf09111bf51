//! Taking a snapshot of a run, and going back or on to one.

use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use safetensors::tensor::Dtype;

use super::history::Epoch;
use super::optimizer_state;
use super::snapshot::{FORMAT, Snapshot};
use super::trainer::{TRAIN, Trainer};
use super::weights::{self, Metadata};
use crate::error::{Error, Result};
use crate::kernel::Choices;
use crate::tensor::Role;
use crate::twin::Value;

/// The accumulators' bits.
const METRICS: &str = "trainer.metrics";
/// The loss of every step.
const LOSSES: &str = "trainer.losses";

/// The numbers of an epoch in one line; text keeps f64 to the bit.
fn line(epoch: &Epoch) -> String {
    let Epoch {
        train_loss, train_accuracy, validation_loss, validation_accuracy, lr, seconds, images_per_second, ..
    } = epoch;
    format!(
        "{},{train_loss},{train_accuracy},{validation_loss},{validation_accuracy},{lr},{seconds},{images_per_second}",
        epoch.epoch
    )
}

/// What [`line`] wrote.
fn epoch_of(line: &str) -> Option<Epoch> {
    let (epoch, rest) = line.split_once(',')?;
    let numbers = rest.split(',').map(|text| text.parse().ok()).collect::<Option<Vec<f64>>>()?;
    let &[train_loss, train_accuracy, validation_loss, validation_accuracy, lr, seconds, images_per_second] =
        &numbers[..]
    else {
        return None;
    };
    Some(Epoch {
        epoch: epoch.parse().ok()?,
        train_loss,
        train_accuracy,
        validation_loss,
        validation_accuracy,
        lr,
        seconds,
        images_per_second,
    })
}

/// The metadata of a snapshot that is being read.
struct Fields<'a> {
    path: &'a Path,
    metadata: &'a Metadata,
}

impl Fields<'_> {
    fn text(&self, name: &str) -> Result<&str> {
        let text = self.metadata.get(name).map(String::as_str);
        text.ok_or_else(|| Error::data(self.path, format!("metadata \"{name}\" is missing")))
    }

    fn get<T: FromStr>(&self, name: &str) -> Result<T> {
        let text = self.text(name)?;
        text.parse().map_err(|_| Error::data(self.path, format!("metadata \"{name}\" is \"{text}\"")))
    }

    /// An error unless the run that goes on has the same setting.
    fn same(&self, name: &str, own: &impl Display) -> Result<()> {
        let (found, own) = (self.text(name)?, own.to_string());
        if found == own {
            return Ok(());
        }
        let message = format!("is of a run with {name} {found}, this one has {own}: give it the same, or a new folder");
        Err(Error::data(self.path, message))
    }
}

impl Trainer<'_> {
    /// The run as it is, on the host, which is also what it goes on from if the device is lost; what was submitted has run then.
    pub fn snapshot(&mut self) -> Result<Arc<Snapshot>> {
        self.note_losses()?;
        let mut content = weights::model(&self.tape, self.engine)?;
        content.extend(optimizer_state::momentum(&self.tape, self.has_momentum, self.engine)?);
        // Before the first step there is no such state.
        let metrics = if self.batch > 0 { self.engine.state(TRAIN)? } else { Vec::new() };
        let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_bits().to_le_bytes()).collect::<Vec<u8>>();
        content.insert(METRICS.into(), (Dtype::U32, vec![metrics.len()], bytes(&metrics)));
        let losses = &self.history.losses;
        content.insert(LOSSES.into(), (Dtype::F32, vec![losses.len()], bytes(losses)));
        let epochs: Vec<String> = self.history.epochs.iter().map(line).collect();
        let mut metadata = Metadata::new();
        let mut field = |name: &str, value: &dyn Display| metadata.insert(name.to_string(), value.to_string());
        field("format", &FORMAT);
        field("seed", &self.options.seed);
        field("batch_size", &self.options.batch_size);
        field("accumulate", &self.options.accumulate);
        field("images", &self.images);
        field("steps", &self.steps);
        field("epochs", &self.epochs);
        field("batch", &self.batch);
        field("has_momentum", &self.has_momentum);
        field("epoch_seconds", &self.epoch_seconds());
        field("seconds", &self.seconds());
        field("history", &epochs.join("\n"));
        if let Some(taken) = self.engine.taken() {
            field("choices", &taken.to_json());
        }
        metadata.extend(optimizer_state::remembered(&self.schedule));
        let snapshot = Arc::new(Snapshot::new(content, metadata));
        // A run that has just gone wrong keeps the copy from before, from which its steps can be done again.
        if self.history.warned || !self.has_diverged() {
            self.kept = Some(Arc::clone(&snapshot));
        }
        Ok(snapshot)
    }

    /// Whether a loss was not finite, as far as losses are known.
    pub(super) fn has_diverged(&self) -> bool {
        self.history.losses.iter().any(|loss| !loss.is_finite())
    }

    /// Goes back, or on, to where `snapshot` was taken; `path` is what errors name. The next [`Trainer::fit`] does what the
    /// run would have done that it was taken of, to the bit; without the choices of kernels in a form of an older version, which a
    /// warning names.
    ///
    /// [`Error::Data`] names a setting or tensor that is not that of this run, and then nothing is changed.
    pub fn restore(&mut self, snapshot: &Arc<Snapshot>, path: &Path) -> Result<()> {
        let fields = Fields { path, metadata: &snapshot.metadata };
        let options = self.options;
        fields.same("seed", &options.seed)?;
        fields.same("batch_size", &options.batch_size)?;
        fields.same("accumulate", &options.accumulate)?;
        fields.same("images", &self.images)?;
        let (steps, epochs, batch) = (fields.get("steps")?, fields.get("epochs")?, fields.get("batch")?);
        let has_momentum = fields.get("has_momentum")?;
        let (seconds, epoch_seconds) = (fields.get("seconds")?, fields.get("epoch_seconds")?);
        let history = fields.text("history")?.lines().map(epoch_of).collect::<Option<Vec<Epoch>>>();
        let history = history.ok_or_else(|| Error::data(path, "metadata \"history\" is no list of epochs"))?;
        let choices = match snapshot.metadata.get("choices") {
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
        let remembered = optimizer_state::scheduler(path, &snapshot.metadata)?;

        let bytes = weights::bytes(path, &snapshot.content, &Metadata::new())?;
        let file = weights::parse(path, &bytes)?;
        let optimizer_state::Buffers { values: momenta, mut problems, mut unexpected } =
            optimizer_state::buffers(&file, &self.tape, has_momentum);
        let mut values = Vec::new();
        for id in self.tape.parameters().into_iter().chain(self.tape.buffers()) {
            let tensor = self.tape.tensor(id);
            unexpected.retain(|name| *name != tensor.name);
            match weights::value(&file, &tensor.name, tensor) {
                Ok(value) => values.push((tensor.clone(), value)),
                Err(problem) => problems.push(problem),
            }
        }
        unexpected.retain(|name| ![METRICS, LOSSES].contains(&name.as_str()));
        weights::refuse(path, problems, unexpected)?;
        let words = |name: &str| -> Vec<f32> {
            let bytes = snapshot.content.get(name).map_or(&[][..], |(_, _, bytes)| bytes);
            bytes.chunks_exact(4).map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect()
        };

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
        momenta.iter().try_for_each(|(name, values)| self.engine.set_momentum(name, values))?;
        let metrics = words(METRICS);
        if !metrics.is_empty() {
            self.engine.set_state(TRAIN, &metrics)?;
        }
        self.asked.clear();
        (self.steps, self.epochs, self.batch, self.has_momentum) = (steps, epochs, batch, has_momentum);
        (self.history.epochs, self.history.losses) = (history, words(LOSSES));
        self.history.steps = steps as usize;
        self.start_clocks(seconds, epoch_seconds);
        self.kept = Some(Arc::clone(snapshot));
        Ok(())
    }
}

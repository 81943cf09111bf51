//! Writes the files of a run: some after each epoch, some at its end.

use std::path::{Path, PathBuf};

use super::checkpoints::Checkpoints;
use super::early_stopping::Monitor;
use super::event::{Event, Flow};
use super::keep_best::KeepBest;
use super::predictor::Predictor;
use super::trainer::{Callback, Trainer};
use super::weights::Load;
use crate::data::{Dataset, Normalisation};
use crate::error::{Error, Result};
use crate::files::{SUMMARY, write_whole};
use crate::graph::Tape;
use crate::ops::confusion::Confusion;
use crate::ops::metrics::Metrics;
#[cfg(feature = "curves")]
use crate::report::curves;
use crate::report::tensorboard::EventWriter;
use crate::report::{ClassReport, confusion, sheet};
use crate::tensor::Role;

/// Name of the file with the best epoch's model.
pub(super) const BEST: &str = "best.safetensors";

/// Writes the files of a run into its folder. [`super::RunFolder::start`] returns it.
///
/// As a callback it writes history, curves, TensorBoard events, the best model and checkpoints. [`Record::finish`]
/// writes the rest at the end of the run.
pub struct Record {
    pub(super) dir: PathBuf,
    pub(super) class_names: Vec<String>,
    pub(super) events: Option<EventWriter>,
    pub(super) best: Option<(KeepBest, Monitor)>,
    pub(super) checkpoints: Checkpoints,
}

/// Opens the TensorBoard events of a run with this number of completed epochs.
pub(super) fn events(dir: &Path, epochs: usize) -> Result<EventWriter> {
    match epochs {
        0 => EventWriter::create(dir),
        done => EventWriter::resume(dir, done as u64 + 1),
    }
}

impl Record {
    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Loads the parameters and buffers of the best epoch, and returns its number. `None` if the best model is not
    /// kept.
    pub fn take_best(&self, trainer: &mut Trainer) -> Result<Option<usize>> {
        let file = self.dir.join(BEST);
        let Some((_, monitor)) = self.best.as_ref().filter(|_| file.exists()) else { return Ok(None) };
        trainer.load_model(&file, &Load::strict())?;
        Ok(trainer.history().best(*monitor).map(|epoch| epoch.epoch))
    }

    /// Calls [`Record::save`], then [`Record::summarise`].
    pub fn finish(&self, trainer: &mut Trainer, tested: Option<&Metrics>) -> Result<()> {
        self.save(trainer)?;
        self.summarise(trainer, tested)
    }

    /// Writes the model, the confusion matrix of the last [`Trainer::evaluate`] if the loss has classes, and the chosen
    /// candidates.
    pub fn save(&self, trainer: &mut Trainer) -> Result<()> {
        trainer.save_model(&self.dir.join("model.safetensors"))?;
        if let Some(found) = classes(trainer)? {
            confusion::write(&self.dir, found.classes, &found.counts, &self.class_names)?;
        }
        match trainer.engine().taken() {
            Some(taken) => write_whole(&self.dir.join("choices.json"), taken.to_json().as_bytes()),
            None => Ok(()),
        }
    }

    /// Writes the numbers of the run to `summary.json`, which marks the folder of a finished run. `tested` is the
    /// result of the last [`Trainer::evaluate`], over images that were not used for any decision.
    pub fn summarise(&self, trainer: &mut Trainer, tested: Option<&Metrics>) -> Result<()> {
        let found = if tested.is_some() { classes(trainer)? } else { None };
        let (parameters, trained) = (trainer.parameters(), trainer.trained_parameters());
        let adapter = trainer.engine().name();
        let (seed, history) = (trainer.options().seed, trainer.history());
        let last = history.epochs.last();
        let report = found.as_ref().map(|found| ClassReport::new(found, &self.class_names)).transpose()?;
        let (report, validated) = (report.map(|report| report.to_json()), trainer.validated());
        let mut summary = serde_json::json!({
            "adapter": adapter,
            "parameters": parameters,
            "trained_parameters": trained,
            "seed": seed,
            "epochs": history.epochs.len(),
            "steps": history.steps,
            "train_loss": last.map(|e| e.train_loss),
            "train_accuracy": last.map(|e| e.train_accuracy),
            "validation_loss": last.map(|e| e.validation_loss),
            "validation_accuracy": last.map(|e| e.validation_accuracy),
            "test_loss": tested.map(|of| of.loss),
            "test_accuracy": tested.map(|of| of.accuracy),
            "test_top5_accuracy": found.as_ref().and_then(Confusion::top_k_accuracy),
            "test_balanced_accuracy": found.as_ref().and_then(Confusion::balanced_accuracy),
            "test_macro_f1": found.as_ref().and_then(Confusion::macro_f1),
            "test_report": report,
            "validation_balanced_accuracy": validated.and_then(Confusion::balanced_accuracy),
            "validation_macro_f1": validated.and_then(Confusion::macro_f1),
            "seconds": history.seconds,
            "images_per_second": last.map(|e| e.images_per_second),
            "first_step_ms": history.first_step_ms,
            "median_step_ms": history.median_step_ms,
            "peak_gpu_bytes": history.memory.map_or(0, |memory| memory.total()),
        });
        for metric in last.iter().flat_map(|epoch| &epoch.metrics) {
            let test = tested.and_then(|of| of.others.iter().find(|(name, _)| *name == metric.name));
            summary["metrics"][&metric.name] = serde_json::json!({
                "train": metric.train,
                "validation": metric.validation,
                "test": test.map(|(_, value)| value),
            });
        }
        write_whole(&self.dir.join(SUMMARY), format!("{summary:#}\n").as_bytes())
    }

    /// Draws the filters and feature maps of the first convolution (`filters.png`, `features.png`), if there is one.
    /// If the loss has classes, also writes those of `images` that are assigned to the wrong one, by
    /// [`sheet::write_mistakes`]. `images` are as fed to the network, and `normalisation` is theirs.
    pub fn draw(&self, trainer: &mut Trainer, images: &dyn Dataset, normalisation: Normalisation) -> Result<()> {
        let has_classes = trainer.has_classes;
        let (model, engine) = trainer.model_and_engine();
        let mut predictor = Predictor::new(model, engine, images.image_size(), normalisation);
        if let Some(first) = predictor.first_layer(images, 0)? {
            let title = format!("{}: filters", first.name);
            sheet::filters(&title, &first.filters, first.filters_shape, sheet::Scaling::Each)?
                .save(&self.dir.join("filters.png"))?;
            let (each, viridis) = (sheet::Scaling::Each, sheet::Colours::Viridis);
            sheet::feature_maps("first layer: feature maps", &first.maps, first.maps_size, each, viridis)?
                .save(&self.dir.join("features.png"))?;
        }
        if !has_classes {
            return Ok(());
        }
        sheet::write_mistakes(&self.dir, images, &predictor.predictions(images)?, &self.class_names)
    }
}

impl Callback for Record {
    fn on_event(&mut self, event: &Event<'_>, trainer: &mut Trainer) -> Result<Flow> {
        if let Event::Epoch(epoch) = event {
            let history = trainer.history();
            write_whole(&self.dir.join("history.csv"), history.to_csv().as_bytes())?;
            write_whole(&self.dir.join("losses.csv"), history.losses_to_csv().as_bytes())?;
            #[cfg(feature = "curves")]
            curves::write(&self.dir.join("curves"), &history.epochs)?;
            if let Some(events) = &mut self.events {
                events.epoch(epoch)?;
            }
        }
        if let Some((best, _)) = &mut self.best {
            best.on_event(event, trainer)?;
        }
        self.checkpoints.on_event(event, trainer)
    }
}

/// The confusion matrix of the last evaluation. `None` if the loss has no classes, or nothing was evaluated.
fn classes(trainer: &mut Trainer) -> Result<Option<Confusion>> {
    match trainer.confusion() {
        Ok(found) => Ok(Some(found)),
        Err(Error::Name { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Total number of elements of the tape's parameters whose role satisfies `wanted`.
fn numbers(tape: &Tape, wanted: impl Fn(&Role) -> bool) -> usize {
    let parameters = tape.parameters().into_iter().map(|id| tape.tensor(id));
    parameters.filter(|tensor| wanted(&tensor.role)).map(|tensor| tensor.shape.len()).sum()
}

impl Trainer {
    /// Total number of elements of the model's parameters.
    pub fn parameters(&self) -> usize {
        numbers(self.tape(), |_| true)
    }

    /// Number of those that are trained and not frozen.
    pub fn trained_parameters(&self) -> usize {
        numbers(self.tape(), |role| matches!(role, Role::Parameter { trainable: true, .. }))
    }
}

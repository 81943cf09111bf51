//! The folder of a run: begin, resume, and the files in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::checkpoints::{Checkpoints, Found};
use super::early_stopping::Monitor;
use super::keep_best::KeepBest;
use super::record::{BEST, Record, events};
use super::trainer::Trainer;
use crate::error::{Error, Result};
use crate::files::{CHECKPOINTS, SUMMARY, write_whole};
use crate::report::tensorboard::PREFIX;

/// Default time between two checkpoints.
const OFTEN: Duration = Duration::from_secs(5 * 60);

/// Files and folders that a run leaves, the summary first. A new run in the folder of a finished run removes them.
const LEFT: &[&str] = &[
    SUMMARY,
    "model.safetensors",
    BEST,
    "history.csv",
    "losses.csv",
    "curves.svg",
    "curves.png",
    "confusion.txt",
    "confusion.png",
    "filters.png",
    "features.png",
    "mistakes.png",
    "mistakes.csv",
    "choices.json",
];

/// Removes TensorBoard's event files from the folder `dir`, if there is one.
fn remove_events(dir: &Path) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(()) };
    for entry in entries {
        let path = entry.map_err(|source| Error::io(dir, source))?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX)) {
            std::fs::remove_file(&path).map_err(|source| Error::io(&path, source))?;
        }
    }
    Ok(())
}

/// The folder of a run, and its files.
///
/// | file | content |
/// |---|---|
/// | `config.toml` | the text of [`RunFolder::config`], from which the run can be repeated |
/// | `history.csv`, `losses.csv` | [`super::History::to_csv`] and the loss of every step, rewritten after each epoch |
/// | `curves.svg`, `curves.png` | loss, accuracy, metrics and learning rate, with the feature `curves`, rewritten after each epoch |
/// | `checkpoints/` | the checkpoints from which [`RunFolder::resume`] continues |
/// | `best.safetensors` | the model of the best epoch, with [`RunFolder::keep_best`] |
/// | `tensorboard/` | event files, with [`RunFolder::tensorboard`] |
/// | `model.safetensors` | the model at the end |
/// | `confusion.txt`, `confusion.png` | the confusion matrix, for a loss with classes; a report by class for more than 5,791 |
/// | `choices.json` | the candidate chosen for each operation, from an engine with candidates |
/// | `summary.json` | device, seed, last numbers and times; written last, so that it marks a finished run |
///
/// An interrupted run continues from its last checkpoint, and ends in the same bytes:
///
/// ```
/// use tilegrad::data::{ResidentSource, synthetic};
/// use tilegrad::nn::{Flatten, Linear, Sequential};
/// use tilegrad::optim::Sgd;
/// use tilegrad::train::{CpuEngine, Event, Flow, Monitor, RunFolder, TrainOptions, Trainer};
///
/// let dir = std::env::temp_dir().join(format!("tilegrad-run-folder-{}", std::process::id()));
/// let run = |folder: RunFolder, steps: u32| -> tilegrad::Result<()> {
///     let (train, validation) = synthetic::digits(1, 200).split_validation(0.2, 1)?;
///     let mut train = ResidentSource::new("train", train);
///     let mut validation = ResidentSource::new("validation", validation);
///     let model = Sequential::new().with("flatten", Flatten).with("fc", Linear::new(28 * 28, 10));
///     let options = TrainOptions::default().epochs(3).batch_size(32);
///     let mut trainer = Trainer::new(model, Sgd::new(0.05), CpuEngine::new(), options, &train)?;
///
///     let mut record = folder.keep_best(Monitor::ValidationLoss).start(&mut trainer)?;
///     let mut interrupt = |event: &Event<'_>, _: &mut Trainer| match event {
///         Event::Step { steps: done, .. } if *done == steps => Ok(Flow::Stop),
///         _ => Ok(Flow::Continue),
///     };
///     trainer.fit_with(&mut train, &mut validation, &mut [&mut record, &mut interrupt])?;
///     if trainer.run().epochs == 3 {
///         record.take_best(&mut trainer)?;
///         let tested = trainer.evaluate(&mut validation)?;
///         record.finish(&mut trainer, Some(&tested))?;
///     }
///     Ok(())
/// };
/// run(RunFolder::begin(&dir)?.config("epochs = 3\n"), 7)?;
/// assert!(RunFolder::is_unfinished(&dir));
/// run(RunFolder::resume(&dir)?, 0)?;
/// assert!(!RunFolder::is_unfinished(&dir) && dir.join("model.safetensors").exists());
/// # std::fs::remove_dir_all(&dir).map_err(|error| tilegrad::Error::io(&dir, error))?;
/// # Ok::<(), tilegrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RunFolder {
    dir: PathBuf,
    goes_on: bool,
    /// True if a checkpoint was found; `None` before the search.
    restored: Option<bool>,
    config: Option<String>,
    class_names: Vec<String>,
    tensorboard: bool,
    best: Option<Monitor>,
    every_steps: Option<u32>,
    every: Duration,
    each_epoch: bool,
}

impl RunFolder {
    fn new(dir: &Path, goes_on: bool) -> Self {
        RunFolder {
            dir: dir.to_path_buf(),
            goes_on,
            restored: None,
            config: None,
            class_names: Vec::new(),
            tensorboard: false,
            best: None,
            every_steps: None,
            every: OFTEN,
            each_epoch: false,
        }
    }

    /// Opens the folder `dir` for a new run. Nothing is created before [`RunFolder::start`]. [`Error::Config`] if the
    /// folder holds an unfinished run, which the new one would overwrite.
    pub fn begin(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        if Self::is_unfinished(dir) {
            let message =
                format!("{} holds a run that has not ended: resume it, or name another folder", dir.display());
            return Err(Error::config("run folder", message));
        }
        Ok(Self::new(dir, false))
    }

    /// Opens the folder `dir` for a run that continues from its last checkpoint, or from its start if it has none yet.
    /// [`Error::Io`] if the folder does not exist.
    pub fn resume(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        std::fs::read_dir(dir).map_err(|source| Error::io(dir, source))?;
        Ok(Self::new(dir, true))
    }

    /// Calls [`RunFolder::resume`] if the folder holds an unfinished run, else [`RunFolder::begin`]. It suits a program
    /// that is restarted until its run is finished. A finished run is started anew and its files are removed; to keep
    /// them, check [`RunFolder::is_finished`] first.
    pub fn begin_or_resume(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        if Self::is_unfinished(dir) { Self::resume(dir) } else { Self::begin(dir) }
    }

    /// True if the folder `dir` holds a run that has begun and not finished.
    pub fn is_unfinished(dir: impl AsRef<Path>) -> bool {
        let dir = dir.as_ref();
        dir.join(CHECKPOINTS).is_dir() && !dir.join(SUMMARY).exists()
    }

    /// True if the folder `dir` holds a finished run.
    pub fn is_finished(dir: impl AsRef<Path>) -> bool {
        dir.as_ref().join(SUMMARY).exists()
    }

    /// Stores `text`, from which the run can be repeated, as `config.toml`. A resumed run keeps its existing file.
    pub fn config(mut self, text: impl Into<String>) -> Self {
        self.config = Some(text.into());
        self
    }

    /// Sets the class names for the confusion matrix, which otherwise shows class numbers.
    pub fn class_names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.class_names = names.into_iter().map(Into::into).collect();
        self
    }

    /// Sets whether TensorBoard event files are written.
    pub fn tensorboard(mut self, wanted: bool) -> Self {
        self.tensorboard = wanted;
        self
    }

    /// Keeps the model of the best epoch by `monitor`, which [`Record::take_best`] loads at the end.
    pub fn keep_best(mut self, monitor: Monitor) -> Self {
        self.best = Some(monitor);
        self
    }

    /// Sets the time between two checkpoints, each written at the next update [default: five minutes]. One is always
    /// written at the end.
    pub fn checkpoint_every(mut self, time: Duration) -> Self {
        self.every = time;
        self
    }

    /// Also writes a checkpoint every `steps` steps.
    pub fn checkpoint_every_steps(mut self, steps: u32) -> Self {
        self.every_steps = Some(steps);
        self
    }

    /// Sets whether a checkpoint is also written at the end of every epoch.
    pub fn checkpoint_each_epoch(mut self, wanted: bool) -> Self {
        self.each_epoch = wanted;
        self
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// True if the folder was opened to continue a run.
    pub fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// Restores `trainer` from the run's last checkpoint, if the run is resumed and has one. [`RunFolder::start`] does
    /// the same unless it has been done. Call it before to inspect the result, or to act in between.
    ///
    /// Errors are those of [`Checkpoints::latest`] and [`Trainer::restore`].
    pub fn restore(&mut self, trainer: &mut Trainer) -> Result<Option<Found>> {
        let found = if self.goes_on { Checkpoints::latest(&self.dir.join(CHECKPOINTS))? } else { None };
        if let Some(found) = &found {
            trainer.restore(&found.snapshot, &found.path)?;
        }
        self.restored = Some(found.is_some());
        Ok(found)
    }

    /// Creates the folder, or removes files that a new or resumed run invalidates. Returns the writer of the run's
    /// files; pass it to [`Trainer::fit_with`]. [`Error::Io`] names a path that can't be created.
    pub fn start(mut self, trainer: &mut Trainer) -> Result<Record> {
        let restored = match self.restored {
            Some(restored) => restored,
            None => {
                let found = self.restore(trainer)?;
                found.iter().flat_map(|found| &found.damaged).for_each(|error| log::warn!("passed over: {error}"));
                found.is_some()
            }
        };
        let dir = &self.dir;
        std::fs::create_dir_all(dir).map_err(|source| Error::io(dir, source))?;
        if let Some(config) = self.config.filter(|_| !self.goes_on) {
            write_whole(&dir.join("config.toml"), config.as_bytes())?;
        }
        // A finished run that is resumed becomes unfinished. A new run keeps nothing of a finished one.
        let ended = Self::is_finished(dir);
        let old: &[&str] = match (ended, self.goes_on) {
            (false, _) => &[],
            (true, true) => &[SUMMARY],
            (true, false) => LEFT,
        };
        for path in old.iter().map(|name| dir.join(name)).filter(|path| path.exists()) {
            std::fs::remove_file(&path).map_err(|source| Error::io(&path, source))?;
        }
        if ended && !self.goes_on {
            remove_events(&dir.join("tensorboard"))?;
        }
        let old = dir.join(CHECKPOINTS);
        if !restored && old.exists() {
            std::fs::remove_dir_all(&old).map_err(|source| Error::io(&old, source))?;
        }
        let mut checkpoints = Checkpoints::new(&old)?.each_epoch(self.each_epoch).every(self.every);
        if let Some(steps) = self.every_steps {
            checkpoints = checkpoints.every_steps(steps);
        }
        let events = match self.tensorboard {
            true => Some(events(&dir.join("tensorboard"), trainer.history().epochs.len())?),
            false => None,
        };
        let best = self.best.map(|monitor| (KeepBest::new(dir.join(BEST), monitor), monitor));
        Ok(Record { best, checkpoints, events, class_names: self.class_names, dir: self.dir })
    }
}

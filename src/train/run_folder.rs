//! The folder of a run: how one begins, goes on, and what is to be written into it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::checkpoints::{Checkpoints, Found};
use super::early_stopping::Monitor;
use super::keep_best::KeepBest;
use super::record::{BEST, CHECKPOINTS, Record, SUMMARY, events};
use super::trainer::Trainer;
use crate::error::{Error, Result};
use crate::files::write_whole;

/// How often a run writes a checkpoint where nothing is said.
const OFTEN: Duration = Duration::from_secs(5 * 60);

/// The files that a run leaves, the summary first: what a run that begins in the folder of one that has ended takes away.
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
    "choices.json",
];

/// The folder of a run, and what goes into it.
///
/// | file | content |
/// |---|---|
/// | `config.toml` | what repeats the run, as [`RunFolder::config`] has it |
/// | `history.csv`, `losses.csv` | [`super::History::to_csv`] and the loss of every step, anew after each epoch |
/// | `curves.svg`, `curves.png` | loss, accuracy, metrics and learning rate, with the feature `curves`, anew after each epoch |
/// | `checkpoints/` | what [`RunFolder::resume`] goes on from |
/// | `best.safetensors` | the model of the best epoch, with [`RunFolder::keep_best`] |
/// | `tensorboard/` | event files, with [`RunFolder::tensorboard`] |
/// | `model.safetensors` | the model at the end |
/// | `confusion.txt`, `confusion.png` | which classes were taken for which, of a loss that knows classes |
/// | `choices.json` | the kernel that each operation took, from an engine that has a choice |
/// | `summary.json` | device, seed, last numbers and times; written last, so that it tells a run that has ended |
///
/// A run that is interrupted goes on where it was, and ends in the same bytes:
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
    /// Whether there was a checkpoint, once somebody has looked.
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

    /// The folder `dir` of a run that begins; nothing is made before [`RunFolder::start`]. [`Error::Config`] if it holds a run that
    /// has not ended, which this one would write over.
    pub fn begin(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        if Self::is_unfinished(dir) {
            let message =
                format!("{} holds a run that has not ended: resume it, or name another folder", dir.display());
            return Err(Error::config("run folder", message));
        }
        Ok(Self::new(dir, false))
    }

    /// The folder `dir` of a run that goes on from its last checkpoint, or from its start where it has none yet. [`Error::Io`] if
    /// there is no such folder.
    pub fn resume(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        std::fs::read_dir(dir).map_err(|source| Error::io(dir, source))?;
        Ok(Self::new(dir, true))
    }

    /// [`RunFolder::resume`] if the folder holds a run that has not ended, else [`RunFolder::begin`]: for a program that is
    /// started again and again until its run is done. A run that has ended is begun anew, and its files go; ask
    /// [`RunFolder::is_finished`] first where they should stay.
    pub fn begin_or_resume(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        if Self::is_unfinished(dir) { Self::resume(dir) } else { Self::begin(dir) }
    }

    /// Whether the folder `dir` holds a run that has begun and not ended.
    pub fn is_unfinished(dir: impl AsRef<Path>) -> bool {
        let dir = dir.as_ref();
        dir.join(CHECKPOINTS).is_dir() && !dir.join(SUMMARY).exists()
    }

    /// Whether the folder `dir` holds a run that has ended.
    pub fn is_finished(dir: impl AsRef<Path>) -> bool {
        dir.as_ref().join(SUMMARY).exists()
    }

    /// Keeps `text`, which says how to repeat the run, as `config.toml`; a run that goes on keeps what it has.
    pub fn config(mut self, text: impl Into<String>) -> Self {
        self.config = Some(text.into());
        self
    }

    /// Names the classes of the confusion matrix, which else has their numbers.
    pub fn class_names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.class_names = names.into_iter().map(Into::into).collect();
        self
    }

    /// Whether TensorBoard's event files are written.
    pub fn tensorboard(mut self, wanted: bool) -> Self {
        self.tensorboard = wanted;
        self
    }

    /// Keeps the model of the best epoch by `monitor`, which [`Record::take_best`] takes at the end.
    pub fn keep_best(mut self, monitor: Monitor) -> Self {
        self.best = Some(monitor);
        self
    }

    /// Sets how often there is a checkpoint: at the next update after so long [default: five minutes], and always at the end.
    pub fn checkpoint_every(mut self, time: Duration) -> Self {
        self.every = time;
        self
    }

    /// A checkpoint every so many steps too.
    pub fn checkpoint_every_steps(mut self, steps: u32) -> Self {
        self.every_steps = Some(steps);
        self
    }

    /// Whether there is a checkpoint at the end of every epoch too.
    pub fn checkpoint_each_epoch(mut self, wanted: bool) -> Self {
        self.each_epoch = wanted;
        self
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Whether it was asked to go on with a run.
    pub fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// Brings `trainer` to where the run's last checkpoint was taken, if it goes on and there is one. [`RunFolder::start`] does this
    /// if it has not been done; a program that wants to know of it, or has to do something in between, does it before.
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

    /// Makes the folder, or takes out of it what is not true of a run that begins or goes on, and gives what writes into it: lend that
    /// to [`Trainer::fit_with`]. [`Error::Io`] names what can't be made.
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
        // A run that had ended and goes on has not; nothing of one that had ended belongs to one that begins.
        let ended = Self::is_finished(dir);
        let old: &[&str] = match (ended, self.goes_on) {
            (false, _) => &[],
            (true, true) => &[SUMMARY],
            (true, false) => LEFT,
        };
        for path in old.iter().map(|name| dir.join(name)).filter(|path| path.exists()) {
            std::fs::remove_file(&path).map_err(|source| Error::io(&path, source))?;
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

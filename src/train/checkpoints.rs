//! Checkpoints of a run in a folder. The last two are kept, and a damaged one is skipped.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Callback, Event, Flow, OnNonFinite, Snapshot, Trainer};
use crate::error::{Error, Result};

/// Prefix and suffix of a checkpoint's file name. The number of steps stands between them, so names sort by it.
const NAME: (&str, &str) = ("checkpoint-", ".safetensors");
/// Number of checkpoints kept: if the last one is damaged, the one before it remains.
const KEPT: usize = 2;

/// Writes a [`Snapshot`] of the run at the end, and optionally after each epoch, by a number of steps or by time.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    dir: PathBuf,
    every_steps: Option<u32>,
    every: Option<Duration>,
    each_epoch: bool,
    last: Instant,
}

/// The result of [`Checkpoints::latest`].
#[derive(Debug)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// The snapshot in the file.
    pub snapshot: Arc<Snapshot>,
    /// The errors of later, damaged checkpoints, each with its path.
    pub damaged: Vec<Error>,
}

/// Lists the checkpoints in a folder with their steps, the last one first. Empty if the folder does not exist.
fn list(dir: &Path) -> Result<Vec<(u32, PathBuf)>> {
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(Error::io(dir, error)),
    };
    for entry in entries {
        let path = entry.map_err(|error| Error::io(dir, error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let number = name.strip_prefix(NAME.0).and_then(|rest| rest.strip_suffix(NAME.1));
        if let Some(steps) = number.and_then(|number| number.parse().ok()) {
            found.push((steps, path.clone()));
        }
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

impl Checkpoints {
    /// Creates the folder `dir` for checkpoints at the end of every epoch and of the run. Removes the remains of an
    /// interrupted write.
    pub fn new(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref().to_path_buf();
        std::fs::create_dir_all(&dir).map_err(|error| Error::io(&dir, error))?;
        for entry in std::fs::read_dir(&dir).map_err(|error| Error::io(&dir, error))? {
            let path = entry.map_err(|error| Error::io(&dir, error))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(NAME.0) && name.ends_with(".tmp") {
                std::fs::remove_file(&path).map_err(|error| Error::io(&path, error))?;
            }
        }
        Ok(Checkpoints { dir, every_steps: None, every: None, each_epoch: true, last: Instant::now() })
    }

    /// Also writes a checkpoint every `steps` steps.
    pub fn every_steps(mut self, steps: u32) -> Self {
        self.every_steps = Some(steps.max(1));
        self
    }

    /// Also writes a checkpoint at the next update after each period of `time`.
    pub fn every(mut self, time: Duration) -> Self {
        self.every = Some(time);
        self
    }

    /// Sets whether a checkpoint is written at the end of every epoch.
    pub fn each_epoch(mut self, wanted: bool) -> Self {
        self.each_epoch = wanted;
        self
    }

    /// Returns the last intact checkpoint in `dir`, or `None` if there are no checkpoints.
    ///
    /// [`Error::Data`] if there are checkpoints and all are damaged; it gives the fault of each.
    pub fn latest(dir: &Path) -> Result<Option<Found>> {
        let mut damaged = Vec::new();
        for (_, path) in list(dir)? {
            match Snapshot::read(&path) {
                Ok(snapshot) => return Ok(Some(Found { path, snapshot: Arc::new(snapshot), damaged })),
                Err(error) => damaged.push(error),
            }
        }
        if damaged.is_empty() {
            return Ok(None);
        }
        let all: Vec<String> = damaged.iter().map(Error::to_string).collect();
        Err(Error::data(dir, format!("holds no checkpoint that is whole: {}", all.join("; "))))
    }

    /// Writes a checkpoint now and removes those before the last two. Writes none for a run that is about to end
    /// because of a non-finite loss.
    pub fn write(&mut self, trainer: &mut Trainer) -> Result<()> {
        let snapshot = trainer.snapshot()?;
        // The report of the non-finite loss is still pending, and the checkpoints in the folder are better.
        if trainer.has_diverged() && trainer.options().on_non_finite == OnNonFinite::Stop {
            return Ok(());
        }
        let steps = snapshot.steps();
        self.last = Instant::now();
        // After the last step of an epoch, a checkpoint of the same number may follow; it is further on.
        let path = self.dir.join(format!("{}{steps:010}{}", NAME.0, NAME.1));
        snapshot.write(&path)?;
        // Later checkpoints belong to a run that was further on and has restarted from an earlier one.
        let (later, until_now): (Vec<_>, Vec<_>) =
            list(&self.dir)?.into_iter().partition(|(number, _)| *number > steps);
        for (_, old) in later.into_iter().chain(until_now.into_iter().skip(KEPT)) {
            std::fs::remove_file(&old).map_err(|error| Error::io(&old, error))?;
        }
        Ok(())
    }
}

impl Callback for Checkpoints {
    fn on_event(&mut self, event: &Event<'_>, trainer: &mut Trainer) -> Result<Flow> {
        let due = match event {
            Event::Step { steps, .. } => {
                self.every_steps.is_some_and(|every| steps.is_multiple_of(every))
                    || self.every.is_some_and(|every| self.last.elapsed() >= every)
            }
            Event::Epoch(_) => self.each_epoch,
            Event::End => true,
            _ => false,
        };
        if due {
            self.write(trainer)?;
        }
        Ok(Flow::Continue)
    }
}

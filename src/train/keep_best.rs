//! A callback that keeps the model of a run's best epoch in a file.

use std::path::{Path, PathBuf};

use super::early_stopping::{Monitor, no_accuracy};
use super::event::{Event, Flow};
use super::trainer::{Callback, Trainer};
use crate::error::Result;

/// Keeps the parameters and buffers of the best epoch in a file, which is complete at every moment. Without validation
/// images there is no best epoch, and no file.
#[derive(Clone, Debug)]
pub struct KeepBest {
    path: PathBuf,
    monitor: Monitor,
}

impl KeepBest {
    /// Keeps the model of the best epoch by `monitor` in the file at `path`.
    pub fn new(path: impl AsRef<Path>, monitor: Monitor) -> Self {
        KeepBest { path: path.as_ref().to_path_buf(), monitor }
    }
}

impl Callback for KeepBest {
    fn on_event(&mut self, event: &Event<'_>, trainer: &mut Trainer) -> Result<Flow> {
        if self.monitor == Monitor::ValidationAccuracy && !trainer.has_classes {
            return Err(no_accuracy("monitor"));
        }
        if let Event::Epoch(epoch) = event
            && trainer.history().best(self.monitor).is_some_and(|best| best.epoch == epoch.epoch)
        {
            trainer.save_model(&self.path)?;
        }
        Ok(Flow::Continue)
    }
}

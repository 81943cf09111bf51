//! Memory checks before a run: its requirements, and the largest batch that fits the device.

use super::trainer::Trainer;
use crate::data::BatchSource;
use crate::error::{Error, Result};
use crate::graph::Purpose;
use crate::plan::Forecast;

impl Trainer {
    /// Returns the requirements of training steps on full batches of `train`, with an estimate of their time. `None` on
    /// an engine that plans nothing. Nothing runs except a measurement of the device for the estimate, which takes half
    /// a second.
    pub fn forecast(&mut self, train: &dyn BatchSource) -> Result<Option<Forecast>> {
        let size = self.options.batch_size.min(train.len());
        let tape = self.tape_for(train, Purpose::Train, size)?;
        self.engine.forecast(&tape, true)
    }

    /// Returns the largest batch of `train` whose training step fits the device's bindings and, if known, its memory.
    /// `None` if a single image does not fit, or if nothing is planned.
    pub fn largest_batch(&mut self, train: &dyn BatchSource) -> Result<Option<usize>> {
        if !self.fits(train, 1)? {
            return Ok(None);
        }
        // Bisection between the largest batch known to fit and the smallest known not to.
        let (mut fits, mut beyond) = (1, train.len() + 1);
        while fits + 1 < beyond {
            // Doubling comes first, since small plans are quick to make.
            let middle = (2 * fits).min(fits + (beyond - fits) / 2).max(fits + 1);
            if self.fits(train, middle)? { fits = middle } else { beyond = middle }
        }
        Ok(Some(fits))
    }

    fn fits(&mut self, train: &dyn BatchSource, size: usize) -> Result<bool> {
        let tape = self.tape_for(train, Purpose::Train, size)?;
        match self.engine.forecast(&tape, false) {
            Ok(forecast) => Ok(forecast.is_some_and(|forecast| forecast.fits())),
            Err(Error::Limit { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns an error that names the largest batch that fits, if a full batch of `train` does not.
    pub(super) fn check_memory(&mut self, train: &dyn BatchSource) -> Result<()> {
        let size = self.options.batch_size.min(train.len());
        let tape = self.tape_for(train, Purpose::Train, size)?;
        let problem = match self.engine.forecast(&tape, false) {
            Ok(Some(forecast)) if !forecast.fits() => {
                let (needed, available) = (forecast.memory.total(), forecast.available.unwrap_or_default());
                Error::too_large(format!("training in batches of {size}"), needed, available, "of memory", "")
            }
            Err(error @ Error::Limit { .. }) => error,
            Ok(_) => return Ok(()),
            Err(error) => return Err(error),
        };
        let Error::Limit { what, needed, allowed, mismatch, .. } = problem else { return Err(problem) };
        let hint = match self.largest_batch(train)? {
            Some(batch) => format!("the largest batch size that fits is {batch}"),
            None => "not even a batch of one image fits: use smaller images or a smaller network".into(),
        };
        Err(Error::Limit { what, needed, allowed, hint, mismatch })
    }
}

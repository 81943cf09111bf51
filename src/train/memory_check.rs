//! Memory checks before a run: its requirements, and the largest batch that fits the device.

use super::trainer::Trainer;
use crate::data::BatchSource;
use crate::error::{Error, Result};
use crate::graph::Purpose;
use crate::plan::Forecast;

impl Trainer {
    /// Returns the requirements of training steps on full batches of `train`, with an estimate of their time. `None` on
    /// an engine that plans nothing. [`Error::Limit`] if training or validation exceeds a limit. Nothing runs except a measurement of the device for the estimate, which takes half
    /// a second.
    pub fn forecast(&mut self, train: &dyn BatchSource) -> Result<Option<Forecast>> {
        let size = self.options.batch_size.min(train.len());
        // A validation that does not fit would end the run after its first epoch.
        let evaluation = self.tape_for(train, Purpose::Evaluate, size)?;
        self.engine.forecast(&evaluation, false)?;
        let tape = self.tape_for(train, Purpose::Train, size)?;
        self.engine.forecast(&tape, true)
    }

    /// Returns the largest batch of `train` whose training step and evaluation fit the device's bindings and, if known, its memory.
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
        for purpose in [Purpose::Train, Purpose::Evaluate] {
            let tape = self.tape_for(train, purpose, size)?;
            match self.engine.forecast(&tape, false) {
                Ok(Some(forecast)) if forecast.fits() => {}
                Ok(_) | Err(Error::Limit { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// The limit that a batch of `size` exceeds, if any.
    fn problem(&mut self, train: &dyn BatchSource, purpose: Purpose, size: usize) -> Result<Option<Error>> {
        let tape = self.tape_for(train, purpose, size)?;
        match self.engine.forecast(&tape, false) {
            Ok(Some(forecast)) if !forecast.fits() => {
                let (needed, available) = (forecast.memory.total(), forecast.available.unwrap_or_default());
                let what = match purpose {
                    Purpose::Train => "training",
                    Purpose::Evaluate => "evaluation",
                };
                let what = format!("{what} in batches of {size}");
                Ok(Some(Error::too_large(what, needed, available, "of memory", "")))
            }
            Err(error @ Error::Limit { .. }) => Ok(Some(error)),
            Ok(_) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns an error that names the largest batch that fits, if a full batch of `train` does not.
    pub(super) fn check_memory(&mut self, train: &dyn BatchSource) -> Result<()> {
        let size = self.options.batch_size.min(train.len());
        let problem = match self.problem(train, Purpose::Train, size)? {
            Some(problem) => problem,
            None => match self.problem(train, Purpose::Evaluate, size)? {
                Some(problem) => problem,
                None => return Ok(()),
            },
        };
        let Error::Limit { what, needed, allowed, mismatch, .. } = problem else { return Err(problem) };
        let hint = match self.largest_batch(train)? {
            Some(batch) => format!("the largest batch size that fits is {batch}"),
            None => "not even a batch of one image fits: use smaller images or a smaller network".into(),
        };
        Err(Error::Limit { what, needed, allowed, hint, mismatch })
    }
}

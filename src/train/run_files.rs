//! Saving and loading of a run's model and optimizer.

use std::path::Path;

use super::optimizer_state::{self, Counts};
use super::trainer::Trainer;
use super::weights::{self, Load};
use crate::error::Result;

impl Trainer {
    /// Writes all parameters, including frozen ones, and buffers by [`weights::save_with`], with the metadata of
    /// [`Trainer::described`].
    pub fn save_model(&mut self, path: &Path) -> Result<()> {
        weights::save_with(path, &self.tape, &mut *self.engine, &self.metadata)
    }

    /// Reads parameters and buffers by [`weights::load_with`], in place of the present values.
    pub fn load_model(&mut self, path: &Path, load: &Load) -> Result<()> {
        weights::load_with(path, &self.tape, &mut *self.engine, load)
    }

    /// Writes the optimizer's state by [`optimizer_state::save`], with its schedule's. Save the parameters as well.
    pub fn save_optimizer(&mut self, path: &Path) -> Result<()> {
        let counts = Counts { steps: self.run.steps, epochs: self.run.epochs };
        optimizer_state::save_scheduled(
            path,
            &self.tape,
            &*self.optimizer,
            counts,
            Some(&self.schedule),
            &mut *self.engine,
        )
    }

    /// Reads the optimizer's state by [`optimizer_state::load`]. [`Trainer::fit`] then continues after the epochs of
    /// the loaded run. Set a schedule that depends on results first, so that its state is restored. The parameters are
    /// loaded separately.
    pub fn load_optimizer(&mut self, path: &Path) -> Result<()> {
        let (optimizer, engine) = (&*self.optimizer, &mut *self.engine);
        let counts = optimizer_state::load_scheduled(path, &self.tape, optimizer, Some(&mut self.schedule), engine)?;
        Counts { steps: self.run.steps, epochs: self.run.epochs } = counts;
        Ok(())
    }
}

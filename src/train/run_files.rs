//! A run's model and optimizer to files and from them.

use std::path::Path;

use super::optimizer_state::{self, Counts};
use super::trainer::Trainer;
use super::weights::{self, Load};
use crate::error::Result;

impl Trainer {
    /// [`weights::save_with`] of this run's parameters and buffers, those that are frozen included, and what
    /// [`Trainer::described`] said.
    pub fn save_model(&mut self, path: &Path) -> Result<()> {
        weights::save_with(path, &self.tape, &mut *self.engine, &self.metadata)
    }

    /// [`weights::load_with`] of this run's parameters and buffers, in place of the values they have.
    pub fn load_model(&mut self, path: &Path, load: &Load) -> Result<()> {
        weights::load_with(path, &self.tape, &mut *self.engine, load)
    }

    /// [`optimizer_state::save`] of this run's optimizer, with what its schedule remembers; save the parameters beside it.
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

    /// [`optimizer_state::load`] of a run to go on with: [`Trainer::fit`] then starts with the epoch after those that it had. A schedule that
    /// looks at results goes on from what it remembered, so set it before. The parameters are loaded apart.
    pub fn load_optimizer(&mut self, path: &Path) -> Result<()> {
        let (optimizer, engine) = (&*self.optimizer, &mut *self.engine);
        let counts = optimizer_state::load_scheduled(path, &self.tape, optimizer, Some(&mut self.schedule), engine)?;
        Counts { steps: self.run.steps, epochs: self.run.epochs } = counts;
        Ok(())
    }
}

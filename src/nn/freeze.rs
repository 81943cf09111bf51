//! A model of which only some parameters are trained.

use super::Module;
use crate::error::Result;
use crate::graph::Tape;
use crate::tensor::TensorId;

/// A model whose parameters are frozen but for those that `trains` is true of, by their full names.
///
/// No gradient is computed for a frozen parameter, nor for what lies below the lowest one that is trained. Batch norms
/// keep moving their running statistics while training, as PyTorch's do where `requires_grad` is off.
pub struct Freeze<M, F> {
    model: M,
    trains: F,
}

impl<M: Module, F: Fn(&str) -> bool + Send + Sync> Freeze<M, F> {
    /// Trains nothing of `model` but what `trains` names.
    pub fn all_but(model: M, trains: F) -> Self {
        Freeze { model, trains }
    }
}

impl<M: Module, F: Fn(&str) -> bool + Send + Sync> Module for Freeze<M, F> {
    fn forward(&self, tape: &mut Tape, input: TensorId) -> Result<TensorId> {
        let output = self.model.forward(tape, input)?;
        for id in tape.parameters() {
            if !(self.trains)(&tape.tensor(id).name) {
                tape.freeze(id)?;
            }
        }
        Ok(output)
    }
}

//! A model with some of its parameters frozen.

use super::Module;
use crate::error::Result;
use crate::graph::Tape;
use crate::tensor::TensorId;

/// A model in which only the parameters whose full names satisfy `trains` are trained.
///
/// No gradient is computed for a frozen parameter, nor below the lowest trained one. Batch norms still update their
/// running statistics during training, as in PyTorch with `requires_grad` off.
pub struct Freeze<M, F> {
    model: M,
    trains: F,
}

impl<M: Module, F: Fn(&str) -> bool + Send + Sync> Freeze<M, F> {
    /// Freezes every parameter of `model` whose name does not satisfy `trains`.
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

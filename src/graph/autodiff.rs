//! Reverse-mode differentiation: one backward walk over the tape that appends gradient nodes to it.

use std::collections::HashMap;

use crate::error::{Error, Quantity, Result};
use crate::graph::{Stage, Tape};
use crate::tensor::{Role, TensorId};

impl Tape {
    /// Appends the gradients of the scalar `loss` with respect to every trainable parameter that it depends on.
    ///
    /// A tensor with several readers gets the sum of their gradients. Tensors that depend on no trainable parameter get
    /// no gradient, so frozen layers at the bottom of a model cost nothing. Returns the pairs (parameter, gradient) in
    /// the order of the parameters.
    pub fn backward(&mut self, loss: TensorId) -> Result<Vec<(TensorId, TensorId)>> {
        let trained =
            |tape: &Tape, id: TensorId| matches!(tape.tensor(id).role, Role::Parameter { trainable: true, .. });
        let wanted: Vec<TensorId> = self.parameters().into_iter().filter(|&id| trained(self, id)).collect();
        if self.shape(loss).len() != 1 {
            let tensor = self.tensor(loss);
            let message = format!("the loss must be one number, it has shape {}", tensor.shape);
            let error = Error::shape("backward", tensor.name.clone(), message);
            return Err(error.between(Quantity::Extents(vec![1]), &tensor.shape));
        }
        let one = self.one_like(loss);
        let gradients = self.gradients_of(&[(loss, one)], &wanted)?;
        let mut pairs = Vec::new();
        for id in wanted {
            if let Some(&(mut gradient)) = gradients.get(&id) {
                // Each gradient gets its own place in the flat buffer. A tensor with another role (another parameter's
                // gradient, the seed, an input of another node) is copied there and itself stays in place.
                let shared = gradients.values().filter(|&&other| other == gradient).count() > 1;
                let read = self.nodes().iter().any(|node| node.inputs.contains(&gradient));
                if shared || read || self.tensor(gradient).role != Role::Activation {
                    let name = format!("{}.grad", self.tensor(id).name);
                    gradient = self.copy(&name, gradient)?;
                }
                self.set_gradient(gradient, id);
                pairs.push((id, gradient));
            }
        }
        Ok(pairs)
    }

    /// Appends the gradients of a sum over `seeds` with respect to each of `wanted`. A seed is a tensor with its
    /// initial gradient.
    pub fn gradients_of(
        &mut self,
        seeds: &[(TensorId, TensorId)],
        wanted: &[TensorId],
    ) -> Result<HashMap<TensorId, TensorId>> {
        let mut needed = vec![false; self.tensors().len()];
        for id in wanted {
            needed[id.0] = true;
        }
        for node in self.nodes() {
            if node.inputs.iter().any(|id| needed[id.0]) {
                node.outputs.iter().for_each(|id| needed[id.0] = true);
            }
        }
        self.set_stage(Stage::Backward);
        let nodes = self.nodes().to_vec();
        let mut gradients: HashMap<TensorId, TensorId> = HashMap::new();
        for &(output, seed) in seeds {
            let total = self.sum_of(output, gradients.get(&output).copied(), seed)?;
            gradients.insert(output, total);
        }
        for node in nodes.iter().rev() {
            let grad_outputs: Vec<Option<TensorId>> =
                node.outputs.iter().map(|id| gradients.get(id).copied()).collect();
            let needs: Vec<bool> = node.inputs.iter().map(|id| needed[id.0]).collect();
            if !needs.contains(&true) || grad_outputs.iter().all(Option::is_none) {
                continue;
            }
            let made = node.op.gradient(self, node, &grad_outputs, &needs)?;
            for ((&input, gradient), _) in node.inputs.iter().zip(made).zip(&needs).filter(|(_, need)| **need) {
                let Some(gradient) = gradient else { continue };
                let total = self.sum_of(input, gradients.get(&input).copied(), gradient)?;
                gradients.insert(input, total);
            }
        }
        gradients.retain(|id, _| wanted.contains(id));
        Ok(gradients)
    }

    /// Returns the gradient of `of`: `more` plus the gradient accumulated so far, if any.
    fn sum_of(&mut self, of: TensorId, before: Option<TensorId>, more: TensorId) -> Result<TensorId> {
        match before {
            None => Ok(more),
            Some(before) => {
                let name = format!("{}.grad", self.tensor(of).name);
                self.add(&name, before, more)
            }
        }
    }
}

//! A copy, for a tensor that must lie in two places.

use super::elementwise::elementwise;
use super::lowering::{Kernel, Lowering, source};
use super::{Misfit, Operation, arity};
use crate::error::Result;
use crate::graph::{Node, Spec, Tape, Tensor, TensorId};

/// The same numbers once more.
#[derive(Clone, Copy, Debug)]
pub struct Copy;

impl Tape {
    /// The numbers of `input` in memory of their own.
    pub fn copy(&mut self, name: &str, input: TensorId) -> Result<TensorId> {
        Ok(self.append(name, Copy, &[input], &[])?[0])
    }
}

impl Operation for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        Ok(vec![Spec::like(inputs[0])])
    }

    fn gradient(
        &self,
        _tape: &mut Tape,
        _node: &Node,
        grad_outputs: &[Option<TensorId>],
        _needs: &[bool],
    ) -> Result<Vec<Option<TensorId>>> {
        Ok(vec![grad_outputs[0]])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let files =
            [source!("copy.wgsl"), source!("activation.wgsl"), source!("lib/len.wgsl"), source!("lib/index.wgsl")];
        elementwise(lowering, Kernel::new("copy", &files).constant("WG", 64), &["input"])
    }
}

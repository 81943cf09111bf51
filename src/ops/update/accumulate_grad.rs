//! Accumulation of the gradients of several batches before one update.

use crate::error::Result;
use crate::graph::{Misfit, Operation};
use crate::kernel::{Dispatch, Extent, FlatBuffer, Kernel, Lowering, Operand, source};
use crate::ops::arity;
use crate::params;
use crate::tensor::{Spec, Tensor};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// Adds one parameter group's gradients to those of the batches since the last update, and replaces them by the sums.
///
/// Operand: the batch's part \[4\] = its weight, 1 for the first since the last update and else 0, two unused. Updated
/// in place: the gradients, then their sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccumulateGrad {
    /// Index of the parameter group.
    pub group: usize,
}

params! {
    /// Number of vectors of four elements of this piece.
    pub(crate) struct Params { len: u32 }
}

impl Operation for AccumulateGrad {
    fn name(&self) -> &'static str {
        "accumulate_grad"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        Ok(Vec::new())
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let share = lowering.input(0);
        for (piece, bytes) in lowering.flat_pieces(self.group).into_iter().enumerate() {
            let len = bytes / 16;
            let params = Params { len: len as u32 };
            let flat = |buffer| Operand::Flat { buffer, group: self.group, piece };
            let files = [source!("update/accumulate_grad.wgsl"), source!("lib/each.wgsl")];
            let kernel = Kernel::new("accumulate_grad", &files).constant("WG", 64);
            lowering.push(
                Dispatch::new(kernel, &params, Extent::Invocations(len))
                    .elements(1_u32)
                    .bind("share", share)
                    .bind("grad", flat(FlatBuffer::Gradient))
                    .bind("sum", flat(FlatBuffer::Accumulated)),
            );
        }
        Ok(())
    }
}

impl Twin for AccumulateGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let share = inputs.real(0);
        let (weight, first) = (share[0], share[1] != R::default());
        let gradients = outputs.updates.len() / 2;
        for i in 0..gradients {
            let mut grad = outputs.update(i).to_vec();
            for (grad, sum) in grad.iter_mut().zip(outputs.update(gradients + i)) {
                *sum = if first { weight * *grad } else { *sum + weight * *grad };
                *grad = *sum;
            }
            outputs.update(i).copy_from_slice(&grad);
        }
    }
}

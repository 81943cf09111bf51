//! The SGD update of one parameter group, in place over its flat buffers.

use super::lowering::{Extent, FlatBuffer, Kernel, Lowering, Operand, bytes_of, params, source};
use super::{Misfit, Operation, arity};
use crate::error::Result;
use crate::graph::{Spec, Tensor};

/// One parameter group's update; what may change from step to step (lr, momentum) comes as an operand instead.
///
/// Operands: the group's hyperparameters [4] = lr, momentum, whether this is the first step with momentum, unused; then
/// the gradients. Changed in place: the parameters, then their momentum buffers. Source: torch.optim.SGD.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdUpdate {
    /// The parameter group.
    pub group: usize,
    /// How much of a gradient does not enter the momentum buffer.
    pub dampening: f64,
    /// The L2 penalty's factor: adds weight_decay p to the gradient.
    pub weight_decay: f64,
    /// The L1 penalty's factor: adds l1 sign(p) to the gradient.
    pub l1: f64,
    /// Whether to look ahead along the momentum.
    pub nesterov: bool,
    /// Whether to climb.
    pub maximize: bool,
}

params! {
    /// Vectors of four elements of this piece, and the group's settings.
    Params { len: u32, keep: f32, weight_decay: f32, l1: f32, nesterov: u32, maximize: u32 }
}

impl Operation for SgdUpdate {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        if inputs.is_empty() {
            arity(inputs, &[1])?;
        }
        Ok(Vec::new())
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let hyper = lowering.input(0);
        for (piece, bytes) in lowering.flat_pieces(self.group).into_iter().enumerate() {
            // Tensors are padded to 256 bytes, so vectors of four divide every piece.
            let len = bytes / 16;
            let params = Params {
                len: len as u32,
                keep: (1.0 - self.dampening) as f32,
                weight_decay: self.weight_decay as f32,
                l1: self.l1 as f32,
                nesterov: u32::from(self.nesterov),
                maximize: u32::from(self.maximize),
            };
            let flat = |buffer| Operand::Flat { buffer, group: self.group, piece };
            let kernel = Kernel::new("sgd", &[source!("sgd.wgsl"), source!("lib/index.wgsl")]).constant("WG", 64);
            lowering
                .dispatch(kernel, bytes_of!(Params, &params), Extent::Invocations(len))
                .bind("hyper", hyper)
                .bind("grad", flat(FlatBuffer::Gradient))
                .bind("parameter", flat(FlatBuffer::Parameter))
                .bind("momentum_buffer", flat(FlatBuffer::Momentum));
        }
        Ok(())
    }
}

//! The SGD update of one parameter group, in place over its flat buffers.

use crate::error::Result;
use crate::graph::{Misfit, Operation};
use crate::kernel::{Dispatch, Extent, FlatBuffer, Kernel, Lowering, Operand, source};
use crate::ops::arity;
use crate::params;
use crate::tensor::{Spec, Tensor};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// PyTorch's name for SGD's per-parameter state.
pub const MOMENTUM_BUFFER: &str = "momentum_buffer";

/// Gradient clipping within an update.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Clip {
    /// No clipping.
    #[default]
    None,
    /// Clamps each element to -value .. value. Source: torch.nn.utils.clip_grad_value_.
    Value(f64),
    /// Multiplies all by the factor in the last operand, the state of [`super::clip_grad_norm::ClipGradNorm`].
    Norm,
}

/// Updates one parameter group. Values that may change from step to step (lr, momentum) are an operand instead.
///
/// Operands: the group's hyperparameters \[2\] = lr, momentum; the state of [`super::count_updates::CountUpdates`]; the
/// gradients; then, if they are clipped by their norm, its state \[2\]. Updated in place: the parameters, then their
/// momentum buffers. Source: torch.optim.SGD.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdUpdate {
    /// Index of the parameter group.
    pub group: usize,
    /// Fraction of a gradient that does not enter the momentum buffer.
    pub dampening: f64,
    /// The L2 penalty's factor: adds weight_decay p to the gradient.
    pub weight_decay: f64,
    /// The L1 penalty's factor: adds l1 sign(p) to the gradient.
    pub l1: f64,
    /// True for Nesterov momentum.
    pub nesterov: bool,
    /// True to maximise the objective in place of minimising it.
    pub maximize: bool,
    /// Gradient clipping within the update.
    pub clip: Clip,
}

params! {
    /// Number of vectors of four elements of this piece, and the group's settings.
    pub(crate) struct Params { len: u32, keep: f32, weight_decay: f32, l1: f32, nesterov: u32, maximize: u32, clip_value: f32 }
}

impl Operation for SgdUpdate {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        if inputs.len() < 2 {
            arity(inputs, &[2])?;
        }
        Ok(Vec::new())
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let (hyper, updates) = (lowering.input(0), lowering.input(1));
        let mut files = vec![
            source!("update/sgd.wgsl"),
            source!("update/decay.wgsl"),
            source!("update/applied.wgsl"),
            source!("lib/each.wgsl"),
        ];
        let (mut clip_value, mut grad_norm) = (0.0, None);
        match self.clip {
            Clip::None => files.push(source!("update/clip_none.wgsl")),
            Clip::Value(value) => {
                files.extend([source!("update/clip_value.wgsl"), source!("lib/nan.wgsl")]);
                clip_value = value as f32;
            }
            Clip::Norm => {
                files.push(source!("update/clip_norm.wgsl"));
                grad_norm = Some(lowering.input(lowering.input_count() - 1));
            }
        }
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
                clip_value,
            };
            let flat = |buffer| Operand::Flat { buffer, group: self.group, piece };
            let kernel = Kernel::new("sgd", &files).constant("WG", 64).elements(4);
            lowering.push(
                Dispatch::new(kernel, &params, Extent::Invocations(len))
                    .elements(1_u32)
                    .bind("hyper", hyper)
                    .bind("updates", updates)
                    .bind("grad", flat(FlatBuffer::Gradient))
                    .bind("parameter", flat(FlatBuffer::Parameter))
                    .bind("momentum_buffer", flat(FlatBuffer::Optimizer(MOMENTUM_BUFFER)))
                    .bind_all(grad_norm.map(|grad_norm| ("grad_norm", grad_norm))),
            );
        }
        Ok(())
    }
}

impl Twin for SgdUpdate {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let zero = R::default();
        let hyper = inputs.real(0);
        let (lr, momentum, first) = (hyper[0], hyper[1], inputs.real(1)[1] == R::of(1.0));
        let (keep, decay, l1) = (R::of(1.0 - self.dampening), R::of(self.weight_decay), R::of(self.l1));
        let parameters = outputs.updates.len() / 2;
        let clipped = |grad: R| match self.clip {
            Clip::None => grad,
            Clip::Value(value) if grad > R::of(value) => R::of(value),
            Clip::Value(value) if grad < R::of(-value) => R::of(-value),
            Clip::Value(_) => grad,
            Clip::Norm => inputs.real(inputs.len() - 1)[1] * grad,
        };
        for i in 0..parameters {
            let grad = inputs.real(2 + i);
            let mut parameter = outputs.update(i).to_vec();
            let buffer = outputs.update(parameters + i);
            for ((p, b), &grad) in parameter.iter_mut().zip(buffer).zip(grad) {
                let sign = if *p > zero {
                    R::of(1.0)
                } else if *p < zero {
                    R::of(-1.0)
                } else {
                    zero
                };
                let grad = clipped(grad);
                let mut g = if self.maximize { -grad } else { grad };
                g += decay * *p + l1 * sign;
                if momentum != zero {
                    *b = if first { g } else { momentum * *b + keep * g };
                    g = if self.nesterov { g + momentum * *b } else { *b };
                }
                *p = *p - lr * g;
            }
            outputs.update(i).copy_from_slice(&parameter);
        }
    }
}

//! The norm of all gradients together, and the factor that reduces it to a maximum.

use crate::error::Result;
use crate::graph::{Misfit, Operation};
use crate::kernel::{Caps, DeviceClass, Dispatch, Extent, FlatBuffer, Kernel, Lowering, Operand, source};
use crate::ops::arity;
use crate::tensor::{Spec, Tensor};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// Computes the norm of all gradients and the factor `min(1, max_norm / (norm + 1e-6))`, by which the update multiplies
/// them.
///
/// Operands: the gradients of all groups. Updated in place: the state [`GRAD_NORM`], \[2\] = norm, factor. Source:
/// torch.nn.utils.clip_grad_norm_ with norm_type 2 and error_if_nonfinite=False.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipGradNorm {
    /// Indices of the parameter groups whose gradients count.
    pub groups: Vec<usize>,
    /// Maximum norm; infinite to measure only.
    pub max_norm: f64,
}

/// Name of the state with the norm of the last update's gradients before clipping, and the factor.
pub const GRAD_NORM: &str = "grad_norm";

/// Workgroup size, vectors of four per invocation, and maximum number of workgroups for one piece, each of which gives
/// one partial sum: few for a software device, and as many as keep a card busy.
fn widths(caps: &Caps) -> (u32, u64, u64) {
    match caps.class {
        DeviceClass::Software => (8, 1, 256),
        _ => (256, 16, 8192),
    }
}

mod partial {
    use crate::params;

    params! {
        /// Number of vectors of four elements of this piece, and the first index and number of its partial sums.
        pub(crate) struct Params { len: u32, first: u32, workgroups: u32 }
    }
}

mod total {
    use crate::params;

    params! {
        /// Number of partial sums, and the maximum.
        pub(crate) struct Params { count: u32, max_norm: f32 }
    }
}

impl Operation for ClipGradNorm {
    fn name(&self) -> &'static str {
        "clip_grad_norm"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        if inputs.is_empty() {
            arity(inputs, &[1])?;
        }
        Ok(Vec::new())
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let (width, each, most) = widths(lowering.caps());
        let mut pieces = Vec::new();
        let mut count = 0;
        for &group in &self.groups {
            for (piece, bytes) in lowering.flat_pieces(group).into_iter().enumerate() {
                // Tensors are padded to 256 bytes, so vectors of four divide every piece.
                let len = bytes / 16;
                let workgroups = len.div_ceil(u64::from(width) * each).min(most);
                let operand = Operand::Flat { buffer: FlatBuffer::Gradient, group, piece };
                pieces.push((
                    operand,
                    partial::Params { len: len as u32, first: count as u32, workgroups: workgroups as u32 },
                ));
                count += workgroups;
            }
        }
        let sums = lowering.scratch(count * 4);
        let shared = [source!("lib/workgroup_sum.wgsl"), source!("lib/workgroup.wgsl")];
        for (grad, params) in pieces {
            let kernel = Kernel::new("clip_grad_norm", &[source!("update/clip_grad_norm.wgsl")]);
            let extent = Extent::Workgroups(u64::from(params.workgroups));
            lowering.push(
                Dispatch::new(kernel.with(&shared).constant("WG", width), &params, extent)
                    .elements(params.len.div_ceil(params.workgroups * width) + width.ilog2())
                    .bind("grad", grad)
                    .bind("partial", sums),
            );
        }
        let files = [source!("update/clip_grad_norm_total.wgsl"), source!("lib/nan.wgsl")];
        let kernel = Kernel::new("clip_grad_norm/total", &files).with(&shared).constant("WG", width).elements(1);
        let params = total::Params { count: count as u32, max_norm: self.max_norm as f32 };
        let grad_norm = lowering.update(0);
        lowering.push(
            Dispatch::new(kernel, &params, Extent::Workgroups(1))
                .elements(params.count.div_ceil(width) + width.ilog2())
                .bind("partial", sums)
                .bind("grad_norm", grad_norm),
        );
        Ok(())
    }
}

/// Number of squares summed before the sums are, so that a long sum in f32 loses little precision.
const CHUNK: usize = 256;

impl Twin for ClipGradNorm {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let squares = |numbers: &[R]| numbers.iter().map(|&g| g * g).sum::<R>();
        let of_tensor = |i: usize| inputs.real(i).chunks(CHUNK).map(squares).sum::<R>();
        let norm = (0..inputs.len()).map(of_tensor).sum::<R>().sqrt();
        let quotient = R::of(self.max_norm) / (norm + R::of(1e-6));
        let one = R::of(1.0);
        let state = outputs.update(0);
        state[0] = norm;
        // A comparison with NaN is false, and NaN is kept.
        state[1] = if quotient > one { one } else { quotient };
    }
}

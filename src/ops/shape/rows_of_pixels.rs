//! The pixels of images as rows, for losses that handle one row at a time, and the gradient.

use crate::error::{Error, Result};
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Kernel, Lowering, source};
use crate::ops::arity;
use crate::ops::elementwise::elementwise;
use crate::shape::Shape;
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// [N, C, H, W] to [N·H·W, C], and [N, H, W] to [N·H·W]: one row per pixel of each image. Activations are channels-last
/// in memory, so nothing moves. Source: torch.movedim(1, -1) and torch.flatten(0, 2).
#[derive(Clone, Copy, Debug)]
pub struct RowsOfPixels;

/// The gradient of [`RowsOfPixels`]: [N·H·W, C] back to [N, C, H, W].
#[derive(Clone, Copy, Debug)]
pub struct PixelsOfRows {
    /// N, C, H, W.
    pub dims: [usize; 4],
}

impl Tape {
    /// Appends `logits` [N, C, H, W] as rows [N·H·W, C] and `target` [N, H, W] as \[N·H·W\]; logits [N, C] and targets
    /// \[N\] are returned unchanged.
    ///
    /// [`Error::Shape`] if the two don't fit each other.
    pub fn rows_of_pixels(&mut self, logits: TensorId, target: TensorId) -> Result<(TensorId, TensorId)> {
        let &[n, _, h, w] = self.shape(logits).dims() else { return Ok((logits, target)) };
        if self.shape(target).dims() != [n, h, w] {
            let message = format!(
                "target must be [N,H,W] for logits [N,classes,H,W]; logits {}, target {}",
                self.shape(logits),
                self.shape(target)
            );
            return Err(Error::shape("rows_of_pixels", self.full_name("target"), message)
                .between(&Shape::from([n, h, w]), self.shape(target)));
        }
        let rows = |tape: &mut Tape, name: &str, id| Ok(tape.append(name, RowsOfPixels, &[id], &[])?[0]);
        Ok((rows(self, "logits", logits)?, rows(self, "target", target)?))
    }
}

impl Operation for RowsOfPixels {
    fn name(&self) -> &'static str {
        "rows_of_pixels"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        let dtype = inputs[0].dtype;
        match *inputs[0].shape.dims() {
            [n, c, h, w] => Ok(vec![Spec { dtype, ..Spec::f32([n * h * w, c]) }]),
            [n, h, w] => Ok(vec![Spec { dtype, ..Spec::f32([n * h * w]) }]),
            _ => Err(Misfit::Shape(format!("input must be [N,C,H,W] or [N,H,W], it is {}", inputs[0].shape))),
        }
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], _needs: &[bool]) -> Result<Vec<Grad>> {
        let (Some(grad_output), &[n, c, h, w]) = (grad_outputs[0], tape.shape(node.inputs[0]).dims()) else {
            return Ok(vec![None]);
        };
        Ok(vec![Some(tape.append(&node.name, PixelsOfRows { dims: [n, c, h, w] }, &[grad_output], &[])?[0])])
    }

    fn is_view(&self, _inputs: &[&Tensor]) -> bool {
        true
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        copy(lowering)
    }
}

impl Operation for PixelsOfRows {
    fn name(&self) -> &'static str {
        "pixels_of_rows"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        let [n, c, h, w] = self.dims;
        match *inputs[0].shape.dims() {
            [rows, channels] if rows == n * h * w && channels == c => Ok(vec![Spec::f32(self.dims)]),
            _ => Err(Misfit::Shape(format!("input must be [{},{c}], it is {}", n * h * w, inputs[0].shape))),
        }
    }

    fn is_view(&self, _inputs: &[&Tensor]) -> bool {
        true
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        copy(lowering)
    }
}

/// Pushes a copy if a view is not enough, as for the gradient of a parameter: the same values in the same order.
fn copy(lowering: &mut Lowering<'_>) -> Result<()> {
    let files = [source!("elementwise/copy.wgsl"), source!("elementwise/activation.wgsl"), source!("lib/each.wgsl")];
    elementwise(lowering, Kernel::new("copy", &files).constant("WG", 64), &["input"])
}

/// Indices of the elements (n, c, pixel) of [N, C, H·W] among rows of channels.
fn places(n: usize, c: usize, pixels: usize) -> impl Iterator<Item = usize> {
    (0..n).flat_map(move |n| (0..c).flat_map(move |channel| (0..pixels).map(move |p| (n * pixels + p) * c + channel)))
}

impl Twin for RowsOfPixels {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        match *inputs.dims(0) {
            [n, c, h, w] => {
                let output = outputs.real(0);
                places(n, c, h * w).zip(inputs.real(0)).for_each(|(place, &x)| output[place] = x);
            }
            _ => outputs.ints(0).copy_from_slice(inputs.ints(0)),
        }
    }
}

impl Twin for PixelsOfRows {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let [n, c, h, w] = self.dims;
        let rows = inputs.real(0);
        places(n, c, h * w).zip(outputs.real(0)).for_each(|(place, x)| *x = rows[place]);
    }
}

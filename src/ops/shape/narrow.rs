//! A range of channels, and its gradient.

use crate::error::Result;
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Dispatch, Extent, Kernel, Lowering, source};
use crate::ops::{arity, channels_of, concat};
use crate::params;
use crate::shape::Shape;
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// The channels `start..start + length` of [N, C, H, W] or [N, C]. Source: torch.narrow with dim 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Narrow {
    /// First channel.
    pub start: usize,
    /// Number of channels.
    pub length: usize,
}

/// The gradient of [`Narrow`]: the operand, grad_output, padded with zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NarrowGrad {
    /// Position of its first channel in the result.
    pub start: usize,
    /// Number of channels of the result.
    pub channels: usize,
}

params! {
    /// Extents and the first channel, in E of the header.
    pub(crate) struct Params { pixels: u32, channels: u32, start: u32, length: u32 }
}

impl Tape {
    /// Appends the channels `start..start + length` of `input`, [N, C, H, W] or [N, C].
    pub fn narrow(&mut self, name: &str, input: TensorId, start: usize, length: usize) -> Result<TensorId> {
        Ok(self.append(name, Narrow { start, length }, &[input], &[])?[0])
    }
}

/// The shape of `tensor` with another number of channels.
fn with_channels(tensor: &Tensor, channels: usize) -> Spec {
    let mut dims = tensor.shape.dims().to_vec();
    dims[1] = channels;
    Spec::f32(Shape::new(dims))
}

impl Operation for Narrow {
    fn name(&self) -> &'static str {
        "narrow"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        let channels = channels_of(inputs[0], "input")?;
        let Narrow { start, length } = *self;
        if length == 0 || start.checked_add(length).is_none_or(|end| end > channels) {
            return Err(Misfit::Attribute(format!(
                "start {start}, length {length} is no run of the {channels} channels of input {}",
                inputs[0].shape
            )));
        }
        Ok(vec![with_channels(inputs[0], length)])
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], _needs: &[bool]) -> Result<Vec<Grad>> {
        let Some(grad_output) = grad_outputs[0] else { return Ok(vec![None]) };
        let op = NarrowGrad { start: self.start, channels: tape.shape(node.inputs[0]).dims()[1] };
        Ok(vec![Some(tape.append(&node.name, op, &[grad_output], &[])?[0])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        concat::narrow(lowering, self.start as u32);
        Ok(())
    }
}

impl Operation for NarrowGrad {
    fn name(&self) -> &'static str {
        "narrow_grad"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        let length = channels_of(inputs[0], "grad_output")?;
        if self.start.checked_add(length).is_none_or(|end| end > self.channels) {
            return Err(Misfit::Attribute(format!(
                "grad_output {} does not fit into {} channels from {} on",
                inputs[0].shape, self.channels, self.start
            )));
        }
        Ok(vec![with_channels(inputs[0], self.channels)])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let [n, channels, h, w] = lowering.output_dims(0);
        let (start, length) = (self.start as u32, lowering.input_dims(0)[1]);
        let each = if [channels, start, length].iter().all(|count| count.is_multiple_of(4)) { 4 } else { 1 };
        let params =
            Params { pixels: n * h * w, channels: channels / each, start: start / each, length: length / each };
        let (grad_output, grad_input) = (lowering.input(0), lowering.output(0));
        let files = [source!("shape/narrow_grad.wgsl"), source!("lib/divide.wgsl"), source!("lib/each.wgsl")];
        let kernel = Kernel::new("narrow_grad", &files).constant("WG", 64).elements(each);
        let extent = Extent::Invocations(lowering.output_len(0) / u64::from(each));
        lowering.push(
            Dispatch::new(kernel, &params, extent)
                .elements(1_u32)
                .bind("grad_output", grad_output)
                .bind("grad_input", grad_input),
        );
        Ok(())
    }
}

impl Twin for Narrow {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let dims = inputs.dims(0);
        let plane: usize = dims[2..].iter().product();
        let images = inputs.real(0).chunks(dims[1] * plane);
        for (y, x) in outputs.real(0).chunks_mut(self.length * plane).zip(images) {
            y.copy_from_slice(&x[self.start * plane..][..self.length * plane]);
        }
    }
}

impl Twin for NarrowGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let dims = inputs.dims(0);
        let plane: usize = dims[2..].iter().product();
        let images = inputs.real(0).chunks(dims[1] * plane);
        for (dx, dy) in outputs.real(0).chunks_mut(self.channels * plane).zip(images) {
            dx[self.start * plane..][..dy.len()].copy_from_slice(dy);
        }
    }
}

//! Concatenation of tensors along channels.

use crate::error::Result;
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Dispatch, Extent, Kernel, Lowering, Operand, source};
use crate::ops::channels_of;
use crate::params;
use crate::shape::Shape;
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// [N, C1, H, W], [N, C2, H, W], .. to [N, C1 + C2 + .., H, W], or [N, C1], [N, C2], .. to [N, C1 + C2 + ..].
/// Source: torch.cat with dim 1.
#[derive(Clone, Copy, Debug)]
pub struct Concat;

params! {
    /// Number of pixels and of channels to copy, and the number of channels and the first channel of source and target,
    /// in E of the header.
    pub(crate) struct Params { pixels: u32, count: u32, from_channels: u32, from_first: u32, to_channels: u32, to_first: u32 }
}

impl Tape {
    /// Concatenates `inputs` along channels; all other extents are equal.
    pub fn concat(&mut self, name: &str, inputs: &[TensorId]) -> Result<TensorId> {
        Ok(self.append(name, Concat, inputs, &[])?[0])
    }
}

impl Operation for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        let Some(first) = inputs.first() else {
            return Err(Misfit::Shape("needs at least one operand".into()));
        };
        let mut shape = first.shape.dims().to_vec();
        let mut total = 0;
        for input in inputs {
            let channels = channels_of(input, "every operand")?;
            let dims = input.shape.dims();
            if dims.len() != shape.len() || dims[0] != shape[0] || dims[2..] != shape[2..] {
                let shapes: Vec<String> = inputs.iter().map(|input| input.shape.to_string()).collect();
                let message = format!("operands may differ in channels alone, they are {}", shapes.join(", "));
                return Err(Misfit::Shape(message));
            }
            total += channels;
        }
        shape[1] = total;
        Ok(vec![Spec::f32(Shape::new(shape))])
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], needs: &[bool]) -> Result<Vec<Grad>> {
        let mut grads = vec![None; needs.len()];
        let Some(grad_output) = grad_outputs[0] else { return Ok(grads) };
        let mut start = 0;
        for (i, grad) in grads.iter_mut().enumerate() {
            let channels = tape.shape(node.inputs[i]).dims()[1];
            if needs[i] {
                *grad = Some(tape.narrow(&node.name, grad_output, start, channels)?);
            }
            start += channels;
        }
        Ok(grads)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let (output, to_channels) = (lowering.output(0), lowering.output_dims(0)[1]);
        let mut to_first = 0;
        for i in 0..lowering.input_count() {
            let [n, count, h, w] = lowering.input_dims(i);
            let params =
                Params { pixels: n * h * w, count, from_channels: count, from_first: 0, to_channels, to_first };
            copy_channels(lowering, "concat", lowering.input(i), output, params);
            to_first += count;
        }
        Ok(())
    }
}

/// Copies a run of channels of every pixel.
fn copy_channels(lowering: &mut Lowering<'_>, name: &'static str, from: Operand, to: Operand, params: Params) {
    let mut params = params;
    let channels = [
        &mut params.count,
        &mut params.from_channels,
        &mut params.from_first,
        &mut params.to_channels,
        &mut params.to_first,
    ];
    let each = if channels.iter().all(|count| count.is_multiple_of(4)) { 4 } else { 1 };
    channels.into_iter().for_each(|count| *count /= each);
    let files = [source!("shape/channels.wgsl"), source!("lib/divide.wgsl"), source!("lib/each.wgsl")];
    let kernel = Kernel::new(name, &files).constant("WG", 64).elements(each);
    let extent = Extent::Invocations(u64::from(params.pixels) * u64::from(params.count));
    lowering.push(Dispatch::new(kernel, &params, extent).elements(1_u32).bind("input", from).bind("output", to));
}

/// Copies the channels from `start` on of the node's input into its output, whose channels determine the number.
pub(crate) fn narrow(lowering: &mut Lowering<'_>, start: u32) {
    let [n, from_channels, h, w] = lowering.input_dims(0);
    let count = lowering.output_dims(0)[1];
    let params = Params { pixels: n * h * w, count, from_channels, from_first: start, to_channels: count, to_first: 0 };
    copy_channels(lowering, "narrow", lowering.input(0), lowering.output(0), params);
}

impl Twin for Concat {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let image = inputs.output_dims(0)[1..].iter().product();
        for (n, y) in outputs.real(0).chunks_mut(image).enumerate() {
            let mut first = 0;
            for i in 0..inputs.len() {
                let part: usize = inputs.dims(i)[1..].iter().product();
                y[first..][..part].copy_from_slice(&inputs.real(i)[n * part..][..part]);
                first += part;
            }
        }
    }
}

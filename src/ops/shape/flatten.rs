//! flatten(1) of an [N, C, H, W] tensor, in PyTorch's element order, and its gradient.

use crate::error::Result;
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Dispatch, Extent, Kernel, Lowering, source};
use crate::ops::{arity, nchw};
use crate::params;
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// [N, C, H, W] to [N, C·H·W]. It reorders memory, but is free if H and W are 1. Source: torch.nn.Flatten.
#[derive(Clone, Copy, Debug)]
pub struct Flatten;

/// The gradient of [`Flatten`]: [N, C·H·W] back to [N, C, H, W].
#[derive(Clone, Copy, Debug)]
pub struct Unflatten {
    /// C, H, W.
    pub dims: [usize; 3],
}

params! {
    /// Extents of the four-dimensional side.
    pub(crate) struct Params { batch: u32, channels: u32, pixels: u32 }
}

impl Tape {
    /// Appends [N, C, H, W] to [N, C·H·W]; a tensor of two extents is returned unchanged.
    pub fn flatten(&mut self, name: &str, input: TensorId) -> Result<TensorId> {
        if self.shape(input).rank() == 2 {
            return Ok(input);
        }
        Ok(self.append(name, Flatten, &[input], &[])?[0])
    }
}

impl Operation for Flatten {
    fn name(&self) -> &'static str {
        "flatten"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        let [n, c, h, w] = nchw(inputs[0], "input")?;
        Ok(vec![Spec::f32([n, c * h * w])])
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], _needs: &[bool]) -> Result<Vec<Grad>> {
        let Some(grad_output) = grad_outputs[0] else { return Ok(vec![None]) };
        let dims = tape.shape(node.inputs[0]).dims();
        let op = Unflatten { dims: [dims[1], dims[2], dims[3]] };
        Ok(vec![Some(tape.append(&node.name, op, &[grad_output], &[])?[0])])
    }

    fn is_view(&self, inputs: &[&Tensor]) -> bool {
        matches!(inputs[0].shape.dims(), [_, c, h, w] if *c == 1 || h * w == 1)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        reorder(lowering, "flatten", lowering.input_dims(0), true)
    }
}

impl Operation for Unflatten {
    fn name(&self) -> &'static str {
        "unflatten"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        let [c, h, w] = self.dims;
        match *inputs[0].shape.dims() {
            [n, k] if k == c * h * w => Ok(vec![Spec::f32([n, c, h, w])]),
            ref found => {
                let message = format!("input must be [N,{}], it is {}", c * h * w, inputs[0].shape);
                Err(Misfit::between(message, c * h * w, found.last().copied().unwrap_or(0)))
            }
        }
    }

    fn is_view(&self, _inputs: &[&Tensor]) -> bool {
        let [c, h, w] = self.dims;
        c == 1 || h * w == 1
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        reorder(lowering, "unflatten", lowering.output_dims(0), false)
    }
}

fn reorder(lowering: &mut Lowering<'_>, name: &'static str, [n, c, h, w]: [u32; 4], forward: bool) -> Result<()> {
    let files = [source!("shape/flatten.wgsl"), source!("lib/divide.wgsl"), source!("lib/each.wgsl")];
    let len = lowering.output_len(0);
    let each = if len.is_multiple_of(4) { 4 } else { 1 };
    let kernel = Kernel::new(name, &files).constant("WG", 64).parts(each).flag("FORWARD", forward);
    let params = Params { batch: n, channels: c, pixels: h * w };
    let (input, output) = (lowering.input(0), lowering.output(0));
    lowering.push(
        Dispatch::new(kernel, &params, Extent::Invocations(len.div_ceil(4)))
            .elements(4 / each)
            .bind("input", input)
            .bind("output", output),
    );
    Ok(())
}

impl Twin for Flatten {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        outputs.real(0).copy_from_slice(inputs.real(0));
    }
}

impl Twin for Unflatten {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        outputs.real(0).copy_from_slice(inputs.real(0));
    }
}

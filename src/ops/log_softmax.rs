//! log_softmax over classes, and its gradient.

use super::dispatch::Extent;
use super::lowering::{Kernel, Lowering, Source, bytes_of, params, source};
use super::{Misfit, Operation, arity, channels_of};
use crate::error::Result;
use crate::graph::{Node, Spec, Tape, Tensor, TensorId};

/// The logarithm of the softmax over classes, of [N, classes] or, pixel by pixel, [N, classes, H, W].
/// Source: torch.nn.LogSoftmax with dim 1.
#[derive(Clone, Copy, Debug)]
pub struct LogSoftmax;

/// The gradient of [`LogSoftmax`]: operands are its output and the gradient of its output.
#[derive(Clone, Copy, Debug)]
pub struct LogSoftmaxGrad;

params! {
    /// Extents.
    Params { rows: u32, classes: u32 }
}

impl Tape {
    /// The logarithm of the softmax over classes, of [N, classes] or, pixel by pixel, [N, classes, H, W].
    pub fn log_softmax(&mut self, name: &str, input: TensorId) -> Result<TensorId> {
        Ok(self.append(name, LogSoftmax, &[input], &[])?[0])
    }
}

/// One invocation a row.
fn rows(lowering: &mut Lowering<'_>, name: &'static str, main: Source, bindings: &[&'static str]) -> Result<()> {
    let [n, classes, h, w] = lowering.output_dims(0);
    let params = Params { rows: n * h * w, classes };
    let mut operands: Vec<_> = (0..lowering.inputs().len()).map(|i| lowering.input(i)).collect();
    operands.push(lowering.output(0));
    let files = [main, source!("lib/nan.wgsl"), source!("lib/index.wgsl")];
    let kernel = Kernel::new(name, &files).constant("WG", 64).elements(1);
    let dispatch = lowering.dispatch(kernel, bytes_of!(Params, &params), Extent::Invocations(u64::from(params.rows)));
    // Up to three passes over a row.
    dispatch.elements(3 * classes);
    for (name, operand) in bindings.iter().zip(operands) {
        dispatch.bind(name, operand);
    }
    Ok(())
}

impl Operation for LogSoftmax {
    fn name(&self) -> &'static str {
        "log_softmax"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        channels_of(inputs[0], "input")?;
        Ok(vec![Spec::like(inputs[0])])
    }

    fn gradient(
        &self,
        tape: &mut Tape,
        node: &Node,
        grad_outputs: &[Option<TensorId>],
        _needs: &[bool],
    ) -> Result<Vec<Option<TensorId>>> {
        let Some(grad_output) = grad_outputs[0] else { return Ok(vec![None]) };
        Ok(vec![Some(tape.append(&node.name, LogSoftmaxGrad, &[node.outputs[0], grad_output], &[])?[0])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        rows(lowering, "log_softmax", source!("log_softmax.wgsl"), &["input", "output"])
    }
}

impl Operation for LogSoftmaxGrad {
    fn name(&self) -> &'static str {
        "log_softmax_grad"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[2])?;
        Ok(vec![Spec::like(inputs[0])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let bindings = ["output", "grad_output", "grad_input"];
        rows(lowering, "log_softmax_grad", source!("log_softmax_grad.wgsl"), &bindings)
    }
}

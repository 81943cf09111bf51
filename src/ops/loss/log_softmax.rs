//! log_softmax over classes, and its gradient.

use crate::error::Result;
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Lowering, Source, source};
use crate::ops::loss::rows::{Rows, of_rows};
use crate::ops::{arity, channels_of};
use crate::params;
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// The logarithm of the softmax over classes, of [N, classes] or, pixel by pixel, [N, classes, H, W]. Source:
/// torch.nn.LogSoftmax with dim 1.
#[derive(Clone, Copy, Debug)]
pub struct LogSoftmax;

/// The gradient of [`LogSoftmax`]: operands are its output and the gradient of its output.
#[derive(Clone, Copy, Debug)]
pub struct LogSoftmaxGrad;

params! {
    /// Extents.
    pub(crate) struct Params { rows: u32, classes: u32 }
}

impl Tape {
    /// Appends the logarithm of the softmax over classes, of [N, classes] or, pixel by pixel, [N, classes, H, W].
    pub fn log_softmax(&mut self, name: &str, input: TensorId) -> Result<TensorId> {
        Ok(self.append(name, LogSoftmax, &[input], &[])?[0])
    }
}

/// Pushes a kernel of these files over all rows, with operands bound to these names.
fn lower_rows(
    lowering: &mut Lowering<'_>,
    (name, files): (&'static str, &[Source]),
    bindings: &[&'static str],
    work: [u32; 2],
) -> Result<()> {
    let [n, classes, h, w] = lowering.output_dims(0);
    let params = Params { rows: n * h * w, classes };
    let mut operands: Vec<_> = (0..lowering.input_count()).map(|i| lowering.input(i)).collect();
    operands.push(lowering.output(0));
    let dispatch = of_rows(lowering.caps(), (name, files), [params.rows, classes], work, &params);
    lowering.push(dispatch.bind_all(bindings.iter().copied().zip(operands)));
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

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], _needs: &[bool]) -> Result<Vec<Grad>> {
        let Some(grad_output) = grad_outputs[0] else { return Ok(vec![None]) };
        Ok(vec![Some(tape.append(&node.name, LogSoftmaxGrad, &[node.outputs[0], grad_output], &[])?[0])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let files =
            [source!("loss/log_softmax.wgsl"), source!("lib/softmax_largest.wgsl"), source!("lib/softmax.wgsl")];
        lower_rows(lowering, ("log_softmax", &files), &["input", "output"], [3, 2])
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
        let files = [source!("loss/log_softmax_grad.wgsl"), source!("lib/row.wgsl")];
        lower_rows(lowering, ("log_softmax_grad", &files), &bindings, [2, 1])
    }
}

impl Twin for LogSoftmax {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (input, output) = (inputs.real(0), outputs.real(0));
        for row in Rows::of(inputs.dims(0)).places() {
            let mut values = row.clone().map(|i| input[i]);
            let first = values.next().unwrap_or_default();
            let largest = values.fold(first, |largest, x| if x > largest { x } else { largest });
            let log_sum = row.clone().map(|i| (input[i] - largest).exp()).sum::<R>().ln();
            row.for_each(|i| output[i] = input[i] - largest - log_sum);
        }
    }
}

impl Twin for LogSoftmaxGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (output, grad_output, grad_input) = (inputs.real(0), inputs.real(1), outputs.real(0));
        for row in Rows::of(inputs.dims(0)).places() {
            let sum: R = row.clone().map(|i| grad_output[i]).sum();
            row.for_each(|i| grad_input[i] = grad_output[i] - output[i].exp() * sum);
        }
    }
}

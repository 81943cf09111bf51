//! relu, sigmoid and tanh, elementwise; each gradient is a function of the output alone.

use super::lowering::{Extent, Kernel, Lowering, Source, bytes_of, params, source};
use super::{Misfit, Operation, arity};
use crate::error::Result;
use crate::graph::{Node, Spec, Tape, Tensor, TensorId};

/// Which function. Source: torch.nn.ReLU, Sigmoid, Tanh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// max(x, 0); NaN stays NaN.
    Relu,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// (exp(x) - exp(-x)) / (exp(x) + exp(-x)).
    Tanh,
}

/// The gradient of an [`Activation`]: operands are its output and the gradient of its output.
#[derive(Clone, Copy, Debug)]
pub struct ActivationGrad(pub Activation);

params! {
    /// Elements of the tensors.
    Params { len: u32 }
}

impl Tape {
    /// `max(x, 0)`.
    pub fn relu(&mut self, name: &str, input: TensorId) -> Result<TensorId> {
        self.activation(name, Activation::Relu, input)
    }

    /// `1 / (1 + exp(-x))`.
    pub fn sigmoid(&mut self, name: &str, input: TensorId) -> Result<TensorId> {
        self.activation(name, Activation::Sigmoid, input)
    }

    /// `tanh(x)`.
    pub fn tanh(&mut self, name: &str, input: TensorId) -> Result<TensorId> {
        self.activation(name, Activation::Tanh, input)
    }

    /// The function that `activation` says.
    pub fn activation(&mut self, name: &str, activation: Activation, input: TensorId) -> Result<TensorId> {
        Ok(self.append(name, activation, &[input], &[])?[0])
    }
}

impl Activation {
    /// The kernel that applies the function's formulas as the file `main` says.
    fn kernel(self, name: &'static str, main: Source) -> Kernel {
        let files: &[Source] = match self {
            Activation::Relu => &[source!("relu.wgsl"), source!("lib/nan.wgsl")],
            Activation::Sigmoid => &[source!("sigmoid.wgsl"), source!("lib/nan.wgsl")],
            Activation::Tanh => &[source!("tanh.wgsl"), source!("lib/nan.wgsl")],
        };
        Kernel::new(name, files).with(&[main, source!("lib/index.wgsl")]).constant("WG", 64)
    }
}

impl Operation for Activation {
    fn name(&self) -> &'static str {
        match self {
            Activation::Relu => "relu",
            Activation::Sigmoid => "sigmoid",
            Activation::Tanh => "tanh",
        }
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
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
        let operands = [node.outputs[0], grad_output];
        Ok(vec![Some(tape.append(&node.name, ActivationGrad(*self), &operands, &[])?[0])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let kernel = self.kernel(self.name(), source!("activation.wgsl"));
        elementwise(lowering, kernel, &["input"])
    }
}

impl Operation for ActivationGrad {
    fn name(&self) -> &'static str {
        match self.0 {
            Activation::Relu => "relu_grad",
            Activation::Sigmoid => "sigmoid_grad",
            Activation::Tanh => "tanh_grad",
        }
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[2])?;
        Ok(vec![Spec::like(inputs[0])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let kernel = self.0.kernel(self.name(), source!("activation_grad.wgsl"));
        elementwise(lowering, kernel, &["output", "grad_output"])
    }
}

/// One invocation for four elements where their number allows it, else for one; the result is bound to `output`, or to
/// `grad_input` where `output` is read.
pub(super) fn elementwise(lowering: &mut Lowering<'_>, kernel: Kernel, inputs: &[&'static str]) -> Result<()> {
    let each = if lowering.output_len(0).is_multiple_of(4) { 4 } else { 1 };
    let len = lowering.output_len(0) / u64::from(each);
    let operands: Vec<_> = (0..inputs.len()).map(|i| lowering.input(i)).collect();
    let output = lowering.output(0);
    let params = Params { len: len as u32 };
    let kernel = kernel.elements(each);
    let dispatch = lowering.dispatch(kernel, bytes_of!(Params, &params), Extent::Invocations(len));
    for (name, operand) in inputs.iter().zip(operands) {
        dispatch.bind(name, operand);
    }
    let result = if inputs.contains(&"output") { "grad_input" } else { "output" };
    dispatch.bind(result, output);
    Ok(())
}

//! relu, sigmoid, tanh, leaky_relu, gelu and silu, elementwise. The gradient of the first three is a function of the output
//! alone, so that their input need not be kept; that of the others is one of the input.

use super::elementwise::{elementwise, elementwise_with, owned};
use super::lowering::{Kernel, Lowering, Source, bytes_of, params, source};
use super::{Misfit, Operation, arity};
use crate::error::Result;
use crate::graph::{Node, Spec, Tape, Tensor, TensorId};

/// Which function. Source: torch.nn.ReLU, Sigmoid, Tanh, LeakyReLU, GELU, SiLU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// max(x, 0); NaN stays NaN.
    Relu,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// (exp(x) - exp(-x)) / (exp(x) + exp(-x)).
    Tanh,
    /// x where x > 0, else negative_slope x.
    LeakyRelu {
        /// The slope below 0; [`Activation::LEAKY_RELU`] has PyTorch's default.
        negative_slope: f32,
    },
    /// x times the distribution function of the normal distribution.
    ///
    /// At infinity it is infinity, as in PyTorch's scalar form; PyTorch's vectorised form of [`Approximate::None`] in f32 gives
    /// NaN there. At minus infinity it is NaN, as is the gradient at both, in all of PyTorch's forms.
    Gelu(Approximate),
    /// x / (1 + exp(-x)).
    Silu,
}

/// How [`Activation::Gelu`] is computed. Source: torch.nn.GELU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Approximate {
    /// x (1 + erf(x / √2)) / 2.
    #[default]
    None,
    /// x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2.
    Tanh,
}

/// The gradient of an [`Activation`]: operands are its output, or its input where the output does not say enough, and
/// the gradient of its output.
#[derive(Clone, Copy, Debug)]
pub struct ActivationGrad(pub Activation);

/// An [`Activation`] in the memory of its input, which nobody else reads; the plan puts it in the other's place.
#[derive(Clone, Copy, Debug)]
pub struct ActivationInPlace(pub Activation);

params! {
    /// E of the header in the tensors, and the slope of leaky_relu below 0.
    LeakyParams { len: u32, negative_slope: f32 }
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

    /// `x` where it is above 0, else `negative_slope x`.
    pub fn leaky_relu(&mut self, name: &str, input: TensorId, negative_slope: f32) -> Result<TensorId> {
        self.activation(name, Activation::LeakyRelu { negative_slope }, input)
    }

    /// `x` times the distribution function of the normal distribution at `x`.
    pub fn gelu(&mut self, name: &str, input: TensorId, approximate: Approximate) -> Result<TensorId> {
        self.activation(name, Activation::Gelu(approximate), input)
    }

    /// `x / (1 + exp(-x))`.
    pub fn silu(&mut self, name: &str, input: TensorId) -> Result<TensorId> {
        self.activation(name, Activation::Silu, input)
    }

    /// The function that `activation` says.
    pub fn activation(&mut self, name: &str, activation: Activation, input: TensorId) -> Result<TensorId> {
        Ok(self.append(name, activation, &[input], &[])?[0])
    }
}

impl Activation {
    /// leaky_relu with PyTorch's default slope.
    pub const LEAKY_RELU: Self = Activation::LeakyRelu { negative_slope: 0.01 };

    /// Whether the gradient is a function of the output alone.
    pub(crate) fn gradient_reads_output(self) -> bool {
        matches!(self, Activation::Relu | Activation::Sigmoid | Activation::Tanh)
    }

    /// The function's formulas.
    fn source(self) -> Source {
        match self {
            Activation::Relu => source!("relu.wgsl"),
            Activation::Sigmoid => source!("sigmoid.wgsl"),
            Activation::Tanh => source!("tanh.wgsl"),
            Activation::LeakyRelu { .. } => source!("leaky_relu.wgsl"),
            Activation::Gelu(Approximate::None) => source!("gelu.wgsl"),
            Activation::Gelu(Approximate::Tanh) => source!("gelu_tanh.wgsl"),
            Activation::Silu => source!("silu.wgsl"),
        }
    }

    /// Applies the formulas to all elements as the file `main` says.
    fn dispatch(
        self,
        lowering: &mut Lowering<'_>,
        name: &'static str,
        main: Source,
        inputs: &[&'static str],
    ) -> Result<()> {
        let files = [self.source(), source!("lib/nan.wgsl"), main, source!("lib/index.wgsl")];
        let kernel = Kernel::new(name, &files).constant("WG", 64);
        match self {
            Activation::LeakyRelu { negative_slope } => {
                let params = |len| owned(bytes_of!(LeakyParams, &LeakyParams { len, negative_slope }));
                elementwise_with(lowering, kernel, inputs, &params)
            }
            _ => elementwise(lowering, kernel.with(&[source!("lib/len.wgsl")]), inputs),
        }
    }
}

impl Operation for Activation {
    fn name(&self) -> &'static str {
        match self {
            Activation::Relu => "relu",
            Activation::Sigmoid => "sigmoid",
            Activation::Tanh => "tanh",
            Activation::LeakyRelu { .. } => "leaky_relu",
            Activation::Gelu(_) => "gelu",
            Activation::Silu => "silu",
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
        let saved = if self.gradient_reads_output() { node.outputs[0] } else { node.inputs[0] };
        let operands = [saved, grad_output];
        Ok(vec![Some(tape.append(&node.name, ActivationGrad(*self), &operands, &[])?[0])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        self.dispatch(lowering, self.name(), source!("activation.wgsl"), &["input"])
    }
}

impl Operation for ActivationGrad {
    fn name(&self) -> &'static str {
        match self.0 {
            Activation::Relu => "relu_grad",
            Activation::Sigmoid => "sigmoid_grad",
            Activation::Tanh => "tanh_grad",
            Activation::LeakyRelu { .. } => "leaky_relu_grad",
            Activation::Gelu(_) => "gelu_grad",
            Activation::Silu => "silu_grad",
        }
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[2])?;
        Ok(vec![Spec::like(inputs[0])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        self.0.dispatch(lowering, self.name(), source!("activation_grad.wgsl"), &["saved", "grad_output"])
    }
}

impl Operation for ActivationInPlace {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        self.0.infer(inputs)
    }

    fn is_in_place(&self) -> bool {
        true
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        self.0.dispatch(lowering, self.name(), source!("activation_in_place.wgsl"), &[])
    }
}

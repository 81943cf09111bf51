//! Elementwise relu, sigmoid, tanh, leaky_relu, gelu and silu. The gradient of the first three is a function of the
//! output alone, so that their input need not be kept; the gradient of the others is a function of the input.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use crate::error::Result;
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Kernel, Lowering, Source, source};
use crate::ops::arity;
use crate::ops::elementwise::{elementwise, elementwise_with};
use crate::params;
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// The activation function. Source: torch.nn.ReLU, Sigmoid, Tanh, LeakyReLU, GELU, SiLU.
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
        /// Slope below 0; [`Activation::LEAKY_RELU`] has PyTorch's default.
        negative_slope: f32,
    },
    /// x times the cumulative distribution function of the normal distribution.
    ///
    /// At infinity it is infinity, as in PyTorch's scalar form; PyTorch's vectorised form of [`Approximate::None`] in
    /// f32 gives NaN there. At minus infinity it is NaN, as is the gradient at both, in all of PyTorch's forms.
    Gelu(Approximate),
    /// x / (1 + exp(-x)).
    Silu,
}

/// Formula of [`Activation::Gelu`]. Source: torch.nn.GELU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Approximate {
    /// x (1 + erf(x / √2)) / 2.
    #[default]
    None,
    /// x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2.
    Tanh,
}

/// The gradient of an [`Activation`]: operands are its output, or its input if the output does not determine the
/// gradient, and the gradient of its output.
#[derive(Clone, Copy, Debug)]
pub struct ActivationGrad(pub Activation);

params! {
    /// Number of E of the header in the tensors, and the slope of leaky_relu below 0.
    pub(crate) struct LeakyParams { len: u32, negative_slope: f32 }
}

impl Tape {
    /// Appends `max(x, 0)`.
    pub fn relu(&mut self, name: &str, input: TensorId) -> Result<TensorId> {
        self.activation(name, Activation::Relu, input)
    }

    /// Appends `1 / (1 + exp(-x))`.
    pub fn sigmoid(&mut self, name: &str, input: TensorId) -> Result<TensorId> {
        self.activation(name, Activation::Sigmoid, input)
    }

    /// Appends `tanh(x)`.
    pub fn tanh(&mut self, name: &str, input: TensorId) -> Result<TensorId> {
        self.activation(name, Activation::Tanh, input)
    }

    /// Appends `x` where it is above 0, else `negative_slope x`.
    pub fn leaky_relu(&mut self, name: &str, input: TensorId, negative_slope: f32) -> Result<TensorId> {
        self.activation(name, Activation::LeakyRelu { negative_slope }, input)
    }

    /// Appends `x` times the cumulative distribution function of the normal distribution at `x`.
    pub fn gelu(&mut self, name: &str, input: TensorId, approximate: Approximate) -> Result<TensorId> {
        self.activation(name, Activation::Gelu(approximate), input)
    }

    /// Appends `x / (1 + exp(-x))`.
    pub fn silu(&mut self, name: &str, input: TensorId) -> Result<TensorId> {
        self.activation(name, Activation::Silu, input)
    }

    /// Appends the function `activation`.
    pub fn activation(&mut self, name: &str, activation: Activation, input: TensorId) -> Result<TensorId> {
        Ok(self.append(name, activation, &[input], &[])?[0])
    }
}

impl Activation {
    /// leaky_relu with PyTorch's default slope.
    pub const LEAKY_RELU: Self = Activation::LeakyRelu { negative_slope: 0.01 };

    /// True if the gradient is a function of the output alone.
    pub(crate) fn gradient_reads_output(self) -> bool {
        matches!(self, Activation::Relu | Activation::Sigmoid | Activation::Tanh)
    }

    /// The file with the function's formulas.
    fn source(self) -> Source {
        match self {
            Activation::Relu => source!("elementwise/relu.wgsl"),
            Activation::Sigmoid => source!("elementwise/sigmoid.wgsl"),
            Activation::Tanh => source!("elementwise/tanh.wgsl"),
            Activation::LeakyRelu { .. } => source!("elementwise/leaky_relu.wgsl"),
            Activation::Gelu(Approximate::None) => source!("elementwise/gelu.wgsl"),
            Activation::Gelu(Approximate::Tanh) => source!("elementwise/gelu_tanh.wgsl"),
            Activation::Silu => source!("elementwise/silu.wgsl"),
        }
    }

    /// Applies the formulas to all elements, as in the file `main`.
    pub(crate) fn dispatch(
        self,
        lowering: &mut Lowering<'_>,
        name: &'static str,
        main: Source,
        inputs: &[&'static str],
    ) -> Result<()> {
        let files = [self.source(), source!("lib/nan.wgsl"), main, source!("lib/each.wgsl")];
        let kernel = Kernel::new(name, &files).constant("WG", 64);
        match self {
            Activation::LeakyRelu { negative_slope } => {
                let params = |len| LeakyParams { len, negative_slope };
                elementwise_with(lowering, kernel, inputs, &params)
            }
            _ => elementwise(lowering, kernel, inputs),
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

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], _needs: &[bool]) -> Result<Vec<Grad>> {
        let Some(grad_output) = grad_outputs[0] else { return Ok(vec![None]) };
        let saved = if self.gradient_reads_output() { node.outputs[0] } else { node.inputs[0] };
        let operands = [saved, grad_output];
        Ok(vec![Some(tape.append(&node.name, ActivationGrad(*self), &operands, &[])?[0])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        self.dispatch(lowering, self.name(), source!("elementwise/activation.wgsl"), &["input"])
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
        self.0.dispatch(lowering, self.name(), source!("elementwise/activation_grad.wgsl"), &["saved", "grad_output"])
    }
}

/// x (1 + erf(x/√2)) / 2 or its approximation by tanh, and the derivative by x.
fn gelu<R: Real>(x: R, approximate: Approximate) -> (R, R) {
    let (half, one) = (R::of(0.5), R::of(1.0));
    let (share, slope) = match approximate {
        Approximate::None => {
            let share = half * (one + (x * R::of(FRAC_1_SQRT_2)).erf());
            (share, (-half * x * x).exp() * half * R::of(FRAC_2_SQRT_PI * FRAC_1_SQRT_2))
        }
        Approximate::Tanh => {
            let (root, cubic) = (R::of(FRAC_2_SQRT_PI * FRAC_1_SQRT_2), R::of(0.044715));
            let tanh = (root * (x + cubic * x * x * x)).tanh();
            let inner = root * (one + R::of(3.0) * cubic * x * x);
            (half * (one + tanh), half * (one - tanh * tanh) * inner)
        }
    };
    (x * share, share + x * slope)
}

/// x / (1 + exp(-x)), and its derivative by x.
fn silu<R: Real>(x: R) -> (R, R) {
    let one = R::of(1.0);
    let share = one / (one + (-x).exp());
    (x * share, share * (one + x * (one - share)))
}

impl Twin for Activation {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (zero, one) = (R::default(), R::of(1.0));
        for (y, &x) in outputs.real(0).iter_mut().zip(inputs.real(0)) {
            *y = match self {
                // Written so that NaN, for which every comparison is false, is kept.
                Activation::Relu => {
                    if x <= zero {
                        zero
                    } else {
                        x
                    }
                }
                Activation::Sigmoid => one / (one + (-x).exp()),
                Activation::Tanh => x.tanh(),
                Activation::LeakyRelu { negative_slope } => {
                    if x > zero {
                        x
                    } else {
                        x * R::of(f64::from(*negative_slope))
                    }
                }
                Activation::Gelu(approximate) => gelu(x, *approximate).0,
                Activation::Silu => silu(x).0,
            };
        }
    }
}

impl Twin for ActivationGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (zero, one) = (R::default(), R::of(1.0));
        let (saved, grad_output) = (inputs.real(0), inputs.real(1));
        let grad_input = outputs.real(0);
        // y is the output, or the input if the output does not determine the gradient.
        for ((dx, &y), &dy) in grad_input.iter_mut().zip(saved).zip(grad_output) {
            *dx = match self.0 {
                Activation::Relu => {
                    if y <= zero {
                        zero
                    } else {
                        dy
                    }
                }
                Activation::Sigmoid => dy * y * (one - y),
                Activation::Tanh => dy * (one - y * y),
                Activation::LeakyRelu { negative_slope } => {
                    if y > zero {
                        dy
                    } else {
                        dy * R::of(f64::from(negative_slope))
                    }
                }
                Activation::Gelu(approximate) => dy * gelu(y, approximate).1,
                Activation::Silu => dy * silu(y).1,
            };
        }
    }
}

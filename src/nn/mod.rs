//! Layers with PyTorch's defaults, and models built from them. A layer holds its configuration; parameters live in a
//! store.
//!
//! A [`Module`] appends nodes to a tape. One model therefore builds tapes for training, for evaluation and for any
//! batch size.

mod freeze;
mod layers;
pub mod models;
mod norm;
mod summary;

pub use freeze::Freeze;
pub use layers::*;
pub use norm::BatchNorm2d;
pub use summary::{Layer, Summary};

pub use crate::ops::activation::Activation::{self, Gelu, LeakyRelu, Relu, Sigmoid, Silu, Tanh};
pub use crate::ops::activation::Approximate;
pub use crate::ops::softmax_cross_entropy::Reduction;

use std::sync::Arc;

use crate::error::Result;
use crate::graph::Tape;
use crate::shape::ImageSize;
use crate::tensor::TensorId;

/// A part of a network.
///
/// A custom module calls other modules and the tape's operations, for example a block that adds its input to its
/// output:
/// ```
/// use tilegrad::graph::{Tape, TensorId};
/// use tilegrad::nn::{AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Flatten, Linear, Module, Relu, Sequential};
/// use tilegrad::shape::ImageSize;
///
/// struct Residual(usize);
///
/// impl Module for Residual {
///     fn forward(&self, tape: &mut Tape, input: TensorId) -> tilegrad::Result<TensorId> {
///         let x = Conv2d::new(self.0, self.0, 3).padding(1).bias(false).apply(tape, "conv", input)?;
///         let x = BatchNorm2d::new(self.0).apply(tape, "bn", x)?;
///         let sum = tape.add("add", x, input)?;
///         Relu.apply(tape, "relu", sum)
///     }
/// }
///
/// let model = Sequential::new()
///     .with("stem", Conv2d::new(3, 16, 3).padding(1))
///     .with("block1", Residual(16)) // parameters block1.conv.weight, block1.bn.weight, block1.bn.bias
///     .with("block2", Residual(16))
///     .with("pool", AdaptiveAvgPool2d([1, 1]))
///     .with("flatten", Flatten)
///     .with("fc", Linear::new(16, 10));
/// assert_eq!(model.summary(ImageSize::new(32, 32, 3))?.parameters, 448 + 2 * (2304 + 32) + 170);
/// # Ok::<(), tilegrad::Error>(())
/// ```
pub trait Module: Send + Sync {
    /// Appends the module's computation and declares its parameters, in the tape's current scope.
    fn forward(&self, tape: &mut Tape, input: TensorId) -> Result<TensorId>;

    /// Calls [`Module::forward`] in the scope `name`, which prefixes the parameters' names.
    fn apply(&self, tape: &mut Tape, name: &str, input: TensorId) -> Result<TensorId> {
        tape.scoped(name, |tape| self.forward(tape, input))
    }

    /// Summarises the layers for one image of `size`: windows, output shapes, parameters, multiply-adds, receptive
    /// fields.
    fn summary(&self, size: ImageSize) -> Result<Summary>
    where
        Self: Sized,
    {
        Summary::new(self, size)
    }
}

impl<M: Module + ?Sized> Module for Box<M> {
    fn forward(&self, tape: &mut Tape, input: TensorId) -> Result<TensorId> {
        (**self).forward(tape, input)
    }
}

impl<M: Module + ?Sized> Module for Arc<M> {
    fn forward(&self, tape: &mut Tape, input: TensorId) -> Result<TensorId> {
        (**self).forward(tape, input)
    }
}

impl Module for Activation {
    fn forward(&self, tape: &mut Tape, input: TensorId) -> Result<TensorId> {
        tape.activation("", *self, input)
    }
}

/// Modules in sequence, each under a name.
/// ```
/// use tilegrad::nn::{Conv2d, Flatten, Linear, Relu, Sequential};
///
/// let model = Sequential::new()
///     .with("conv", Conv2d::new(1, 8, 3).padding(1))
///     .with("relu", Relu)
///     .with("flatten", Flatten)
///     .with("fc", Linear::new(8 * 28 * 28, 10));
/// ```
#[derive(Default)]
pub struct Sequential {
    modules: Vec<(String, Box<dyn Module>)>,
}

impl Sequential {
    /// Creates an empty sequence.
    pub fn new() -> Self {
        Sequential::default()
    }

    /// Adds a module under `name`, which prefixes its parameters' names.
    pub fn with(mut self, name: impl Into<String>, module: impl Module + 'static) -> Self {
        self.modules.push((name.into(), Box::new(module)));
        self
    }

    /// Adds a module under its index, as torch.nn.Sequential names it.
    pub fn then(self, module: impl Module + 'static) -> Self {
        let number = self.modules.len().to_string();
        self.with(number, module)
    }
}

impl Module for Sequential {
    fn forward(&self, tape: &mut Tape, input: TensorId) -> Result<TensorId> {
        self.modules.iter().try_fold(input, |x, (name, module)| module.apply(tape, name, x))
    }
}

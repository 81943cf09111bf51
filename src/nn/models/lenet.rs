//! LeNet-5: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 1998.
//!
//! Two 5x5 convolutions, each with an activation and a 2x2 pooling, then three fully connected layers of 120, 84 and
//! one output per class. There are two forms: the usual modern one with ReLU and max pooling, and one with sigmoid,
//! average pooling and Xavier initialisation, as in "Dive into Deep Learning", chapter 7.6, which is close to the
//! paper.

use crate::error::Result;
use crate::graph::Tape;
use crate::nn::{AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, Module, Sequential, WeightInit};
use crate::ops::activation::Activation;
use crate::tensor::TensorId;

/// LeNet-5 for 28x28 images with one channel.
pub struct LeNet5(Sequential);

impl LeNet5 {
    /// Creates the form with ReLU, max pooling and PyTorch's initialisation: 61,706 parameters for ten classes.
    pub fn new(classes: usize) -> Self {
        let pool = || MaxPool2d::new(2);
        Self::build(classes, Activation::Relu, WeightInit::Kaiming, pool(), pool())
    }

    /// Creates the form with sigmoid, average pooling and Xavier initialisation.
    pub fn classic(classes: usize) -> Self {
        let pool = || AvgPool2d::new(2);
        Self::build(classes, Activation::Sigmoid, WeightInit::Xavier, pool(), pool())
    }

    fn build(
        classes: usize,
        activation: Activation,
        init: WeightInit,
        pool1: impl Module + 'static,
        pool2: impl Module + 'static,
    ) -> Self {
        LeNet5(
            Sequential::new()
                .with("conv1", Conv2d::new(1, 6, 5).padding(2).init(init)) // 28x28, 6 channels
                .with("act1", activation)
                .with("pool1", pool1) //                                      14x14
                .with("conv2", Conv2d::new(6, 16, 5).init(init)) //           10x10, 16 channels
                .with("act2", activation)
                .with("pool2", pool2) //                                      5x5
                .with("flatten", Flatten)
                .with("fc1", Linear::new(16 * 5 * 5, 120).init(init))
                .with("act3", activation)
                .with("fc2", Linear::new(120, 84).init(init))
                .with("act4", activation)
                .with("fc3", Linear::new(84, classes).init(init)),
        )
    }
}

impl Module for LeNet5 {
    fn forward(&self, tape: &mut Tape, input: TensorId) -> Result<TensorId> {
        self.0.forward(tape, input)
    }
}

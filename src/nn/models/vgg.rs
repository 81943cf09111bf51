//! VGG: Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition", arXiv 1409.1556.
//!
//! Stages of 3x3 convolutions with ReLU, each followed by a 2x2 max pooling, then three fully connected layers. Names,
//! layout and initialisation are torchvision's. In the CIFAR form one fully connected layer follows the last stage.

use crate::error::Result;
use crate::graph::Tape;
use crate::nn::{
    AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, Module, Sequential, WeightInit,
};
use crate::ops::activation::Activation::Relu;
use crate::tensor::TensorId;

/// VGG with 11, 13, 16 or 19 weighted layers.
#[derive(Clone, Debug)]
pub struct Vgg {
    /// Number of convolutions in each stage.
    stages: [usize; 5],
    classes: usize,
    batch_norm: bool,
    cifar: bool,
    width: usize,
    in_channels: usize,
}

impl Vgg {
    /// Configuration A: 132,863,336 parameters for 1000 classes.
    pub fn vgg11(classes: usize) -> Self {
        Self::new([1, 1, 2, 2, 2], classes)
    }

    /// Configuration B: 133,047,848 parameters for 1000 classes.
    pub fn vgg13(classes: usize) -> Self {
        Self::new([2, 2, 2, 2, 2], classes)
    }

    /// Configuration D: 138,357,544 parameters for 1000 classes.
    pub fn vgg16(classes: usize) -> Self {
        Self::new([2, 2, 3, 3, 3], classes)
    }

    /// Configuration E: 143,667,240 parameters for 1000 classes.
    pub fn vgg19(classes: usize) -> Self {
        Self::new([2, 2, 4, 4, 4], classes)
    }

    fn new(stages: [usize; 5], classes: usize) -> Self {
        Vgg { stages, classes, batch_norm: false, cifar: false, width: 64, in_channels: 3 }
    }

    /// Enables or disables a batch norm after each convolution, as in torchvision's `vgg11_bn`.
    pub fn batch_norm(mut self, batch_norm: bool) -> Self {
        self.batch_norm = batch_norm;
        self
    }

    /// Selects the form for 32x32 images: one fully connected layer, called `classifier`, follows the last stage.
    pub fn cifar(mut self) -> Self {
        self.cifar = true;
        self
    }

    /// Sets the channels of the first stage, 64 by default. The others have 2, 4, 8 and 8 times as many.
    pub fn width(mut self, width: usize) -> Self {
        self.width = width;
        self
    }

    /// Sets the channels of the images, 3 by default.
    pub fn in_channels(mut self, in_channels: usize) -> Self {
        self.in_channels = in_channels;
        self
    }

    fn features(&self) -> Sequential {
        let mut layers = Sequential::new();
        let mut channels = self.in_channels;
        for (&convolutions, times) in self.stages.iter().zip([1, 2, 4, 8, 8]) {
            for _ in 0..convolutions {
                let out = times * self.width;
                layers =
                    layers.then(Conv2d::new(channels, out, 3).padding(1).init(WeightInit::KaimingNormal).zero_bias());
                if self.batch_norm {
                    layers = layers.then(BatchNorm2d::new(out));
                }
                layers = layers.then(Relu);
                channels = out;
            }
            layers = layers.then(MaxPool2d::new(2));
        }
        layers
    }

    fn classifier(&self) -> Sequential {
        let linear = |from, to| Linear::new(from, to).init(WeightInit::Normal(0.01)).zero_bias();
        let hidden = 64 * self.width;
        Sequential::new()
            .then(linear(8 * self.width * 7 * 7, hidden))
            .then(Relu)
            .then(Dropout(0.5))
            .then(linear(hidden, hidden))
            .then(Relu)
            .then(Dropout(0.5))
            .then(linear(hidden, self.classes))
    }
}

impl Module for Vgg {
    fn forward(&self, tape: &mut Tape, input: TensorId) -> Result<TensorId> {
        let x = self.features().apply(tape, "features", input)?;
        if self.cifar {
            let x = Flatten.apply(tape, "flatten", x)?;
            let linear = Linear::new(8 * self.width, self.classes).init(WeightInit::Normal(0.01)).zero_bias();
            return linear.apply(tape, "classifier", x);
        }
        let x = AdaptiveAvgPool2d([7, 7]).apply(tape, "avgpool", x)?;
        let x = Flatten.apply(tape, "flatten", x)?;
        self.classifier().apply(tape, "classifier", x)
    }
}

//! ResNet: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", arXiv 1512.03385.
//!
//! A stem, then four stages of blocks. A block adds its input to its output, through a 1x1 convolution where the shapes
//! differ. Names, layout and initialisation are torchvision's (in a bottleneck the 3x3 convolution has the stride).

use crate::error::Result;
use crate::graph::Tape;
use crate::nn::{AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, Module, Relu, WeightInit};
use crate::tensor::TensorId;

/// The kind of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3 and 1x1 convolutions, the last with four times as many channels.
    Bottleneck,
}

/// ResNet with 18, 34, 50 or 101 weighted layers.
#[derive(Clone, Debug)]
pub struct ResNet {
    block: Block,
    /// Number of blocks in each stage.
    stages: [usize; 4],
    classes: usize,
    cifar: bool,
    width: usize,
    in_channels: usize,
}

impl ResNet {
    /// ResNet-18: 11,689,512 parameters for 1000 classes.
    pub fn resnet18(classes: usize) -> Self {
        Self::new(Block::Basic, [2, 2, 2, 2], classes)
    }

    /// ResNet-34: 21,797,672 parameters for 1000 classes.
    pub fn resnet34(classes: usize) -> Self {
        Self::new(Block::Basic, [3, 4, 6, 3], classes)
    }

    /// ResNet-50: 25,557,032 parameters for 1000 classes.
    pub fn resnet50(classes: usize) -> Self {
        Self::new(Block::Bottleneck, [3, 4, 6, 3], classes)
    }

    /// ResNet-101: 44,549,160 parameters for 1000 classes.
    pub fn resnet101(classes: usize) -> Self {
        Self::new(Block::Bottleneck, [3, 4, 23, 3], classes)
    }

    fn new(block: Block, stages: [usize; 4], classes: usize) -> Self {
        ResNet { block, stages, classes, cifar: false, width: 64, in_channels: 3 }
    }

    /// Selects the stem for 32x32 images: a 3x3 convolution with stride 1, and no pooling.
    pub fn cifar(mut self) -> Self {
        self.cifar = true;
        self
    }

    /// Sets the channels of the first stage, 64 by default. The others have 2, 4 and 8 times as many.
    pub fn width(mut self, width: usize) -> Self {
        self.width = width;
        self
    }

    /// Sets the channels of the images, 3 by default.
    pub fn in_channels(mut self, in_channels: usize) -> Self {
        self.in_channels = in_channels;
        self
    }

    fn stem(&self, tape: &mut Tape, x: TensorId) -> Result<TensorId> {
        let (kernel, stride) = if self.cifar { (3, 1) } else { (7, 2) };
        let x = conv(self.in_channels, self.width, kernel, stride).apply(tape, "conv1", x)?;
        let x = BatchNorm2d::new(self.width).apply(tape, "bn1", x)?;
        let x = Relu.apply(tape, "relu", x)?;
        if self.cifar {
            return Ok(x);
        }
        MaxPool2d::new(3).stride(2).padding(1).apply(tape, "maxpool", x)
    }
}

/// Creates a convolution without bias, since a batch norm follows, and with padding that keeps the extent.
fn conv(from: usize, to: usize, kernel: usize, stride: usize) -> Conv2d {
    Conv2d::new(from, to, kernel).stride(stride).padding(kernel / 2).bias(false).init(WeightInit::KaimingNormal)
}

impl Block {
    /// Number of output channels of a stage of this width.
    fn channels(self, width: usize) -> usize {
        if self == Block::Bottleneck { 4 * width } else { width }
    }

    /// The convolutions of the residual branch in order, with their input channels, output channels and strides.
    fn convolutions(self, from: usize, width: usize, stride: usize) -> Vec<Conv2d> {
        match self {
            Block::Basic => vec![conv(from, width, 3, stride), conv(width, width, 3, 1)],
            Block::Bottleneck => {
                vec![conv(from, width, 1, 1), conv(width, width, 3, stride), conv(width, 4 * width, 1, 1)]
            }
        }
    }

    fn forward(self, tape: &mut Tape, input: TensorId, [from, width, stride]: [usize; 3]) -> Result<TensorId> {
        let to = self.channels(width);
        let convolutions = self.convolutions(from, width, stride);
        let mut x = input;
        for (i, conv) in convolutions.iter().enumerate() {
            let last = i + 1 == convolutions.len();
            x = conv.apply(tape, &format!("conv{}", i + 1), x)?;
            x = BatchNorm2d::new(if last { to } else { width }).apply(tape, &format!("bn{}", i + 1), x)?;
            if !last {
                x = Relu.apply(tape, &format!("relu{}", i + 1), x)?;
            }
        }
        let shortcut = match from == to && stride == 1 {
            true => input,
            false => {
                let projected = conv(from, to, 1, stride).apply(tape, "downsample.0", input)?;
                BatchNorm2d::new(to).apply(tape, "downsample.1", projected)?
            }
        };
        let sum = tape.add("add", x, shortcut)?;
        Relu.apply(tape, "relu", sum)
    }
}

impl Module for ResNet {
    fn forward(&self, tape: &mut Tape, input: TensorId) -> Result<TensorId> {
        let mut x = self.stem(tape, input)?;
        let mut channels = self.width;
        for (stage, &blocks) in self.stages.iter().enumerate() {
            let width = self.width << stage;
            for block in 0..blocks {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let name = format!("layer{}.{block}", stage + 1);
                x = tape.scoped(&name, |tape| self.block.forward(tape, x, [channels, width, stride]))?;
                channels = self.block.channels(width);
            }
        }
        let x = AdaptiveAvgPool2d([1, 1]).apply(tape, "avgpool", x)?;
        let x = Flatten.apply(tape, "flatten", x)?;
        Linear::new(channels, self.classes).apply(tape, "fc", x)
    }
}

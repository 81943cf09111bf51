//! The training steps of tilegrad's benchmark in burn, on the GPU by wgpu or on the CPU by its flex backend.
//!
//!     cargo run --release -- wgpu lenet5 64 20      # backend, network, images of a step, steps
//!
//! A step is forward, cross-entropy, backward, and SGD with momentum 0.9 and weight decay 5e-4. The first one includes what
//! burn tunes and compiles.

#[path = "../../measure.rs"]
mod measure;

use std::process::ExitCode;

use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::{AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig, MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, SgdConfig};
use burn::prelude::*;
use burn::tensor::activation::relu;
use burn::tensor::{Distribution, TensorData};
use measure::Work;

fn conv(from: usize, to: usize, kernel: usize, stride: usize, padding: usize, bias: bool, device: &Device) -> Conv2d {
    Conv2dConfig::new([from, to], [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
        .with_bias(bias)
        .init(device)
}

fn pool(kernel: usize, stride: usize, padding: usize) -> MaxPool2d {
    MaxPool2dConfig::new([kernel, kernel])
        .with_strides([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
        .init()
}

/// What is trained, from images to one number a class.
trait Network {
    fn logits(&self, images: Tensor<4>) -> Tensor<2>;
}

#[derive(Module, Debug)]
struct LeNet5 {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
    pool: MaxPool2d,
}

impl LeNet5 {
    fn new(device: &Device) -> Self {
        LeNet5 {
            conv1: conv(1, 6, 5, 1, 2, true, device),
            conv2: conv(6, 16, 5, 1, 0, true, device),
            fc1: LinearConfig::new(400, 120).init(device),
            fc2: LinearConfig::new(120, 84).init(device),
            fc3: LinearConfig::new(84, 10).init(device),
            pool: pool(2, 2, 0),
        }
    }
}

impl Network for LeNet5 {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        let x = self.pool.forward(relu(self.conv1.forward(images)));
        let x = self.pool.forward(relu(self.conv2.forward(x)));
        let x = relu(self.fc1.forward(x.flatten::<2>(1, 3)));
        self.fc3.forward(relu(self.fc2.forward(x)))
    }
}

/// Output channels of VGG-11's convolutions.
const VGG11: [usize; 8] = [64, 128, 256, 256, 512, 512, 512, 512];
/// Which of them a pooling follows.
const POOLED: [bool; 8] = [true, true, false, true, false, true, false, true];

#[derive(Module, Debug)]
struct Vgg11 {
    convs: Vec<Conv2d>,
    head: Linear,
    pool: MaxPool2d,
}

impl Vgg11 {
    fn new(device: &Device) -> Self {
        let inputs = [3].into_iter().chain(VGG11);
        let convs = inputs.zip(VGG11).map(|(from, to)| conv(from, to, 3, 1, 1, true, device)).collect();
        Vgg11 { convs, head: LinearConfig::new(512, 10).init(device), pool: pool(2, 2, 0) }
    }
}

impl Network for Vgg11 {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        let mut x = images;
        for (conv, pooled) in self.convs.iter().zip(POOLED) {
            x = relu(conv.forward(x));
            if pooled {
                x = self.pool.forward(x);
            }
        }
        self.head.forward(x.flatten::<2>(1, 3))
    }
}

/// A convolution without bias and the batch norm behind it.
#[derive(Module, Debug)]
struct Normed {
    conv: Conv2d,
    norm: BatchNorm,
}

impl Normed {
    fn new(from: usize, to: usize, kernel: usize, stride: usize, device: &Device) -> Self {
        let conv = conv(from, to, kernel, stride, kernel / 2, false, device);
        Normed { conv, norm: BatchNormConfig::new(to).init(device) }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.norm.forward(self.conv.forward(x))
    }
}

/// Two convolutions of 3x3, or one of 3x3 between two of 1x1, and what is added to their result.
#[derive(Module, Debug)]
struct Block {
    layers: Vec<Normed>,
    shortcut: Option<Normed>,
}

impl Block {
    fn new(from: usize, width: usize, stride: usize, bottleneck: bool, device: &Device) -> Self {
        let to = if bottleneck { 4 * width } else { width };
        let layers = match bottleneck {
            true => vec![
                Normed::new(from, width, 1, 1, device),
                Normed::new(width, width, 3, stride, device),
                Normed::new(width, to, 1, 1, device),
            ],
            false => vec![Normed::new(from, width, 3, stride, device), Normed::new(width, width, 3, 1, device)],
        };
        let shortcut = (stride != 1 || from != to).then(|| Normed::new(from, to, 1, stride, device));
        Block { layers, shortcut }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut y = x.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            y = layer.forward(y);
            if i + 1 < self.layers.len() {
                y = relu(y);
            }
        }
        let x = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x),
            None => x,
        };
        relu(y + x)
    }
}

#[derive(Module, Debug)]
struct ResNet {
    stem: Normed,
    stem_pool: Option<MaxPool2d>,
    blocks: Vec<Block>,
    pool: AdaptiveAvgPool2d,
    head: Linear,
}

impl ResNet {
    /// `depths` are the blocks of each stage; `large` is the form for images of 224, with a bottleneck in each block.
    fn new(depths: [usize; 4], large: bool, classes: usize, device: &Device) -> Self {
        let stem = if large { Normed::new(3, 64, 7, 2, device) } else { Normed::new(3, 64, 3, 1, device) };
        let mut blocks = Vec::new();
        let mut channels = 64;
        for (stage, (depth, width)) in depths.into_iter().zip([64, 128, 256, 512]).enumerate() {
            for i in 0..depth {
                let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                blocks.push(Block::new(channels, width, stride, large, device));
                channels = if large { 4 * width } else { width };
            }
        }
        ResNet {
            stem,
            stem_pool: large.then(|| pool(3, 2, 1)),
            blocks,
            pool: AdaptiveAvgPool2dConfig::new([1, 1]).init(),
            head: LinearConfig::new(channels, classes).init(device),
        }
    }
}

impl Network for ResNet {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        let mut x = relu(self.stem.forward(images));
        if let Some(pool) = &self.stem_pool {
            x = pool.forward(x);
        }
        for block in &self.blocks {
            x = block.forward(x);
        }
        self.head.forward(self.pool.forward(x).flatten::<2>(1, 3))
    }
}

fn train<N: Network + Module>(
    engine: &str,
    work: &Work,
    network: N,
    [channels, side]: [usize; 2],
    device: &Device,
) -> Result<(), &'static str> {
    let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0);
    let decay = WeightDecayConfig::new(5e-4);
    let mut sgd = SgdConfig::new().with_momentum(Some(momentum)).with_weight_decay(Some(decay)).init();
    let images = Tensor::<4>::random([work.batch, channels, side, side], Distribution::Uniform(0.0, 1.0), device);
    let labels: Vec<i32> = (0..work.batch as i32).map(|i| i % 10).collect();
    let labels = Tensor::<1, Int>::from_data(TensorData::from(labels.as_slice()), device);
    let cross_entropy = CrossEntropyLossConfig::new().init(device);
    let mut network = Some(network);
    measure::steps(engine, work, || {
        let trained = network.take().ok_or("the network is gone")?;
        let loss = cross_entropy.forward(trained.logits(images.clone()), labels.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &trained);
        network = Some(sgd.step(0.01, trained, gradients));
        device.sync().map_err(|_| "the device failed")
    })
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let parsed = arguments.split_first().and_then(|(backend, rest)| Some((backend.as_str(), measure::work(rest)?)));
    let Some((backend @ ("wgpu" | "webgpu" | "flex"), work)) = parsed else {
        eprintln!("usage: burn-steps wgpu|webgpu|flex lenet5|vgg11|resnet18|resnet50_224 BATCH STEPS");
        return ExitCode::from(2);
    };
    let device = match backend {
        "wgpu" => Device::wgpu(DeviceKind::DefaultDevice),
        "webgpu" => Device::webgpu(DeviceKind::DefaultDevice),
        _ => Device::flex(),
    };
    let device = &device.autodiff();
    let engine = &format!("burn, {backend}");
    let result = match work.network.as_str() {
        "lenet5" => train(engine, &work, LeNet5::new(device), [1, 28], device),
        "vgg11" => train(engine, &work, Vgg11::new(device), [3, 32], device),
        "resnet18" => train(engine, &work, ResNet::new([2, 2, 2, 2], false, 10, device), [3, 32], device),
        "resnet50_224" => train(engine, &work, ResNet::new([3, 4, 6, 3], true, 1000, device), [3, 224], device),
        _ => Err("no network is called that; there are lenet5, vgg11, resnet18 and resnet50_224"),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

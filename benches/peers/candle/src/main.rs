//! The training steps of tilegrad's benchmark in candle, on the CPU.
//!
//!     cargo run --release -- lenet5 64 20      # network, images of a step, steps
//!
//! A step is forward, cross-entropy, backward, and SGD with momentum 0.9 and weight decay 5e-4, which is written here since
//! candle's has neither. ResNet-50 for images of 224 is missing: candle has no gradient of a pooling whose windows overlap.

#[path = "../../measure.rs"]
mod measure;

use std::process::ExitCode;

use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::{
    BatchNorm, Conv2d, Conv2dConfig, Linear, Module, ModuleT, VarBuilder, VarMap, batch_norm, conv2d, conv2d_no_bias,
    linear, loss,
};
use measure::Work;

const LR: f64 = 0.01;
const MOMENTUM: f64 = 0.9;
const WEIGHT_DECAY: f64 = 5e-4;

type Network = Box<dyn Fn(&Tensor) -> Result<Tensor>>;

fn window(stride: usize, padding: usize) -> Conv2dConfig {
    Conv2dConfig { stride, padding, ..Conv2dConfig::default() }
}

fn lenet5(vb: VarBuilder) -> Result<Network> {
    let conv1 = conv2d(1, 6, 5, window(1, 2), vb.pp("conv1"))?;
    let conv2 = conv2d(6, 16, 5, window(1, 0), vb.pp("conv2"))?;
    let fc1 = linear(400, 120, vb.pp("fc1"))?;
    let fc2 = linear(120, 84, vb.pp("fc2"))?;
    let fc3 = linear(84, 10, vb.pp("fc3"))?;
    Ok(Box::new(move |x| {
        let x = conv1.forward(x)?.relu()?.max_pool2d(2)?;
        let x = conv2.forward(&x)?.relu()?.max_pool2d(2)?;
        let x = fc1.forward(&x.flatten_from(1)?)?.relu()?;
        fc3.forward(&fc2.forward(&x)?.relu()?)
    }))
}

fn vgg11(vb: VarBuilder) -> Result<Network> {
    // Output channels, and whether a pooling follows.
    let stages =
        [(64, true), (128, true), (256, false), (256, true), (512, false), (512, true), (512, false), (512, true)];
    let mut channels = 3;
    let mut layers = Vec::new();
    for (i, (out, pooled)) in stages.into_iter().enumerate() {
        layers.push((conv2d(channels, out, 3, window(1, 1), vb.pp(format!("conv{i}")))?, pooled));
        channels = out;
    }
    let head = linear(512, 10, vb.pp("head"))?;
    Ok(Box::new(move |x| {
        let mut x = x.clone();
        for (conv, pooled) in &layers {
            x = conv.forward(&x)?.relu()?;
            if *pooled {
                x = x.max_pool2d(2)?;
            }
        }
        head.forward(&x.flatten_from(1)?)
    }))
}

/// A convolution without bias and the batch norm behind it.
struct Normed(Conv2d, BatchNorm);

impl Normed {
    fn new(from: usize, to: usize, kernel: usize, stride: usize, vb: VarBuilder) -> Result<Self> {
        let conv = conv2d_no_bias(from, to, kernel, window(stride, kernel / 2), vb.pp("conv"))?;
        Ok(Normed(conv, batch_norm(to, 1e-5, vb.pp("norm"))?))
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.1.forward_t(&self.0.forward(x)?, true)
    }
}

struct Block {
    first: Normed,
    second: Normed,
    shortcut: Option<Normed>,
}

impl Block {
    fn new(from: usize, to: usize, stride: usize, vb: VarBuilder) -> Result<Self> {
        let shortcut = match stride != 1 || from != to {
            true => Some(Normed::new(from, to, 1, stride, vb.pp("shortcut"))?),
            false => None,
        };
        let first = Normed::new(from, to, 3, stride, vb.pp("first"))?;
        Ok(Block { first, second: Normed::new(to, to, 3, 1, vb.pp("second"))?, shortcut })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.second.forward(&self.first.forward(x)?.relu()?)?;
        match &self.shortcut {
            Some(shortcut) => (y + shortcut.forward(x)?)?.relu(),
            None => (y + x)?.relu(),
        }
    }
}

fn resnet18(vb: VarBuilder) -> Result<Network> {
    let stem = Normed::new(3, 64, 3, 1, vb.pp("stem"))?;
    let mut blocks = Vec::new();
    let mut channels = 64;
    for (stage, out) in [64, 128, 256, 512].into_iter().enumerate() {
        let vb = vb.pp(format!("stage{stage}"));
        blocks.push(Block::new(channels, out, if stage == 0 { 1 } else { 2 }, vb.pp("0"))?);
        blocks.push(Block::new(out, out, 1, vb.pp("1"))?);
        channels = out;
    }
    let head: Linear = linear(512, 10, vb.pp("head"))?;
    Ok(Box::new(move |x| {
        let mut x = stem.forward(x)?.relu()?;
        for block in &blocks {
            x = block.forward(&x)?;
        }
        head.forward(&x.mean(D::Minus1)?.mean(D::Minus1)?)
    }))
}

/// buffer = momentum * buffer + gradient + decay * parameter; parameter -= lr * buffer. Source: torch.optim.SGD.
struct Sgd(Vec<(Var, Var)>);

impl Sgd {
    fn new(parameters: Vec<Var>) -> Result<Self> {
        let zeros = |parameter: Var| Ok((parameter.clone(), Var::from_tensor(&parameter.zeros_like()?)?));
        Ok(Sgd(parameters.into_iter().map(zeros).collect::<Result<_>>()?))
    }

    fn step(&self, loss: &Tensor) -> Result<()> {
        let gradients = loss.backward()?;
        for (parameter, buffer) in &self.0 {
            // Running statistics are among the variables and have no gradient.
            let Some(gradient) = gradients.get(parameter) else { continue };
            let gradient = (gradient.detach() + (parameter.as_detached_tensor() * WEIGHT_DECAY)?)?;
            buffer.set(&((buffer.as_detached_tensor() * MOMENTUM)? + gradient)?)?;
            parameter.set(&(parameter.as_detached_tensor() - (buffer.as_detached_tensor() * LR)?)?)?;
        }
        Ok(())
    }
}

fn run(work: &Work) -> Result<()> {
    let device = Device::Cpu;
    let variables = VarMap::new();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &device);
    let (network, channels, side) = match work.network.as_str() {
        "lenet5" => (lenet5(vb)?, 1, 28),
        "vgg11" => (vgg11(vb)?, 3, 32),
        "resnet18" => (resnet18(vb)?, 3, 32),
        name => candle_core::bail!("no network is called {name}; there are lenet5, vgg11 and resnet18"),
    };
    let sgd = Sgd::new(variables.all_vars())?;
    let images = Tensor::rand(0.0_f32, 1.0, (work.batch, channels, side, side), &device)?;
    let labels = Tensor::from_iter((0..work.batch as u32).map(|i| i % 10), &device)?;
    measure::steps("candle, CPU", work, || {
        let loss = loss::cross_entropy(&network(&images)?, &labels)?;
        sgd.step(&loss)
    })
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(work) = measure::work(&arguments) else {
        eprintln!("usage: candle-steps lenet5|vgg11|resnet18 BATCH STEPS");
        return ExitCode::from(2);
    };
    match run(&work) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // What follows the first line is a backtrace.
            eprintln!("error: {}", error.to_string().lines().next().unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

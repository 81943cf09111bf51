//! The networks that are measured, by name, and the tapes of their training steps.

use clap::ValueEnum;
use tilegrad::Result;
use tilegrad::graph::{Purpose, Spec, Stage, Tape};
use tilegrad::nn::Module;
use tilegrad::nn::models::{LeNet5, ResNet, Vgg};
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::optim::{Optimizer, Sgd};

/// A network with the size of its images; the ResNets and VGGs are those for CIFAR's but where a size is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Network {
    Lenet5,
    Vgg11,
    #[value(name = "vgg11_bn")]
    Vgg11Bn,
    Vgg16,
    #[value(name = "vgg16_224")]
    Vgg16Large,
    Resnet18,
    Resnet34,
    Resnet50,
    #[value(name = "resnet50_224")]
    Resnet50Large,
}

impl Network {
    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Network::Lenet5 => "lenet5",
            Network::Vgg11 => "vgg11",
            Network::Vgg11Bn => "vgg11_bn",
            Network::Vgg16 => "vgg16",
            Network::Vgg16Large => "vgg16_224",
            Network::Resnet18 => "resnet18",
            Network::Resnet34 => "resnet34",
            Network::Resnet50 => "resnet50",
            Network::Resnet50Large => "resnet50_224",
        }
    }

    /// The network, of that width.
    pub fn model(self, width: usize) -> Box<dyn Module> {
        match self {
            Network::Lenet5 => Box::new(LeNet5::new(10)),
            Network::Vgg11 => Box::new(Vgg::vgg11(10).cifar().width(width)),
            Network::Vgg11Bn => Box::new(Vgg::vgg11(10).batch_norm(true).cifar().width(width)),
            Network::Vgg16 => Box::new(Vgg::vgg16(10).cifar().width(width)),
            Network::Vgg16Large => Box::new(Vgg::vgg16(1000).width(width)),
            Network::Resnet18 => Box::new(ResNet::resnet18(10).cifar().width(width)),
            Network::Resnet34 => Box::new(ResNet::resnet34(10).cifar().width(width)),
            Network::Resnet50 => Box::new(ResNet::resnet50(10).cifar().width(width)),
            Network::Resnet50Large => Box::new(ResNet::resnet50(1000).width(width)),
        }
    }

    /// The batches that steps and profile take where the user names none.
    pub fn batches(self) -> Vec<usize> {
        match self {
            Network::Lenet5 => vec![64, 256],
            Network::Resnet50Large => vec![4],
            _ => vec![16, 128],
        }
    }

    /// A batch in PyTorch's order.
    pub fn shape(self, batch: usize) -> [usize; 4] {
        match self {
            Network::Lenet5 => [batch, 1, 28, 28],
            Network::Vgg16Large | Network::Resnet50Large => [batch, 3, 224, 224],
            _ => [batch, 3, 32, 32],
        }
    }

    /// A whole training step: forward, loss, backward, SGD with momentum and weight decay.
    pub fn training(self, batch: usize, width: usize) -> Result<Training> {
        let sgd = Sgd::new(0.01).momentum(0.9).weight_decay(5e-4);
        let mut tape = Tape::new(Purpose::Train);
        let input = tape.input("input", Spec::f32(self.shape(batch)))?;
        let target = tape.input("target", Spec::i32([batch]))?;
        let logits = self.model(width).forward(&mut tape, input)?;
        let loss = tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default())?;
        tape.accumulate("metrics", loss)?;
        sgd.minimize(&mut tape, loss.loss)?;
        let hyperparameters = sgd.hyperparameters(&tape, sgd.rates());
        Ok(Training { tape, hyperparameters })
    }
}

/// A training step before it is planned.
pub struct Training {
    pub tape: Tape,
    /// What the inputs of the optimizer hold.
    pub hyperparameters: Vec<(String, Vec<f32>)>,
}

impl Training {
    /// The multiply-adds of the whole step, as the direct kernels would do them.
    pub fn multiply_adds(&self) -> u64 {
        let tape = &self.tape;
        let of = |node: &tilegrad::graph::Node| {
            let inputs: Vec<_> = node.inputs.iter().map(|&id| tape.tensor(id)).collect();
            node.op.multiply_adds(&inputs)
        };
        // A convolution's gradient has as many as the convolution, whose name it bears.
        let forward: std::collections::HashMap<&str, u64> = tape
            .nodes()
            .iter()
            .filter(|node| node.stage == Stage::Forward)
            .map(|node| (node.name.as_str(), of(node)))
            .collect();
        let count = |node| match node {
            node if is_convolution_gradient(node) => forward.get(node.name.as_str()).copied().unwrap_or(0),
            node => of(node),
        };
        tape.nodes().iter().map(count).sum()
    }
}

fn is_convolution_gradient(node: &tilegrad::graph::Node) -> bool {
    node.op.name().starts_with("conv2d_grad")
}

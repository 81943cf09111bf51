//! Networks whose training tapes hold every pair of nodes that the plan's rewrite rules join.

use tilegrad::graph::{Purpose, Spec, Tape, TensorId};
use tilegrad::nn::models::{LeNet5, ResNet};
use tilegrad::nn::{Conv2d, Flatten, Linear, MaxPool2d, Module, Sequential};
use tilegrad::ops::activation::Activation::{Relu, Tanh};
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::optim::{Optimizer, Sgd};

/// Images of a step.
pub const BATCH: usize = 3;

/// The optimizer of the tapes.
pub fn sgd() -> Sgd {
    Sgd::new(0.05).momentum(0.9).weight_decay(5e-4)
}

/// Training tapes by name, with the shape of their images and the loss, which is kept: LeNet-5 (products with bias and relu,
/// pooling), ResNet-18 (batch norm, residual additions), and one whose activations no kernel before them can do.
pub fn networks() -> Vec<(&'static str, Tape, [usize; 4], TensorId)> {
    let lenet: (&str, Box<dyn Module>, [usize; 4]) = ("lenet5", Box::new(LeNet5::new(10)), [BATCH, 1, 28, 28]);
    let resnet = ("resnet18", Box::new(ResNet::resnet18(10).cifar().width(4)) as Box<dyn Module>, [BATCH, 3, 16, 16]);
    let late = Sequential::new()
        .with("conv", Conv2d::new(1, 4, 3))
        .with("pool", MaxPool2d::new(2))
        .with("relu", Relu)
        .with("flatten", Flatten)
        .with("fc1", Linear::new(36, 12))
        .with("tanh", Tanh)
        .with("fc2", Linear::new(12, 10));
    let late = ("late", Box::new(late) as Box<dyn Module>, [BATCH, 1, 8, 8]);
    [lenet, resnet, late]
        .into_iter()
        .map(|(name, model, shape)| {
            let mut tape = Tape::new(Purpose::Train);
            let input = tape.input("input", Spec::f32(shape)).unwrap();
            let target = tape.input("target", Spec::i32([BATCH])).unwrap();
            let logits = model.forward(&mut tape, input).unwrap();
            let loss =
                tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default()).unwrap();
            tape.keep(loss.loss);
            sgd().minimize(&mut tape, loss.loss).unwrap();
            (name, tape, shape, loss.loss)
        })
        .collect()
}

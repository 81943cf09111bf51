//! What a large network needs of a device's memory, as its plan says.

use tilegrad::graph::{Purpose, Spec, Tape};
use tilegrad::kernel::{Caps, Choices, DeviceClass};
use tilegrad::nn::Module;
use tilegrad::nn::models::ResNet;
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::optim::{Optimizer, Sgd};

use crate::zoo;

/// The training step of ResNet-18 on CIFAR-10's images, batch 128, as the paper's recipe has it.
#[test]
fn resnet18_on_cifar_with_a_batch_of_128_needs_at_most_1_1_gigabytes() {
    let mut tape = Tape::new(Purpose::Train);
    let input = tape.input("input", Spec::f32([128, 3, 32, 32])).unwrap();
    let target = tape.input("target", Spec::i32([128])).unwrap();
    let logits = ResNet::resnet18(10).cifar().forward(&mut tape, input).unwrap();
    let loss = tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default()).unwrap();
    tape.accumulate("train", loss).unwrap();
    Sgd::new(0.1).momentum(0.9).weight_decay(5e-4).minimize(&mut tape, loss.loss).unwrap();
    for class in [DeviceClass::Discrete, DeviceClass::Integrated, DeviceClass::Software] {
        let memory = zoo::plan(&tape, &Caps::webgpu(class), &Choices::default()).unwrap().memory();
        eprintln!("{class:?}: {memory}");
        assert!(memory.total() <= 1_100_000_000, "{class:?}: {memory}");
    }
}

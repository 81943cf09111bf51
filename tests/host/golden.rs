//! The golden values from PyTorch against the reference executor in f32, so that the twins mean what PyTorch means.

use std::sync::Arc;

use tilegrad::graph::{Role, Stage, Tape, Tensor, TensorId};
use tilegrad::nn::Module;
use tilegrad::nn::models::{LeNet5, ResNet, Vgg};
use tilegrad::reference::{HostStore, Program};
use tilegrad::twin::Value;

use crate::common::golden::{self, Machine, networks, norm, operations};

/// The reference executor.
#[derive(Default)]
pub struct Reference {
    program: Option<Program<f32>>,
    store: HostStore<f32>,
}

impl Reference {
    fn program(&mut self) -> &mut Program<f32> {
        self.program.as_mut().expect("a tape is loaded first")
    }

    fn kept(&self, name: &str) -> Vec<f32> {
        self.store.get(name).unwrap_or_else(|| panic!("nothing called {name} is kept")).real().to_vec()
    }
}

impl Machine for Reference {
    fn load(&mut self, tape: Tape, parameters: &[(String, Vec<f32>)]) {
        self.store = HostStore::new(&tape, 0);
        for (name, values) in parameters {
            assert!(self.store.contains(name), "the tape has no parameter {name}");
            self.store.set(name, Value::Real(values.clone()));
        }
        let mut program = Program::new(Arc::new(tape));
        // What a check does not write is zero, as the machine's contract has it.
        let inputs: Vec<Tensor> =
            program.tape().tensors().iter().filter(|tensor| tensor.role == Role::Input).cloned().collect();
        for tensor in inputs {
            program.write(&tensor.name, Value::zeros(tensor.dtype, tensor.shape.len())).unwrap();
        }
        self.program = Some(program);
    }

    fn write(&mut self, name: &str, value: Value<f32>) {
        self.program().write(name, value).unwrap();
    }

    fn run(&mut self, stages: &[Stage]) {
        self.program.as_mut().expect("a tape is loaded first").run(&mut self.store, stages).unwrap();
    }

    fn read(&mut self, id: TensorId) -> Vec<f32> {
        self.program().read(id).expect("it has been computed").real().to_vec()
    }

    fn replace(&mut self, gradient: TensorId, values: &[f32]) {
        self.program().set(gradient, Value::Real(values.to_vec()));
    }

    fn parameter(&mut self, name: &str) -> Vec<f32> {
        self.kept(name)
    }

    fn momentum(&mut self, name: &str) -> Vec<f32> {
        self.kept(&format!("{name}.momentum_buffer"))
    }

    fn state(&mut self, name: &str) -> Vec<f32> {
        self.kept(name)
    }

    fn buffer(&mut self, name: &str) -> Value<f32> {
        self.store.get(name).unwrap_or_else(|| panic!("there is no buffer {name}")).clone()
    }

    fn set_buffer(&mut self, name: &str, value: Value<f32>) {
        assert!(self.store.contains(name), "there is no buffer {name}");
        self.store.set(name, value);
    }
}

#[test]
fn conv2d_and_its_gradients() {
    golden::conv(&mut Reference::default());
}

#[test]
fn pooling_and_its_gradients() {
    golden::pool(&mut Reference::default());
}

#[test]
fn softmax_cross_entropy_and_its_gradient() {
    golden::cross_entropy(&mut Reference::default());
}

#[test]
fn arithmetic_activations_shapes_and_losses_with_their_gradients() {
    operations::operations(&mut Reference::default());
}

#[test]
fn sgd_steps() {
    golden::sgd(&mut Reference::default());
}

#[test]
fn ten_steps_of_lenet() {
    let model = LeNet5::new(10);
    golden::lenet(&mut Reference::default(), "relu", |tape, images| model.forward(tape, images).unwrap());
}

#[test]
fn ten_steps_of_lenet_as_it_was() {
    let model = LeNet5::classic(10);
    golden::lenet(&mut Reference::default(), "classic", |tape, images| model.forward(tape, images).unwrap());
}

#[test]
fn five_steps_of_resnet18() {
    networks::network(&mut Reference::default(), "resnet18", &ResNet::resnet18(10).cifar());
}

#[test]
fn five_steps_of_vgg11_with_batch_norm() {
    networks::network(&mut Reference::default(), "vgg11_bn", &Vgg::vgg11(10).batch_norm(true).cifar());
}

#[test]
fn norms_dropout_pooling_and_sums_with_their_gradients() {
    norm::norm_ops(&mut Reference::default());
}

#[test]
fn losses_of_infinite_and_huge_logits() {
    golden::extreme::extreme(&mut Reference::default());
}

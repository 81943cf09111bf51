//! The golden values from PyTorch against the device.

use std::collections::HashMap;
use std::sync::Arc;

use tilegrad::gpu::{Device, Session, SessionOptions, Store};
use tilegrad::graph::{Role, Stage, Tape, TensorId};
use tilegrad::kernel::{Choices, DeviceClass};
use tilegrad::nn::Module;
use tilegrad::nn::models::{LeNet5, ResNet, Vgg};
use tilegrad::plan::{ParameterLayout, Plan};
use tilegrad::twin::Value;

use crate::check::{device, write};
use crate::common::golden::{self, Machine, networks, norm, operations};

/// A session on the device.
pub struct OnDevice {
    device: Device,
    session: Option<Session>,
}

impl OnDevice {
    pub fn new(device: &Device) -> Self {
        OnDevice { device: device.clone(), session: None }
    }

    fn session(&self) -> &Session {
        self.session.as_ref().expect("a tape is loaded first")
    }
}

impl Machine for OnDevice {
    fn rounds_otherwise(&self) -> bool {
        self.device.caps().class != DeviceClass::Software
    }

    fn load(&mut self, tape: Tape, parameters: &[(String, Vec<f32>)]) {
        let layout = Arc::new(ParameterLayout::new(&tape, self.device.caps()).unwrap());
        let store = Arc::new(Store::new(&self.device, Arc::clone(&layout)).unwrap());
        for (name, values) in parameters {
            store.set_parameter(name, values).unwrap();
        }
        let plan = Plan::new(Arc::new(tape), layout, self.device.caps(), &Choices::default()).unwrap();
        let session = Session::new(&store, Arc::new(plan), SessionOptions::default()).unwrap();
        // An input that is never written is zero, as on the reference executor.
        let inputs: HashMap<String, Value<f32>> = session
            .plan()
            .placed()
            .map(|(id, _)| session.plan().tape.tensor(id))
            .filter(|tensor| tensor.role == Role::Input)
            .map(|tensor| (tensor.name.clone(), Value::zeros(tensor.dtype, tensor.shape.len())))
            .collect();
        for (name, zeros) in &inputs {
            write(&session, name, zeros).unwrap();
        }
        self.session = Some(session);
    }

    fn write(&mut self, name: &str, value: Value<f32>) {
        write(self.session(), name, &value).unwrap();
    }

    fn run(&mut self, stages: &[Stage]) {
        self.session.as_mut().expect("a tape is loaded first").run(stages).unwrap();
    }

    fn read(&mut self, id: TensorId) -> Vec<f32> {
        self.session().read_f32(id).unwrap()
    }

    fn replace(&mut self, gradient: TensorId, values: &[f32]) {
        let tape = &self.session().plan().tape;
        let Role::Gradient { of } = tape.tensor(gradient).role else { panic!("no gradient of a parameter") };
        self.session().store().set_gradient(&tape.tensor(of).name, values).unwrap();
    }

    fn parameter(&mut self, name: &str) -> Vec<f32> {
        self.session().store().parameter(name).unwrap()
    }

    fn momentum(&mut self, name: &str) -> Vec<f32> {
        self.session().store().optimizer_buffer(name, "momentum_buffer").unwrap()
    }

    fn state(&mut self, name: &str) -> Vec<f32> {
        self.session().store().state(name).unwrap()
    }

    fn buffer(&mut self, name: &str) -> Value<f32> {
        let tape = &self.session().plan().tape;
        let tensor = tape.tensors().iter().find(|t| t.name == name && matches!(t.role, Role::Buffer { .. }));
        let tensor = tensor.unwrap_or_else(|| panic!("there is no buffer {name}"));
        self.session().store().buffer_values(tensor).unwrap()
    }

    fn set_buffer(&mut self, name: &str, value: Value<f32>) {
        self.session().store().set_buffer(name, &value).unwrap();
    }
}

#[test]
fn conv2d_and_its_gradients() {
    let Some(device) = device() else { return };
    golden::conv(&mut OnDevice::new(device));
}

#[test]
fn pooling_and_its_gradients() {
    let Some(device) = device() else { return };
    golden::pool(&mut OnDevice::new(device));
}

#[test]
fn softmax_cross_entropy_and_its_gradient() {
    let Some(device) = device() else { return };
    golden::cross_entropy(&mut OnDevice::new(device));
}

#[test]
fn arithmetic_activations_shapes_and_losses_with_their_gradients() {
    let Some(device) = device() else { return };
    operations::operations(&mut OnDevice::new(device));
}

#[test]
fn sgd_steps() {
    let Some(device) = device() else { return };
    golden::sgd(&mut OnDevice::new(device));
}

#[test]
fn ten_steps_of_lenet() {
    let Some(device) = device() else { return };
    let model = LeNet5::new(10);
    golden::lenet(&mut OnDevice::new(device), "relu", |tape, images| model.forward(tape, images).unwrap());
}

#[test]
fn ten_steps_of_lenet_as_it_was() {
    let Some(device) = device() else { return };
    let model = LeNet5::classic(10);
    golden::lenet(&mut OnDevice::new(device), "classic", |tape, images| model.forward(tape, images).unwrap());
}

#[test]
fn five_steps_of_resnet18() {
    let Some(device) = device() else { return };
    networks::network(&mut OnDevice::new(device), "resnet18", &ResNet::resnet18(10).cifar());
}

#[test]
fn five_steps_of_vgg11_with_batch_norm() {
    let Some(device) = device() else { return };
    networks::network(&mut OnDevice::new(device), "vgg11_bn", &Vgg::vgg11(10).batch_norm(true).cifar());
}

#[test]
fn norms_dropout_pooling_and_sums_with_their_gradients() {
    let Some(device) = device() else { return };
    norm::norm_ops(&mut OnDevice::new(device));
}

#[test]
fn losses_of_infinite_and_huge_logits() {
    let Some(device) = device() else { return };
    golden::extreme::extreme(&mut OnDevice::new(device));
}

//! The golden values from PyTorch against the reference executor in f32, so that the twins mean what PyTorch means.

use std::sync::Arc;

use tilegrad::graph::{Stage, Tape, TensorId};
use tilegrad::ops::avg_pool2d::AvgPool2d;
use tilegrad::ops::conv2d::Conv2d;
use tilegrad::ops::max_pool2d::MaxPool2d;
use tilegrad::reference::{Program, Store, Value};
use tilegrad::rng::Init;
use tilegrad::shape::{Layout, Shape};

use crate::golden_files::{self, Machine};

/// The reference executor.
#[derive(Default)]
struct Reference {
    program: Option<Program<f32>>,
    store: Store<f32>,
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
        self.store = Store::new(&tape, 0);
        for (name, values) in parameters {
            assert!(self.store.contains(name), "the tape has no parameter {name}");
            self.store.set(name, Value::Real(values.clone()));
        }
        self.program = Some(Program::new(Arc::new(tape)));
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
}

#[test]
fn conv2d_and_its_gradients() {
    golden_files::conv(&mut Reference::default());
}

#[test]
fn pooling_and_its_gradients() {
    golden_files::pool(&mut Reference::default());
}

#[test]
fn softmax_cross_entropy_and_its_gradient() {
    golden_files::cross_entropy(&mut Reference::default());
}

#[test]
fn sgd_steps() {
    golden_files::sgd(&mut Reference::default());
}

/// A parameter with values of its own, declared under its full name.
fn parameter(tape: &mut Tape, name: &str, shape: impl Into<Shape>) -> TensorId {
    let shape = shape.into();
    let layout = if shape.rank() == 4 { Layout::Hwio } else { Layout::RowMajor };
    tape.parameter(name, shape, layout, Init::Constant(0.0)).unwrap()
}

/// LeNet from the tape's own methods: with relu and max pooling, or as it was in 1998, with sigmoid and average pooling.
fn lenet(tape: &mut Tape, images: TensorId, classic: bool) -> TensorId {
    let act = |tape: &mut Tape, x| if classic { tape.sigmoid("", x) } else { tape.relu("", x) };
    let pool = |tape: &mut Tape, x| match classic {
        true => tape.avg_pool2d("", x, AvgPool2d::new([2, 2])),
        false => tape.max_pool2d("", x, MaxPool2d::new([2, 2])),
    };
    let mut x = images;
    for (layer, shape, padding) in [("conv1", [6, 1, 5, 5], 2), ("conv2", [16, 6, 5, 5], 0)] {
        let weight = parameter(tape, &format!("{layer}.weight"), shape);
        let bias = parameter(tape, &format!("{layer}.bias"), [shape[0]]);
        let conv = Conv2d { padding: [padding; 4], ..Conv2d::default() };
        x = tape.conv2d(layer, x, weight, Some(bias), conv).unwrap();
        x = act(tape, x).unwrap();
        x = pool(tape, x).unwrap();
    }
    x = tape.flatten("flatten", x).unwrap();
    for (layer, shape) in [("fc1", [120, 400]), ("fc2", [84, 120]), ("fc3", [10, 84])] {
        let weight = parameter(tape, &format!("{layer}.weight"), shape);
        let bias = parameter(tape, &format!("{layer}.bias"), [shape[0]]);
        x = tape.linear(layer, x, weight, Some(bias)).unwrap();
        if layer != "fc3" {
            x = act(tape, x).unwrap();
        }
    }
    x
}

#[test]
fn ten_steps_of_lenet() {
    golden_files::lenet(&mut Reference::default(), "relu", |tape, images| lenet(tape, images, false));
}

#[test]
fn ten_steps_of_lenet_as_it_was() {
    golden_files::lenet(&mut Reference::default(), "classic", |tape, images| lenet(tape, images, true));
}

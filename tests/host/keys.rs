//! The keys of choices, which go to disk: their text is held here, so that files stay readable from one version to the next.

use tilegrad::graph::{Purpose, Spec, Tape};
use tilegrad::kernel::{Caps, Choices, DeviceClass};
use tilegrad::ops::avg_pool2d::AvgPool2dAttributes;
use tilegrad::ops::batch_norm2d::{BatchNorm2dAttributes, Running};
use tilegrad::ops::conv2d::Conv2dAttributes;
use tilegrad::ops::matmul::Matmul;
use tilegrad::ops::max_pool2d::MaxPool2dAttributes;
use tilegrad::optim::{Optimizer, Sgd};
use tilegrad::rng::Init;
use tilegrad::shape::{DType, Layout};

use crate::zoo;

/// A convolution with everything that has a choice after it, and a product of each form.
fn tape() -> Tape {
    let mut tape = Tape::new(Purpose::Train);
    let input = tape.input("input", Spec::f32([2, 4, 12, 12])).unwrap();
    let weight = tape.parameter("weight", [8, 4, 3, 3], Layout::Hwio, Init::Uniform(1.0)).unwrap();
    let conv = Conv2dAttributes { stride: [1, 2], padding: [1, 1, 2, 0], ..Conv2dAttributes::default() };
    let mut x = tape.conv2d("conv", input, weight, None, conv).unwrap();
    x = tape.relu("relu", x).unwrap();
    x = tape.max_pool2d("max", x, MaxPool2dAttributes { ceil_mode: true, ..MaxPool2dAttributes::new([2, 3]) }).unwrap();
    let narrow = tape.parameter("narrow", [8, 8, 1, 1], Layout::Hwio, Init::Uniform(1.0)).unwrap();
    x = tape.conv2d("second", x, narrow, None, Conv2dAttributes::default()).unwrap();
    let pool = AvgPool2dAttributes {
        kernel: [2, 1],
        stride: [2, 1],
        padding: [0; 2],
        ceil_mode: false,
        count_include_pad: true,
        divisor_override: Some(3),
    };
    x = tape.avg_pool2d("avg", x, pool).unwrap();
    x = tape.flatten("flatten", x).unwrap();
    let features = tape.shape(x).dims()[1];
    let rows = tape.parameter("rows", [5, features], Layout::RowMajor, Init::Uniform(1.0)).unwrap();
    x = tape.linear("linear", x, rows, None).unwrap();
    let turned = Matmul { transpose_a: true, transpose_b: false };
    x = tape.product("turned", turned, x, x, None).unwrap();
    let target = tape.input("target", Spec::i32([5])).unwrap();
    let loss = tape.softmax_cross_entropy("loss", x, target, None, Default::default()).unwrap().loss;
    Sgd::new(0.1).minimize(&mut tape, loss).unwrap();
    tape
}

#[test]
fn keys_are_what_files_have() {
    let plan = zoo::plan(&tape(), &Caps::webgpu(DeviceClass::Discrete), &Choices::default()).unwrap();
    let mut keys: Vec<&str> = plan.chosen.iter().map(|chosen| chosen.key.as_str()).collect();
    keys.sort_unstable();
    keys.dedup();
    let expected = include_str!("keys.txt").lines().collect::<Vec<_>>();
    assert_eq!(
        keys,
        expected,
        "the keys of choices have changed: files of choices need a new format then\n{}",
        keys.join("\n")
    );
}

/// A convolution that makes statistics for the batch norm after it is another node than one that does not.
#[test]
fn a_convolution_with_statistics_has_a_key_of_its_own() {
    let mut tape = Tape::new(Purpose::Train);
    let input = tape.input("input", Spec::f32([2, 4, 6, 6])).unwrap();
    let weight = tape.parameter("weight", [8, 4, 3, 3], Layout::Hwio, Init::Uniform(1.0)).unwrap();
    let x = tape.conv2d("conv", input, weight, None, Conv2dAttributes::default()).unwrap();
    let running = Running {
        mean: tape.buffer("mean", [8], DType::F32, 0.0).unwrap(),
        var: tape.buffer("var", [8], DType::F32, 1.0).unwrap(),
        batches: tape.buffer("batches", [1], DType::I32, 0.0).unwrap(),
    };
    let x =
        tape.batch_norm2d("norm", x, None, running, BatchNorm2dAttributes { eps: 1e-5, momentum: Some(0.1) }).unwrap();
    tape.keep(x);
    let plan = zoo::plan(&tape, &Caps::webgpu(DeviceClass::Discrete), &Choices::default()).unwrap();
    let expected = "conv2d stride=1,1 padding=0,0,0,0 dilation=1,1 groups=1 + statistics | [2,4,6,6] [8,4,3,3]";
    assert_eq!(plan.chosen[0].key.as_str(), expected);
}

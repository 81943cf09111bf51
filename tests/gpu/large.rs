//! Parameters larger than one binding: one layer, small networks under small limits, VGG-16 as it is.

use std::sync::Arc;

use tilegrad::data::{ImageSet, ResidentSource};
use tilegrad::gpu::{Device, DeviceOptions, Session, SessionOptions, Store};
use tilegrad::graph::{Purpose, Spec, Tape};
use tilegrad::kernel::{Caps, Choices};
use tilegrad::nn::models::Vgg;
use tilegrad::nn::{Conv2d, Flatten, Linear, MaxPool2d, Module, Sequential};
use tilegrad::ops::activation::Activation::Relu;
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::optim::{Optimizer, ParamGroup, Rates, Sgd};
use tilegrad::plan::{ParameterLayout, Plan};
use tilegrad::rng::Init;
use tilegrad::shape::{ImageSize, Layout};
use tilegrad::train::{GpuEngine, TrainOptions, Trainer};

use crate::check::device;
use crate::kernels::coarse;

/// VGG-16's first fully connected layer: 411 MB, where lavapipe's bindings end at 128 MiB.
#[test]
fn a_linear_of_25088_by_4096_runs_forward_backward_and_update() {
    let Some(device) = device() else { return };
    let (batch, inputs, outputs) = (3, 25_088, 4_096);
    let mut caps = device.caps().clone();
    // Where bindings are larger, cut as if they were not.
    caps.max_binding = caps.max_binding.min(128 << 20);
    let sgd = Sgd::new(0.5).momentum(0.9).weight_decay(0.1);
    let mut tape = Tape::new(Purpose::Train);
    let input = tape.input("input", Spec::f32([batch, inputs])).unwrap();
    let target = tape.input("target", Spec::i32([batch])).unwrap();
    let weight = tape.parameter("weight", [outputs, inputs], Layout::RowMajor, Init::Constant(0.0)).unwrap();
    let bias = tape.parameter("bias", [outputs], Layout::RowMajor, Init::Constant(0.0)).unwrap();
    let logits = tape.linear("fc", input, weight, Some(bias)).unwrap();
    let loss = tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default()).unwrap();
    let grads = tape.gradients_of(&[], &[]).unwrap();
    assert!(grads.is_empty());
    tape.keep(logits);
    // The gradient of the input is wanted too, so that all three products meet the pieces.
    let seed = tape.constant(1.0);
    let grad_input = tape.gradients_of(&[(loss.loss, seed)], &[input]).unwrap()[&input];
    tape.keep(grad_input);
    sgd.minimize(&mut tape, loss.loss).unwrap();

    let layout = Arc::new(ParameterLayout::new(&tape, &caps).unwrap());
    assert!(layout.pieces(0).len() >= 4, "{:?}", layout.pieces(0));
    let store = Arc::new(Store::new(device, Arc::clone(&layout)).unwrap());
    let plan = Plan::new(Arc::new(tape), layout, &caps, &Choices::default()).unwrap();
    let mut session = Session::new(&store, Arc::new(plan), SessionOptions::default()).unwrap();

    // A weight of small integers over 64, so that a sum is nearly exact and a wrong row or piece cannot hide.
    let at = |row: usize, column: usize| ((row * 7 + column * 13) % 31) as f32 / 64.0 - 0.25;
    let values: Vec<f32> = (0..outputs * inputs).map(|i| at(i / inputs, i % inputs)).collect();
    let x: Vec<f32> = coarse(1, "input", batch * inputs);
    let labels = [5, 2_000, 4_095];
    store.set_parameter("weight", &values).unwrap();
    store.set_parameter("bias", &coarse(1, "bias", outputs)).unwrap();
    session.write("input", &x).unwrap();
    session.write("target", &labels).unwrap();
    for (name, hyper) in sgd.hyperparameters(&session.plan().tape, Rates { lr: 0.5, momentum: 0.9 }) {
        session.write(&name, &hyper).unwrap();
    }
    session.step().unwrap();

    let bias = coarse(1, "bias", outputs);
    let actual = session.read_f32(logits).unwrap();
    let exact: Vec<f64> = (0..batch * outputs)
        .map(|i| {
            let (n, row) = (i / outputs, i % outputs);
            let product = |k: usize| f64::from(x[n * inputs + k]) * f64::from(values[row * inputs + k]);
            (0..inputs).map(product).sum::<f64>() + f64::from(bias[row])
        })
        .collect();
    for (i, (a, b)) in actual.iter().zip(&exact).enumerate() {
        assert!((f64::from(*a) - b).abs() < 0.05, "logit {i}: {a} and {b}");
    }
    // From here on with the device's own logits, so that their roundings are not counted twice.
    let grad_logits: Vec<f64> = (0..batch)
        .flat_map(|n| {
            let row = &actual[n * outputs..][..outputs];
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = row.iter().map(|v| f64::from(v - largest).exp()).sum();
            let hit = labels[n] as usize;
            let grad = move |(c, v): (usize, &f32)| {
                let p = f64::from(v - largest).exp() / sum;
                (p - f64::from(u8::from(c == hit))) / batch as f64
            };
            row.iter().enumerate().map(grad).collect::<Vec<_>>()
        })
        .collect();
    let back = session.read_f32(grad_input).unwrap();
    for (n, k) in [(0, 0), (1, 12_345), (2, inputs - 1), (2, 64)] {
        let exact: f64 = (0..outputs).map(|o| grad_logits[n * outputs + o] * f64::from(values[o * inputs + k])).sum();
        let actual = f64::from(back[n * inputs + k]);
        assert!((actual - exact).abs() < 1e-4, "grad_input[{n},{k}]: {actual} and {exact}");
    }
    let updated = store.parameter("weight").unwrap();
    // Rows on both sides of every cut, and the rows of the labels, whose gradient is large.
    let cut = (caps.max_binding as usize / (inputs * 4)) / 64 * 64;
    for row in [0, 5, cut - 1, cut, 2 * cut - 1, 2 * cut, 2_000, 3 * cut, outputs - 1] {
        for column in [0, 1, 9_999, inputs - 1] {
            let p = f64::from(values[row * inputs + column]);
            let grad: f64 =
                (0..batch).map(|n| grad_logits[n * outputs + row] * f64::from(x[n * inputs + column])).sum();
            let expected = p - 0.5 * (grad + 0.1 * p);
            let actual = f64::from(updated[row * inputs + column]);
            assert!((actual - expected).abs() < 1e-5, "weight[{row},{column}]: {actual} and {expected}");
        }
    }
}

/// Trains a small network for three steps under `caps`: in how many pieces its largest parameter lies, and by name
/// its last logits, parameters and momentum buffers.
fn three_steps(device: &Device, caps: &Caps, accumulated: bool) -> (usize, Vec<(String, Vec<f32>)>) {
    let (batch, classes) = (4, 10);
    // The weights of fc1 and fc2 have 1.6 MB and 1.4 MB; fc1's last piece of 64 rows has only one.
    let model = Sequential::new()
        .with("conv", Conv2d::new(3, 32, 3).padding(1))
        .with("relu0", Relu)
        .with("pool", MaxPool2d::new(2))
        .with("flatten", Flatten)
        .with("fc1", Linear::new(32 * 5 * 5, 513))
        .with("relu1", Relu)
        .with("fc2", Linear::new(513, 700))
        .with("relu2", Relu)
        .with("fc3", Linear::new(700, classes));
    let sgd = Sgd::new(0.05).momentum(0.9).weight_decay(0.01).clip_grad_norm(1.0);
    let sgd = sgd.group(ParamGroup::new(|name| name.ends_with(".bias")));
    let mut tape = Tape::new(Purpose::Train);
    let input = tape.input("input", Spec::f32([batch, 3, 10, 10])).unwrap();
    let target = tape.input("target", Spec::i32([batch])).unwrap();
    let logits = model.forward(&mut tape, input).unwrap();
    let loss = tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default()).unwrap();
    tape.keep(logits);
    if accumulated {
        sgd.minimize_accumulated(&mut tape, loss.loss).unwrap();
    } else {
        sgd.minimize(&mut tape, loss.loss).unwrap();
    }
    let layout = Arc::new(ParameterLayout::new(&tape, caps).unwrap());
    let store = Arc::new(Store::guarded(device, Arc::clone(&layout)).unwrap());
    store.initialise(&tape, 7).unwrap();
    let plan = Plan::new(Arc::new(tape), Arc::clone(&layout), caps, &Choices::default()).unwrap();
    let largest = plan.steps.iter().flat_map(|step| &step.bindings).map(|(_, span)| span.bytes).max().unwrap();
    assert!(largest <= caps.max_binding, "a binding of {largest} bytes, where {} are allowed", caps.max_binding);
    let mut session =
        Session::new(&store, Arc::new(plan), SessionOptions::default().checked(true).guarded(true)).unwrap();
    session.write("input", &coarse(7, "input", batch * 300)).unwrap();
    session.write("target", &[0, 3, 9, 5]).unwrap();
    for _step in 0..3 {
        for (name, hyper) in sgd.hyperparameters(&session.plan().tape, Rates { lr: 0.05, momentum: 0.9 }) {
            session.write(&name, &hyper).unwrap();
        }
        if accumulated {
            session.write(tilegrad::optim::ACCUMULATE, &[1.0, 1.0, 0.0, 0.0]).unwrap();
        }
        session.step().unwrap();
    }
    assert_eq!(session.breach().unwrap(), None);
    let mut values = vec![("logits".to_string(), session.read_f32(logits).unwrap())];
    for name in layout.names() {
        values.push((name.clone(), store.parameter(name).unwrap()));
        values.push((format!("{name}, its momentum buffer"), store.optimizer_buffer(name, "momentum_buffer").unwrap()));
    }
    (layout.placement("fc1.weight").unwrap().chunks.len(), values)
}

/// Small limits cut two weights and the flat buffers between other parameters. Steps are the same up to roundings: the
/// K dimension of a product is summed piece by piece.
#[test]
fn small_bindings_train_as_large_ones_do() {
    let Some(device) = device() else { return };
    for accumulated in [false, true] {
        let (whole, expected) = three_steps(device, device.caps(), accumulated);
        let caps = Caps { max_binding: 1 << 20, ..device.caps().clone() };
        let (cut, actual) = three_steps(device, &caps, accumulated);
        assert_eq!([whole, cut], [1, 2]);
        // As small as may be: 64 rows a piece.
        let caps = Caps { max_binding: 64 * 800 * 4, max_buffer: 64 * 800 * 4, ..device.caps().clone() };
        let (pieces, again) = three_steps(device, &caps, accumulated);
        assert_eq!(pieces, 9);
        for ((name, expected), (actual, again)) in expected.iter().zip(actual.iter().zip(&again)) {
            let largest = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
            assert!(largest > 0.0, "{name} is all 0, so that nothing can be seen of it");
            for (i, &e) in expected.iter().enumerate() {
                for a in [actual.1[i], again.1[i]] {
                    assert!((a - e).abs() <= 2e-5 * largest, "{name}[{i}]: {a}, not {e}");
                }
            }
        }
    }
}

/// Trains VGG-16 in its own form for two steps of one image within WebGPU's default limits, 128 MiB a binding and 256 MiB a
/// buffer, where `classifier.0.weight` of 411 MB lies in four pieces: the loss on the image must fall from step to step.
fn vgg16_trains(extent: usize, lr: f64) {
    if device().is_none() {
        return;
    }
    let device = Device::new(DeviceOptions::default().default_limits(true)).unwrap();
    assert_eq!([device.caps().max_binding, device.caps().max_buffer], [128 << 20, 256 << 20]);
    let pixels: Vec<u8> = (0..extent * extent * 3).map(|i| ((i * 7 + i / (3 * extent) * 13) % 251) as u8).collect();
    let image = |name| {
        let image = ImageSet::new(pixels.clone(), vec![417], ImageSize::new(extent, extent, 3), 1000).unwrap();
        ResidentSource::new(name, image)
    };
    let (mut train, mut validation) = (image("train"), image("validation"));
    let sgd = Sgd::new(lr).momentum(0.9).weight_decay(5e-4);
    let options = TrainOptions::default().epochs(2).batch_size(1).seed(3);
    let model = Vgg::vgg16(1000);
    let engine = GpuEngine::new(device);
    let mut trainer = Trainer::new(model, sgd, engine, options, &train).unwrap();
    let before = trainer.evaluate(&mut validation).unwrap().loss;
    let history = trainer.fit(&mut train, &mut validation).unwrap();
    let engine: &mut dyn std::any::Any = trainer.engine();
    let engine = engine.downcast_mut::<GpuEngine>().unwrap();
    assert_eq!(engine.store().unwrap().layout().placement("classifier.0.weight").unwrap().chunks.len(), 4);
    let memory = history.memory.unwrap();
    let seconds: Vec<f64> = history.epochs.iter().map(|epoch| 1.0 / epoch.images_per_second).collect();
    println!("steps of {seconds:.1?} s, {} bytes: {memory}", memory.total());
    // Drawn weights know nothing of 1000 classes; dropout makes the steps' own losses differ a little.
    assert!((before - 1000f64.ln()).abs() < 0.5, "{before}");
    assert!(history.losses.iter().all(|loss| (loss - before as f32).abs() < 1.0), "{:?}", history.losses);
    let [first, second] = [0, 1].map(|i| history.epochs[i].validation_loss);
    assert!(before > first && first > second && second > 0.0, "{before}, {first}, {second}");
}

/// All of its parameters, but convolutions over few pixels.
#[test]
fn vgg16_trains_within_default_limits() {
    vgg16_trains(32, 0.01);
}

#[test]
#[ignore = "its convolutions take a software adapter a minute or two; the test above has the same parameters"]
fn vgg16_trains_at_224_within_default_limits() {
    vgg16_trains(224, 0.01);
}

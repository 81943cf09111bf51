//! Clipping and accumulation of gradients on the device: PyTorch's numbers, and several batches equal to one large one.

use std::sync::Arc;

use tilegrad::data::{ResidentSource, synthetic};
use tilegrad::gpu::{Device, Session, SessionOptions, Store};
use tilegrad::graph::{Purpose, Spec, Stage, Tape};
use tilegrad::kernel::{Caps, Choices};
use tilegrad::nn::Module;
use tilegrad::nn::models::LeNet5;
use tilegrad::ops::clip_grad_norm::GRAD_NORM;
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::optim::{ACCUMULATE, Optimizer, ParamGroup, Rates, Sgd};
use tilegrad::plan::{ParameterLayout, Plan};
use tilegrad::train::{CpuEngine, Engine, GpuEngine, TrainOptions, Trainer};

use crate::check::device;
use crate::common::cases;
use crate::common::golden::clip;
use crate::golden::OnDevice;

#[test]
fn clipped_steps_are_pytorchs() {
    let Some(device) = device() else { return };
    clip::check(&mut OnDevice::new(device));
}

fn engines(device: &Device) -> [Box<dyn Engine>; 2] {
    [Box::new(GpuEngine::new(device.clone())), Box::new(CpuEngine::new())]
}

/// The loss of every batch and all parameters at the end, after training on `images` digits.
fn train(
    engine: &mut Box<dyn Engine>,
    sgd: Sgd,
    images: usize,
    options: TrainOptions,
) -> (Vec<f32>, Vec<(String, Vec<f32>)>) {
    let model = LeNet5::new(10);
    let mut train = ResidentSource::new("train", synthetic::digits(1, images));
    let mut test = ResidentSource::new("test", synthetic::digits(2, 8));
    let mut trainer =
        Trainer::new(model, sgd, std::mem::replace(engine, CpuEngine::new().into()), options, &train).unwrap();
    let losses = trainer.fit(&mut train, &mut test).unwrap().losses;
    let tape = trainer.tape().clone();
    let mut parameter = |name: String| (name.clone(), trainer.engine().parameter(&name).unwrap());
    let parameters = tape.parameters().into_iter().map(|id| parameter(tape.tensor(id).name.clone())).collect();
    *engine = trainer.into_engine();
    (losses, parameters)
}

/// An epoch of 300 images is four updates of 64 and one of 44: two batches of 16 and one of 12.
#[test]
fn four_batches_of_16_are_one_of_64() {
    let Some(device) = device() else { return };
    let options = |batch_size, accumulate| {
        TrainOptions::default().epochs(2).batch_size(batch_size).seed(1).report_every(10).accumulate(accumulate)
    };
    let biases = || ParamGroup::new(|name| name.ends_with("bias"));
    for sgd in [
        Sgd::new(0.05).momentum(0.9).weight_decay(5e-4).group(biases()),
        Sgd::new(0.05).momentum(0.9).nesterov(true).group(biases()).clip_grad_norm(0.1),
    ] {
        for mut engine in engines(device) {
            let (large, expected) = train(&mut engine, sgd.clone(), 300, options(64, 1));
            let (small, actual) = train(&mut engine, sgd.clone(), 300, options(16, 4));
            assert_eq!((large.len(), small.len()), (10, 38));
            let sizes = |epoch: usize| (0..19).map(move |i| (epoch * 19 + i, if i == 18 { 12.0 } else { 16.0 }));
            let batches: Vec<(usize, f64)> = (0..2).flat_map(sizes).collect();
            let updates = batches[..19].chunks(4).chain(batches[19..].chunks(4));
            for (step, (update, &large)) in updates.zip(&large).enumerate() {
                let images: f64 = update.iter().map(|(_, size)| size).sum();
                let mean = update.iter().map(|&(i, size)| f64::from(small[i]) * size).sum::<f64>() / images;
                let off = (mean - f64::from(large)).abs() / f64::from(large);
                assert!(off <= 1e-5, "{}: update {step}: {mean} and {large}", engine.name());
            }
            for ((name, actual), (_, expected)) in actual.iter().zip(&expected) {
                let norm = |numbers: &mut dyn Iterator<Item = f32>| {
                    numbers.map(|x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt()
                };
                let off =
                    norm(&mut actual.iter().zip(expected).map(|(a, b)| a - b)) / norm(&mut expected.iter().copied());
                assert!(off <= 1e-5, "{}: {name} is {off:e} off", engine.name());
            }
        }
    }
}

#[test]
fn the_norm_is_kept_and_both_engines_agree_on_it() {
    let Some(device) = device() else { return };
    let options = TrainOptions::default().batch_size(16);
    let [device, host] = engines(device).map(|mut engine| {
        train(&mut engine, Sgd::new(0.05).momentum(0.9).clip_grad_norm(0.1), 64, options);
        engine.state(GRAD_NORM).unwrap()
    });
    let [norm, factor] = device[..] else { panic!("{device:?}") };
    assert!((norm - host[0]).abs() <= 1e-4 * norm && (factor - host[1]).abs() <= 1e-4 * factor, "{device:?} {host:?}");
    assert!(norm > 0.1 && (factor - 0.1 / norm).abs() <= 1e-5, "{device:?}");
}

#[test]
fn clipped_and_accumulated_runs_repeat_to_the_bit() {
    let Some(device) = device() else { return };
    let options = TrainOptions::default().batch_size(10).accumulate(3);
    let run = || {
        let sgd = Sgd::new(0.05).momentum(0.9).clip_grad_norm(0.1);
        let (losses, parameters) = train(&mut GpuEngine::new(device.clone()).into(), sgd, 64, options);
        let bits = parameters.into_iter().flat_map(|(_, values)| values).map(f32::to_bits);
        (losses, bits.collect::<Vec<u32>>())
    };
    assert_eq!(run(), run());
}

/// One update of two accumulated batches of LeNet, whose parameters are cut for bindings of `max_binding` bytes.
fn cut(device: &Device, max_binding: u64) -> (usize, Vec<f32>, Vec<f32>, Vec<f32>) {
    let caps = Caps { max_binding, ..device.caps().clone() };
    let sgd = Sgd::new(1.0).momentum(0.9).clip_grad_norm(0.1);
    let mut tape = Tape::new(Purpose::Train);
    let input = tape.input("input", Spec::f32([4, 1, 28, 28])).unwrap();
    let target = tape.input("target", Spec::i32([4])).unwrap();
    let logits = LeNet5::new(10).forward(&mut tape, input).unwrap();
    let loss = tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default()).unwrap();
    sgd.minimize_accumulated(&mut tape, loss.loss).unwrap();
    let layout = Arc::new(ParameterLayout::new(&tape, &caps).unwrap());
    let store = Arc::new(Store::new(device, Arc::clone(&layout)).unwrap());
    store.initialise(&tape, 1).unwrap();
    let plan = Plan::new(Arc::new(tape), layout, &caps, &Choices::default()).unwrap();
    let mut session = Session::new(&store, Arc::new(plan), SessionOptions::default()).unwrap();
    for (name, values) in sgd.hyperparameters(&session.plan().tape, Rates { lr: 1.0, momentum: 0.9 }) {
        session.write(&name, &values).unwrap();
    }
    session.write("target", &[1, 2, 3, 4]).unwrap();
    for (batch, first) in [(1, 1.0), (2, 0.0)] {
        session.write("input", &cases::uniform(batch, "images", 4 * 784)).unwrap();
        session.write(ACCUMULATE, &[0.5, first, 0.0, 0.0]).unwrap();
        session.run(&[Stage::Forward, Stage::Backward]).unwrap();
    }
    session.run(&[Stage::Update]).unwrap();
    let pieces = store.layout().pieces(0).len();
    let [gradient, parameter] = [store.gradient("fc1.weight"), store.parameter("fc1.weight")].map(Result::unwrap);
    (pieces, store.state(GRAD_NORM).unwrap(), gradient, parameter)
}

#[test]
fn all_pieces_of_a_cut_parameter_count() {
    let Some(device) = device() else { return };
    let ((one, norm, gradient, parameter), (more, cut_norm, cut_gradient, cut_parameter)) =
        (cut(device, 128 << 20), cut(device, 110_000));
    assert!(one == 1 && more > 2, "{one} and {more} pieces");
    assert!(norm[0] > 0.1 && (norm[0] - cut_norm[0]).abs() <= 1e-6 * norm[0], "{norm:?} {cut_norm:?}");
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-6);
    assert!(near(&gradient, &cut_gradient) && near(&parameter, &cut_parameter));
}

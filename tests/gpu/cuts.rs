//! A step in parts: the same bits as in one submission, as many submissions as parts, and uploads that wait for nothing else.

use std::any::Any;
use std::sync::Arc;

use tilegrad::data::{DatasetSource, synthetic};
use tilegrad::gpu::{Device, DeviceOptions, Session, SessionOptions, Store};
use tilegrad::graph::{Purpose, Spec, Stage, Tape};
use tilegrad::kernel::{Caps, Choices, DeviceClass};
use tilegrad::nn::models::LeNet5;
use tilegrad::nn::{BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, Module, Sequential};
use tilegrad::ops::activation::Activation::Relu;
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::optim::{Optimizer, Rates, Sgd};
use tilegrad::plan::{DeviceRates, Forecast, ParameterLayout, Plan, Reason};
use tilegrad::train::{Engine, GpuEngine, TrainOptions, Trainer};

use crate::check::device;
use crate::common::cases;

const BATCH: usize = 16;

/// A device whose counters nobody else moves.
fn own_device() -> Option<Device> {
    device().map(|_| Device::new(DeviceOptions::default()).unwrap())
}

/// A training step of LeNet-5 in parts of at most so many milliseconds, and its optimizer.
fn session(device: &Device, bound: Option<f64>) -> (Session, Sgd) {
    let sgd = Sgd::new(0.05).momentum(0.9);
    let mut tape = Tape::new(Purpose::Train);
    let input = tape.input("input", Spec::f32([BATCH, 1, 28, 28])).unwrap();
    let target = tape.input("target", Spec::i32([BATCH])).unwrap();
    let logits = LeNet5::new(10).forward(&mut tape, input).unwrap();
    let loss = tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default()).unwrap();
    tape.accumulate("metrics", loss).unwrap();
    sgd.minimize(&mut tape, loss.loss).unwrap();
    let layout = Arc::new(ParameterLayout::new(&tape, device.caps()).unwrap());
    let store = Arc::new(Store::new(device, Arc::clone(&layout)).unwrap());
    store.initialise(&tape, 1).unwrap();
    let plan = Plan::new(Arc::new(tape), layout, device.caps(), &Choices::default()).unwrap();
    let plan = plan.cut(bound, DeviceRates::assumed(DeviceClass::Software));
    (Session::new(&store, Arc::new(plan), SessionOptions::default()).unwrap(), sgd)
}

/// One step on uploaded images.
fn step(session: &mut Session, sgd: &Sgd, number: u64) {
    for (name, values) in sgd.hyperparameters(&session.plan().tape, Rates { lr: 0.05, momentum: 0.9 }) {
        session.write(&name, &values).unwrap();
    }
    session.upload("input", &cases::uniform(number, "images", BATCH * 784)).unwrap();
    session.write("target", &(0..BATCH as i32).map(|i| i % 10).collect::<Vec<_>>()).unwrap();
    session.step().unwrap();
}

/// The bits of everything that training changes.
fn bits(session: &Session) -> Vec<u32> {
    let store = session.store();
    let names = store.layout().names().to_vec();
    let both = names
        .iter()
        .flat_map(|name| [store.parameter(name).unwrap(), store.optimizer_buffer(name, "momentum_buffer").unwrap()]);
    both.chain([store.state("metrics").unwrap()]).flatten().map(f32::to_bits).collect()
}

#[test]
fn a_step_in_parts_has_the_same_bits_and_a_submission_for_each() {
    let Some(device) = own_device() else { return };
    let (mut whole, sgd) = session(&device, None);
    assert_eq!((whole.plan().cuts(), whole.plan().parts().len()), (&[][..], 1));
    (0..5).for_each(|number| step(&mut whole, &sgd, number));
    let expected = bits(&whole);
    let dispatches = whole.plan().steps.len();
    for bound in [0.0, 1.0, 4.0, 1e9] {
        let (mut cut, _) = session(&device, Some(bound));
        let parts = cut.plan().parts();
        let before = device.counters();
        (0..5).for_each(|number| step(&mut cut, &sgd, number));
        let after = device.counters();
        assert_eq!(after.submissions - before.submissions, 5 * parts.len() as u64, "parts of {bound} ms");
        assert_eq!(after.waits, before.waits, "neither steps nor uploads wait for the whole device");
        assert!(bits(&cut) == expected, "parts of {bound} ms");

        // Parts follow one another without a gap, and their estimates add up.
        let mut next = 0;
        let mut sum = 0.0;
        for part in &parts {
            assert_eq!(part.dispatches.start, next);
            next = part.dispatches.end;
            let milliseconds = part.milliseconds.unwrap();
            assert!(milliseconds <= bound || part.dispatches.len() == 1, "{part:?} of at most {bound} ms");
            sum += milliseconds;
        }
        assert_eq!(next, dispatches);
        let one = session(&device, Some(1e9)).0.plan().parts()[0].milliseconds.unwrap();
        assert!((sum - one).abs() < 1e-9 * one, "{sum} and {one} ms");
        assert!(cut.plan().cuts().iter().all(|place| place.reason == Reason::BoundedWork));
        match bound {
            0.0 => assert_eq!(parts.len(), dispatches),
            1e9 => assert_eq!(parts.len(), 1),
            _ => assert!(parts.len() > 2 && parts.len() < dispatches, "{} parts of {bound} ms", parts.len()),
        }
        let text = cut.plan().to_string();
        let expected = if parts.len() > 1 { parts.len() } else { 0 };
        assert_eq!(text.matches("\npart ").count(), expected, "{text}");
        assert_eq!(text.matches("(cut to bound the work)").count(), parts.len() - 1, "{text}");
    }
}

#[test]
fn stages_in_parts_run_apart_and_a_dispatch_that_is_too_long_is_named() {
    let Some(device) = own_device() else { return };
    let (mut whole, sgd) = session(&device, None);
    let (mut cut, _) = session(&device, Some(1.0));
    for session in [&mut whole, &mut cut] {
        step(session, &sgd, 0);
        session.upload("input", &cases::uniform(7, "images", BATCH * 784)).unwrap();
        session.run(&[Stage::Gather, Stage::Forward, Stage::Backward]).unwrap();
        session.run(&[Stage::Update]).unwrap();
        // Nothing is in this stage, but what was uploaded goes on all the same.
        session.upload("input", &cases::uniform(8, "images", BATCH * 784)).unwrap();
        session.run(&[Stage::Gather]).unwrap();
        session.run(&[Stage::Forward, Stage::Backward, Stage::Update]).unwrap();
    }
    assert!(bits(&whole) == bits(&cut));
    assert!(whole.plan().too_long().is_none() && session(&device, Some(1e9)).0.plan().too_long().is_none());
    let (longest, milliseconds) = cut.plan().too_long().unwrap();
    assert!(milliseconds > 1.0 && longest.node.contains("conv"), "{} {milliseconds}", longest.node);
}

#[test]
fn a_run_in_parts_ends_in_the_same_weights_and_is_forecast_so() {
    let Some(device) = device() else { return };
    let run = |bound: Option<f64>| -> (Vec<u32>, Forecast, usize) {
        let mut train = DatasetSource::new("train", synthetic::digits(1, 150));
        let mut test = DatasetSource::new("test", synthetic::digits(2, 40));
        let (model, engine) = (LeNet5::new(10), GpuEngine::new(device.clone()).bound(bound));
        let options = TrainOptions::default().epochs(2).batch_size(32).seed(3);
        let mut trainer = Trainer::new(model, Sgd::new(0.05).momentum(0.9), engine, options, &train).unwrap();
        let forecast = trainer.forecast(&train).unwrap().unwrap();
        let history = trainer.fit(&mut train, &mut test).unwrap();
        let mut bits: Vec<u32> = history.losses.iter().map(|loss| loss.to_bits()).collect();
        let names: Vec<String> =
            trainer.tape().parameters().into_iter().map(|id| trainer.tape().tensor(id).name.clone()).collect();
        for name in names {
            bits.extend(trainer.engine().parameter(&name).unwrap().into_iter().map(f32::to_bits));
        }
        let profile = trainer.profile(&mut train, 2).unwrap().unwrap();
        (bits, forecast, profile.timings.len())
    };
    let (whole, forecast, timed) = run(None);
    assert_eq!(forecast.parts, 1);
    let step = forecast.milliseconds.unwrap();
    let (cut, forecast, timed_in_parts) = run(Some(step / 8.0));
    assert!(forecast.parts > 2 && forecast.to_string().contains("submitted in"), "{forecast}");
    assert!(whole == cut && timed == timed_in_parts);
}

/// Dispatches that begin together are the same dispatches: on any device, and where passes and parts meet.
#[test]
fn a_run_with_dispatches_side_by_side_ends_in_the_same_bits() {
    let Some(device) = device() else { return };
    let model = Arc::new(
        Sequential::new()
            .with("conv1", Conv2d::new(1, 16, 3).padding(1))
            .with("bn1", BatchNorm2d::new(16))
            .with("relu1", Relu)
            .with("conv2", Conv2d::new(16, 32, 3).padding(1))
            .with("relu2", Relu)
            .with("conv3", Conv2d::new(32, 32, 3).padding(1))
            .with("pool", MaxPool2d::new(4))
            .with("flatten", Flatten)
            .with("fc", Linear::new(32 * 7 * 7, 10)),
    );
    let run = |overlap: bool, bound: Option<f64>| -> (Vec<u32>, usize) {
        let mut train = DatasetSource::new("train", synthetic::digits(1, 64));
        let mut test = DatasetSource::new("test", synthetic::digits(2, 16));
        let engine = GpuEngine::new(device.clone()).bound(bound).overlap(overlap);
        let options = TrainOptions::default().epochs(2).batch_size(32).seed(3);
        let mut trainer =
            Trainer::new(Arc::clone(&model), Sgd::new(0.05).momentum(0.9), engine, options, &train).unwrap();
        let history = trainer.fit(&mut train, &mut test).unwrap();
        let mut bits: Vec<u32> = history.losses.iter().map(|loss| loss.to_bits()).collect();
        let names: Vec<String> =
            trainer.tape().parameters().into_iter().map(|id| trainer.tape().tensor(id).name.clone()).collect();
        for name in names {
            bits.extend(trainer.engine().parameter(&name).unwrap().into_iter().map(f32::to_bits));
        }
        let plan = trainer.tape().clone();
        let engine: &mut dyn Any = trainer.engine();
        let engine = engine.downcast_mut::<GpuEngine>().unwrap();
        let program = engine.compile(plan).unwrap();
        (bits, engine.session(program).passes())
    };
    let (expected, passes) = run(false, None);
    assert_eq!(passes, 1);
    let (bits, passes) = run(true, None);
    // How many there are depends on what is known of the device.
    let software = device.caps().class == DeviceClass::Software;
    assert!((passes > 1 || !software) && bits == expected, "{passes} passes");
    // Each dispatch alone, and parts in which some begin together; how many depends on what is known of the device.
    let (bits, alone) = run(true, Some(0.0));
    assert!(alone > passes && bits == expected, "{alone} passes");
    for bound in [1.0, 20.0, 200.0] {
        assert!(run(true, Some(bound)).0 == expected, "parts of {bound} ms");
    }
}

#[test]
fn devices_with_watchdogs_get_bounded_work_without_being_asked() {
    // Three convolutions of 9.7 10^9 multiply-adds: an integrated device of which nothing is known is given one at a time.
    let mut tape = Tape::new(Purpose::Evaluate);
    let mut last = tape.input("input", Spec::f32([16, 256, 32, 32])).unwrap();
    for name in ["conv1", "conv2", "conv3"] {
        last = Conv2d::new(256, 256, 3).padding(1).bias(false).apply(&mut tape, name, last).unwrap();
    }
    tape.keep(last);
    let tape = Arc::new(tape);
    let parts = |class: DeviceClass| {
        let caps = Caps::webgpu(class);
        let layout = Arc::new(ParameterLayout::new(&tape, &caps).unwrap());
        Plan::new(Arc::clone(&tape), layout, &caps, &Choices::default()).unwrap().parts()
    };
    let integrated = parts(DeviceClass::Integrated);
    assert_eq!(integrated.len(), 3, "{integrated:?}");
    assert!(
        integrated.iter().all(|part| part.milliseconds.is_some_and(|ms| ms > 250.0 && ms < 500.0)),
        "{integrated:?}"
    );
    assert_eq!(parts(DeviceClass::Discrete).len(), 1);
    assert_eq!(parts(DeviceClass::Software)[0].milliseconds, None);
}

//! Sessions: what a warmed-up step makes, stages that run apart, one store under several tapes, frozen parameters.

use std::sync::Arc;

use tilegrad::gpu::{Device, Session, SessionOptions, Store};
use tilegrad::graph::{Purpose, Spec, Stage, Tape, TensorId};
use tilegrad::kernel::Choices;
use tilegrad::nn::Module;
use tilegrad::nn::models::LeNet5;
use tilegrad::ops::metrics::Metrics;
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::optim::{Optimizer, ParamGroup, Rates, Sgd};
use tilegrad::plan::{ParameterLayout, Plan};

use crate::check::device;
use crate::common::cases;

/// The tape of LeNet-5 with its loss, and with its update where there is an optimizer.
fn tape(batch: usize, sgd: Option<&Sgd>, prepare: impl FnOnce(&mut Tape)) -> (Tape, TensorId) {
    let mut tape = Tape::new(if sgd.is_some() { Purpose::Train } else { Purpose::Evaluate });
    let input = tape.input("input", Spec::f32([batch, 1, 28, 28])).unwrap();
    let target = tape.input("target", Spec::i32([batch])).unwrap();
    let logits = LeNet5::new(10).forward(&mut tape, input).unwrap();
    let loss = tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default()).unwrap();
    tape.accumulate("metrics", loss).unwrap();
    tape.keep(loss.loss);
    prepare(&mut tape);
    if let Some(sgd) = sgd {
        sgd.minimize(&mut tape, loss.loss).unwrap();
    }
    (tape, loss.loss)
}

fn store_for(device: &Device, tape: &Tape) -> Arc<Store> {
    let layout = Arc::new(ParameterLayout::new(tape, device.caps()).unwrap());
    let store = Arc::new(Store::new(device, layout).unwrap());
    store.initialise(tape, 1).unwrap();
    store
}

fn session(store: &Arc<Store>, tape: Tape) -> Session {
    let caps = store.device().caps();
    let plan = Plan::new(Arc::new(tape), Arc::clone(store.layout()), caps, &Choices::default()).unwrap();
    Session::new(store, Arc::new(plan), SessionOptions::default()).unwrap()
}

fn write_batch(session: &Session, batch: usize) {
    session.write("input", &cases::uniform(3, "images", batch * 784)).unwrap();
    session.write("target", &(0..batch as i32).map(|i| i % 10).collect::<Vec<_>>()).unwrap();
}

fn write_hyper(session: &Session, sgd: &Sgd, lr: f64) {
    for (name, values) in sgd.hyperparameters(&session.plan().tape, Rates { lr, ..sgd.rates() }) {
        session.write(&name, &values).unwrap();
    }
}

#[test]
fn a_warmed_up_step_makes_nothing_and_lr_changes_without_rebuilding() {
    // A device of its own, since its counters are read.
    if device().is_none() {
        return;
    }
    let device = Device::new(Default::default()).unwrap();
    let sgd = Sgd::new(0.1).momentum(0.9);
    let (tape, loss) = tape(8, Some(&sgd), |_| {});
    let store = store_for(&device, &tape);
    let mut session = session(&store, tape);
    write_batch(&session, 8);
    let images = cases::uniform(4, "images", 8 * 784);
    let mut step = |lr: f64| {
        write_hyper(&session, &sgd, lr);
        session.upload("input", &images).unwrap();
        session.step().unwrap();
        session.read_f32(loss).unwrap()[0]
    };
    step(0.1);
    let warm = device.counters();
    let losses: Vec<f32> = (0..12).map(|i| step(0.1 / f64::from(i + 1))).collect();
    let after = device.counters();
    assert_eq!((warm.buffers, warm.bind_groups, warm.pipelines), (after.buffers, after.bind_groups, after.pipelines));
    assert!(after.submissions > warm.submissions);
    assert!(losses[11] < losses[0], "{losses:?}");

    let before = store.parameter("fc3.weight").unwrap();
    write_hyper(&session, &sgd, 0.0);
    session.step().unwrap();
    assert_eq!(store.parameter("fc3.weight").unwrap(), before, "with lr 0 nothing moves");
}

#[test]
fn gradients_can_be_read_and_replaced_between_backward_and_update() {
    let Some(device) = device() else { return };
    let sgd = Sgd::new(0.5);
    let (tape, _) = tape(4, Some(&sgd), |_| {});
    let store = store_for(device, &tape);
    let mut session = session(&store, tape);
    write_batch(&session, 4);
    write_hyper(&session, &sgd, 0.5);
    session.run(&[Stage::Gather, Stage::Forward, Stage::Backward]).unwrap();
    let before = store.parameter("fc3.bias").unwrap();
    let gradient = store.gradient("fc3.bias").unwrap();
    assert!(gradient.iter().any(|&g| g != 0.0));
    assert_eq!(store.parameter("fc3.bias").unwrap(), before, "the update has not run");
    let other: Vec<f32> = (0..10).map(|i| i as f32).collect();
    store.set_gradient("fc3.bias", &other).unwrap();
    session.run(&[Stage::Update]).unwrap();
    let expected: Vec<f32> = before.iter().zip(&other).map(|(p, g)| p - 0.5 * g).collect();
    assert_eq!(store.parameter("fc3.bias").unwrap(), expected);
}

#[test]
fn training_evaluation_and_a_smaller_batch_share_one_store() {
    let Some(device) = device() else { return };
    let sgd = Sgd::new(0.1).momentum(0.9);
    let (training, _) = tape(8, Some(&sgd), |_| {});
    let store = store_for(device, &training);
    let mut training = session(&store, training);
    let mut smaller = session(&store, tape(3, Some(&sgd), |_| {}).0);
    let (evaluation, loss) = tape(8, None, |_| {});
    let mut evaluation = session(&store, evaluation);
    write_batch(&training, 8);
    write_batch(&smaller, 3);
    write_batch(&evaluation, 8);
    let mut evaluate = || {
        evaluation.run(&[Stage::Gather, Stage::Forward]).unwrap();
        evaluation.read_f32(loss).unwrap()[0]
    };
    let first = evaluate();
    write_hyper(&training, &sgd, 0.1);
    training.step().unwrap();
    let second = evaluate();
    write_hyper(&smaller, &sgd, 0.1);
    smaller.step().unwrap();
    let third = evaluate();
    assert!(first != second && second != third, "{first} {second} {third}");
    let metrics = Metrics::from_state(&store.state("metrics").unwrap()).unwrap();
    assert_eq!((metrics.steps, metrics.count), (5, 3 * 8 + 8 + 3));
    assert_eq!(metrics.losses.len(), 5);
    store.clear_state("metrics").unwrap();
    assert!(store.state("metrics").unwrap().iter().all(|&x| x == 0.0));
}

#[test]
fn frozen_parameters_and_groups_move_as_they_should() {
    let Some(device) = device() else { return };
    let sgd = Sgd::new(0.1)
        .weight_decay(0.5)
        .group(ParamGroup::new(|name| name.ends_with(".bias")).lr_factor(0.0))
        .group(ParamGroup::new(|name| name.starts_with("fc1")).lr_factor(2.0).weight_decay(0.25));
    let (tape, _) = tape(4, Some(&sgd), |tape| {
        for id in tape.parameters() {
            if tape.tensor(id).name.starts_with("conv") {
                tape.freeze(id).unwrap();
            }
        }
    });
    let names: Vec<String> = tape.parameters().iter().map(|&id| tape.tensor(id).name.clone()).collect();
    let store = store_for(device, &tape);
    let mut session = session(&store, tape);
    write_batch(&session, 4);
    write_hyper(&session, &sgd, 0.1);
    let before: Vec<Vec<f32>> = names.iter().map(|name| store.parameter(name).unwrap()).collect();
    session.step().unwrap();
    for (name, before) in names.iter().zip(before) {
        let after = store.parameter(name).unwrap();
        let (lr, decay) = match name.as_str() {
            name if name.starts_with("conv") || name.ends_with(".bias") => {
                assert_eq!(before, after, "{name} must not move");
                continue;
            }
            "fc1.weight" => (0.2, 0.25),
            _ => (0.1, 0.5),
        };
        let gradient = store.gradient(name).unwrap();
        for ((p, q), g) in before.iter().zip(&after).zip(&gradient) {
            let expected = p - lr * (g + decay * p);
            assert!((q - expected).abs() < 1e-6, "{name}: {q} and {expected}");
        }
    }
}

#[test]
fn added_parameters_get_a_gradient_each() {
    let Some(device) = device() else { return };
    use tilegrad::rng::Init::Constant;
    use tilegrad::shape::Layout::RowMajor;
    let mut tape = Tape::new(Purpose::Train);
    let x = tape.input("x", Spec::f32([1, 3])).unwrap();
    let a = tape.parameter("a", [2, 3], RowMajor, Constant(0.5)).unwrap();
    let b = tape.parameter("b", [2, 3], RowMajor, Constant(0.25)).unwrap();
    let shift = tape.parameter("shift", [1, 2], RowMajor, Constant(0.0)).unwrap();
    let weight = tape.add("weight", a, b).unwrap();
    let y = tape.linear("y", x, weight, None).unwrap();
    let y = tape.add("shifted", y, shift).unwrap();
    let target = tape.input("target", Spec::i32([1])).unwrap();
    let loss = tape.softmax_cross_entropy("loss", y, target, None, SoftmaxCrossEntropy::default()).unwrap();
    let sgd = Sgd::new(1.0);
    sgd.minimize(&mut tape, loss.loss).unwrap();
    let store = store_for(device, &tape);
    let mut session = session(&store, tape);
    session.write("x", &[1.0, 2.0, -4.0]).unwrap();
    session.write("target", &[0]).unwrap();
    write_hyper(&session, &sgd, 1.0);
    session.step().unwrap();
    // Both logits are equal, so the gradient of the logits is -1/2, 1/2.
    let expected = [-0.5, -1.0, 2.0, 0.5, 1.0, -2.0];
    for name in ["a", "b"] {
        assert_eq!(store.gradient(name).unwrap(), expected, "{name}");
    }
    assert_eq!(store.gradient("shift").unwrap(), [-0.5, 0.5]);
    assert_eq!(store.parameter("shift").unwrap(), [0.5, -0.5]);
}

#[test]
fn wrong_writes_and_reads_are_errors_that_name_the_thing() {
    let Some(device) = device() else { return };
    let (tape, _) = tape(2, None, |_| {});
    let store = store_for(device, &tape);
    let session = session(&store, tape);
    let text = |result: tilegrad::Result<()>| result.unwrap_err().to_string();
    assert!(text(session.write("input", &[0.0; 3])).contains("[2,1,28,28]"));
    assert!(text(session.write("input", &[0; 2 * 784])).contains("F32"));
    assert!(text(session.write("imput", &[0.0])).contains("imput"));
    assert!(text(store.set_parameter("fc3.bias", &[0.0; 9])).contains("[10]"));
    assert!(text(store.parameter("fc4.bias").map(|_| ())).contains("fc4.bias"));
}

//! What a loop of one's own over a session forgets or mixes up: one clear error each, as on the reference executor.

use std::sync::Arc;

use tilegrad::data::{Batch, BatchSource, ResidentSource, synthetic};
use tilegrad::gpu::{Device, Session, SessionOptions, Store};
use tilegrad::graph::{Purpose, RANDOM, Spec, Tape};
use tilegrad::kernel::Choices;
use tilegrad::nn::{Dropout, Flatten, Linear, Module, Reduction, Sequential};
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::optim::{Optimizer, Sgd};
use tilegrad::plan::{ParameterLayout, Plan};
use tilegrad::rng::draw;
use tilegrad::train::{CpuEngine, Engine, GpuEngine};
use tilegrad::twin::Value;

use crate::check::{Case, Tolerance, check_op, device};

/// A session over a step of a classifier with dropout, and its source.
fn session(device: &Device) -> (Session, ResidentSource) {
    let source = ResidentSource::new("set", synthetic::digits(1, 8));
    let mut tape = Tape::new(Purpose::Train);
    let (input, target) = source.declare(&mut tape, 4).unwrap();
    let model = Sequential::new().with("flatten", Flatten).with("drop", Dropout(0.5)).with("fc", Linear::new(784, 10));
    let logits = model.forward(&mut tape, input).unwrap();
    let loss = tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default()).unwrap();
    Sgd::new(0.1).momentum(0.9).minimize(&mut tape, loss.loss).unwrap();
    let layout = Arc::new(ParameterLayout::new(&tape, device.caps()).unwrap());
    let store = Arc::new(Store::new(device, Arc::clone(&layout)).unwrap());
    store.initialise(&tape, 1).unwrap();
    let plan = Plan::new(Arc::new(tape), layout, device.caps(), &Choices::default()).unwrap();
    (Session::new(&store, Arc::new(plan), SessionOptions::default()).unwrap(), source)
}

#[test]
fn an_input_that_nobody_has_written_ends_the_step_before_it_begins() {
    let Some(device) = device() else { return };
    let (mut session, mut source) = session(device);
    let before = session.store().parameter("fc.weight").unwrap();
    let indices = [0, 1, 2, 3];
    source.feed(&Batch::train(&indices, draw(1, 0)), &mut session).unwrap();
    let error = session.step().unwrap_err().to_string();
    assert!(error.starts_with("\"set.images\": the data set is not on the device"), "{error}");
    source.prepare(&mut session).unwrap();
    let error = session.step().unwrap_err().to_string();
    assert!(error.starts_with("\"random\": nobody has written") && error.contains("rng::draw(seed, step)"), "{error}");
    session.write(RANDOM, &draw(1, 0)).unwrap();
    let error = session.step().unwrap_err().to_string();
    assert!(error.starts_with("\"optimizer.0\": nobody") && error.contains("Optimizer::hyperparameters"), "{error}");
    assert_eq!(session.store().parameter("fc.weight").unwrap(), before, "nothing has run");
    session.write("optimizer.0", &[0.1, 0.9]).unwrap();
    session.step().unwrap();
    assert_ne!(session.store().parameter("fc.weight").unwrap(), before);
}

#[test]
fn batches_for_something_else_or_of_another_size_are_refused() {
    let Some(device) = device() else { return };
    let (mut session, mut source) = session(device);
    let error = source.feed(&Batch::evaluate(&[0, 1, 2, 3]), &mut session).unwrap_err().to_string();
    assert!(error.starts_with("batch: is for evaluation, the tape that it is fed to is for training"), "{error}");
    let error = source.feed(&Batch::train(&[0, 1, 2], draw(1, 0)), &mut session).unwrap_err().to_string();
    assert!(error.contains("a batch of 3: a tape is made for one batch size, 4 here"), "{error}");
}

#[test]
fn cross_entropy_of_pixels_is_the_twins() {
    let Some(device) = device() else { return };
    for dims in [[2, 4, 3, 5], [1, 1, 2, 2], [3, 7, 1, 4]] {
        let [n, c, h, w] = dims;
        let mut tape = Tape::new(Purpose::Train);
        let logits = tape.input("logits", Spec::f32(dims)).unwrap();
        let target = tape.input("target", Spec::i32([n, h, w])).unwrap();
        let seed = tape.input("seed", Spec::f32([1])).unwrap();
        let loss =
            tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default()).unwrap().loss;
        let gradient = tape.gradients_of(&[(loss, seed)], &[logits]).unwrap()[&logits];
        let len = dims.iter().product();
        check_op(
            device,
            Case {
                label: format!("cross-entropy of the pixels of {dims:?}"),
                tape,
                inputs: vec![
                    ("logits", Value::Real(crate::common::cases::uniform(1, "logits", len))),
                    ("target", Value::Int((0..n * h * w).map(|i| (i * 5 % c) as i32).collect())),
                    ("seed", Value::Real(vec![1.5])),
                ],
                outputs: vec![(loss, Tolerance::RootMeanSquare(1e-5)), (gradient, Tolerance::RootMeanSquare(1e-5))],
            },
        );
    }
}

#[test]
fn a_mean_is_accumulated_over_steps_of_different_sizes() {
    let Some(device) = device() else { return };
    let run = |engine: &mut dyn Engine| -> Vec<u32> {
        let tape = |rows: usize| {
            let mut tape = Tape::new(Purpose::Evaluate);
            let x = tape.input("x", Spec::f32([rows, 2])).unwrap();
            let y = tape.input("y", Spec::f32([rows, 2])).unwrap();
            let mean = tape.mse_loss("mse", x, y, Reduction::Mean).unwrap();
            tape.accumulate_mean("mean", mean, rows).unwrap();
            tape
        };
        engine.initialise(&tape(4), 1).unwrap();
        for (rows, x) in [(4, 1.0), (2, 3.0)] {
            let program = engine.compile(tape(rows)).unwrap();
            engine.write(program, "x", (&vec![x; 2 * rows]).into()).unwrap();
            engine.write(program, "y", (&vec![0.0; 2 * rows]).into()).unwrap();
            engine.run(program, &[tilegrad::graph::Stage::Forward]).unwrap();
        }
        engine.state("mean").unwrap()[..6].iter().map(|number| number.to_bits()).collect()
    };
    let expected = [22.0_f32, 0.0, 6.0, 0.0, 0.0, 2.0].map(f32::to_bits);
    assert_eq!(run(&mut CpuEngine::new()), expected);
    assert_eq!(run(&mut GpuEngine::new(device.clone())), expected);
}

//! What a loop of one's own forgets or mixes up: one clear error each, on the reference executor; `tests/gpu/refusals.rs` has the same on a device.

use std::sync::Arc;

use tilegrad::data::{Batch, BatchSource, DatasetSource, ResidentSource, synthetic};
use tilegrad::graph::{Purpose, RANDOM, Spec, Stage, Tape, Values};
use tilegrad::nn::{Conv2d, Dropout, Flatten, Linear, MaxPool2d, Module, Sequential};
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::optim::{Optimizer, Sgd};
use tilegrad::reference::{HostStore, Program};
use tilegrad::rng::draw;
use tilegrad::train::{CpuEngine, Engine, Sink, TrainOptions, Trainer};
use tilegrad::twin::Value;

const ALL: [Stage; 4] = [Stage::Gather, Stage::Forward, Stage::Backward, Stage::Update];

/// A step with everything that must be written before it: images, labels, random numbers, hyperparameters.
fn tape(purpose: Purpose) -> Tape {
    let mut tape = Tape::new(purpose);
    let x = tape.input("input", Spec::f32([4, 1, 2, 3])).unwrap();
    let target = tape.input("target", Spec::i32([4])).unwrap();
    let model = Sequential::new().with("flatten", Flatten).with("drop", Dropout(0.5)).with("fc", Linear::new(6, 3));
    let logits = model.forward(&mut tape, x).unwrap();
    let loss = tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default()).unwrap();
    if purpose == Purpose::Train {
        Sgd::new(0.1).momentum(0.9).minimize(&mut tape, loss.loss).unwrap();
    }
    tape
}

/// The error of a step of which these inputs were written.
fn without(forgotten: &str) -> String {
    let tape = tape(Purpose::Train);
    let mut store = HostStore::<f32>::new(&tape, 1);
    let mut program = Program::new(Arc::new(tape));
    for (name, value) in [
        ("input", Value::Real(vec![0.5; 24])),
        ("target", Value::Int(vec![0, 1, 2, 0])),
        (RANDOM, Value::Int(draw(1, 0).to_vec())),
        ("optimizer.0", Value::Real(vec![0.1, 0.9])),
    ] {
        if name != forgotten {
            program.write(name, value).unwrap();
        }
    }
    program.run(&mut store, &ALL).map_or_else(|error| error.to_string(), |()| "it ran".into())
}

#[test]
fn an_input_that_nobody_has_written_is_named_with_what_goes_there() {
    assert_eq!(without("nothing"), "it ran");
    assert_eq!(
        without(RANDOM),
        "\"random\": nobody has written this input of the tape, and a step needs it: write rng::draw(seed, step) to it before \
         each step"
    );
    assert_eq!(
        without("optimizer.0"),
        "\"optimizer.0\": nobody has written this input of the tape, and a step needs it: write what \
         Optimizer::hyperparameters gives before the first step, and whenever a rate changes"
    );
    assert!(without("input").contains("write it before the first step that reads it"));
}

#[test]
fn a_batch_for_one_purpose_is_refused_by_a_tape_for_the_other() {
    let mut source = DatasetSource::new("set", synthetic::digits(1, 8));
    let message = |engine: &mut CpuEngine, source: &mut DatasetSource, purpose, batch: Batch<'_>| {
        let mut tape = Tape::new(purpose);
        source.declare(&mut tape, 4).unwrap();
        engine.initialise(&tape, 1).unwrap();
        let program = engine.compile(tape).unwrap();
        let fed = source.feed(&batch, &mut Sink::step(engine, program));
        fed.map_or_else(|error| error.to_string(), |()| "it was fed".into())
    };
    let (mut engine, indices) = (CpuEngine::new(), [0, 1, 2, 3]);
    let (train, evaluate) = (Batch::train(&indices, draw(1, 0)), Batch::evaluate(&indices));
    assert_eq!(message(&mut engine, &mut source, Purpose::Train, train), "it was fed");
    assert_eq!(
        message(&mut engine, &mut source, Purpose::Train, evaluate),
        "batch: is for evaluation, the tape that it is fed to is for training: each has a tape of its own, \
         Tape::new(Purpose::Evaluate)"
    );
    assert_eq!(
        message(&mut engine, &mut source, Purpose::Evaluate, train),
        "batch: is for training, the tape that it is fed to is for evaluation: each has a tape of its own, \
         Tape::new(Purpose::Train)"
    );
}

#[test]
fn a_batch_of_another_size_is_refused_with_the_size_of_the_tape() {
    let mut engine = CpuEngine::new();
    let tape = tape(Purpose::Evaluate);
    engine.initialise(&tape, 1).unwrap();
    let program = engine.compile(tape).unwrap();
    let error = engine.write(program, "target", Values::I32(&[0, 1, 2])).unwrap_err().to_string();
    assert_eq!(
        error,
        "input \"target\": is [4] of I32, got 3 values of I32, a batch of 3: a tape is made for one batch size, 4 here, and \
         another size has a tape of its own"
    );
    // What is no whole number of rows is just wrong.
    let error = engine.write(program, "input", Values::F32(&[0.0; 7])).unwrap_err().to_string();
    assert_eq!(error, "input \"input\": is [4,1,2,3] of F32, got 7 values of F32");
    let error = engine.write(program, "input", Values::I32(&[0; 24])).unwrap_err().to_string();
    assert_eq!(error, "input \"input\": is [4,1,2,3] of F32, got 24 values of I32");
}

#[test]
fn a_stride_of_0_is_named_before_anything_is_computed() {
    let train = ResidentSource::new("train", synthetic::digits(1, 8));
    let message = |model: Sequential| {
        let model = model.with("flatten", Flatten).with("fc", Linear::new(10, 10));
        let made = Trainer::new(model, Sgd::new(0.1), CpuEngine::new(), TrainOptions::default(), &train);
        made.map_or_else(|error| error.to_string(), |_| "it was made".into())
    };
    let conv = message(Sequential::new().with("conv", Conv2d::new(1, 4, 3).stride(0)));
    assert!(conv.starts_with("conv2d \"conv\": stride must be at least 1 on both axes"), "{conv}");
    let pool = message(Sequential::new().with("pool", MaxPool2d::new(2).stride(0)));
    assert!(pool.starts_with("max_pool2d \"pool\": stride must be at least 1 on both axes"), "{pool}");
}

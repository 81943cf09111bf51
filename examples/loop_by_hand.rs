//! A training loop without the trainer: LeNet-5 on synthetic digits, with every call in order and its reason.
//!
//! Expect a loss that falls from about 2 to below 0.1 in four epochs, and a test accuracy of about 97%, within seconds
//! on any device.
//!
//!     cargo run --release --example loop_by_hand

use std::sync::Arc;

use tilegrad::data::{Batch, BatchSource, ResidentSource, epoch_batches, ordered_batches, synthetic};
use tilegrad::gpu::{Device, DeviceOptions, Session, SessionOptions, Store};
use tilegrad::graph::{Purpose, RANDOM, Tape};
use tilegrad::kernel::Choices;
use tilegrad::nn::Module;
use tilegrad::nn::models::LeNet5;
use tilegrad::ops::metrics::Metrics;
use tilegrad::optim::{Optimizer, Sgd};
use tilegrad::plan::{ParameterLayout, Plan};
use tilegrad::rng;

const BATCH: usize = 50;
const SEED: u64 = 1;

fn main() -> tilegrad::Result<()> {
    let model = LeNet5::new(10);
    let sgd = Sgd::new(0.05).momentum(0.9).weight_decay(5e-4);
    let mut train = ResidentSource::new("train", synthetic::digits(1, 4_000));
    let mut test = ResidentSource::new("test", synthetic::digits(2, 1_000));

    // A tape is a program for one batch size and one purpose, as plain data. Nothing runs yet.
    let training = tape(Purpose::Train, "train", &model, &sgd, &train)?;

    // The store holds data that outlives a step: parameters, gradients, momentum, data sets. All tapes of a model share
    // it.
    let device = Device::new(DeviceOptions::default())?;
    println!("device  {}", device.name());
    let layout = Arc::new(ParameterLayout::new(&training, device.caps())?);
    let store = Arc::new(Store::new(&device, layout)?);
    store.initialise(&training, SEED)?;

    // A session is a tape that is ready to run, with its kernels chosen, compiled and bound to memory.
    let mut session = ready(&store, training)?;
    // Images are uploaded once. Each step then sends only their indices.
    train.prepare(&mut session)?;
    // Learning rate and momentum of each parameter group. Write them again whenever they change.
    for (name, values) in sgd.hyperparameters(&session.plan().tape, sgd.rates()) {
        session.write(&name, &values)?;
    }

    let mut step = 0;
    for epoch in 1..=4 {
        store.clear_state("train")?;
        for batch in epoch_batches(train.len(), BATCH, SEED, epoch) {
            // Random numbers are derived from seed and step, so a run repeats to the bit.
            let random = rng::draw(SEED, step);
            if session.plan().tape.find_input(RANDOM).is_some() {
                session.write(RANDOM, &random)?;
            }
            train.feed(&Batch::train(&batch, random), &mut session)?;
            // Records and submits gather, forward, backward and update, without waiting for them.
            session.step()?;
            step += 1;
        }
        // The loss and the correct predictions have accumulated on the device. Reading them waits for its steps.
        let metrics = Metrics::from_state(&store.state("train")?)?;
        println!("epoch {epoch}  train loss {:.4}  accuracy {:.2}%", metrics.loss, metrics.accuracy * 100.0);
    }

    // Evaluation has its own tape over the same store: no gradients, no dropout, running statistics.
    let mut session = ready(&store, tape(Purpose::Evaluate, "test", &model, &sgd, &test)?)?;
    test.prepare(&mut session)?;
    for batch in ordered_batches(test.len(), BATCH) {
        test.feed(&Batch::evaluate(&batch), &mut session)?;
        session.step()?;
    }
    let metrics = Metrics::from_state(&store.state("test")?)?;
    println!("test     loss {:.4}  accuracy {:.2}%", metrics.loss, metrics.accuracy * 100.0);
    Ok(())
}

fn tape(purpose: Purpose, state: &str, model: &LeNet5, sgd: &Sgd, source: &dyn BatchSource) -> tilegrad::Result<Tape> {
    let mut tape = Tape::new(purpose);
    let (input, target) = source.declare(&mut tape, BATCH)?;
    let logits = model.forward(&mut tape, input)?;
    let loss = tape.softmax_cross_entropy("loss", logits, target, None, Default::default())?;
    tape.accumulate(state, loss)?;
    if purpose == Purpose::Train {
        // Appends the gradients of all trained parameters, then one in-place update for each parameter group.
        sgd.minimize(&mut tape, loss.loss)?;
    }
    Ok(tape)
}

fn ready(store: &Arc<Store>, tape: Tape) -> tilegrad::Result<Session> {
    let plan = Plan::new(Arc::new(tape), Arc::clone(store.layout()), store.device().caps(), &Choices::default())?;
    Session::new(store, Arc::new(plan), SessionOptions::default())
}

//! Profiles of real steps: an entry for each dispatch, sums that match, on devices with timestamps and without.

use std::sync::Arc;

use tilegrad::gpu::{Clock, Device, DeviceOptions, Profile, Session, SessionOptions, Store};
use tilegrad::graph::{Purpose, Spec, Stage, Tape};
use tilegrad::kernel::Choices;
use tilegrad::nn::models::LeNet5;
use tilegrad::nn::{Module, Summary};
use tilegrad::ops::metrics::Metrics;
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::optim::{Optimizer, Sgd};
use tilegrad::plan::{ParameterLayout, Plan};
use tilegrad::shape::ImageSize;

use crate::check::device;
use crate::common::cases;

const BATCH: usize = 8;
const STEP: [Stage; 3] = [Stage::Forward, Stage::Backward, Stage::Update];

/// LeNet-5 with SGD, ready to train on one batch.
fn lenet(device: &Device) -> Session {
    let mut tape = Tape::new(Purpose::Train);
    let input = tape.input("input", Spec::f32([BATCH, 1, 28, 28])).unwrap();
    let target = tape.input("target", Spec::i32([BATCH])).unwrap();
    let logits = LeNet5::new(10).forward(&mut tape, input).unwrap();
    let loss = tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default()).unwrap();
    tape.accumulate("metrics", loss).unwrap();
    let sgd = Sgd::new(0.1);
    sgd.minimize(&mut tape, loss.loss).unwrap();
    let hyperparameters = sgd.hyperparameters(&tape, sgd.rates());
    let layout = Arc::new(ParameterLayout::new(&tape, device.caps()).unwrap());
    let store = Arc::new(Store::new(device, Arc::clone(&layout)).unwrap());
    store.initialise(&tape, 1).unwrap();
    let plan = Plan::new(Arc::new(tape), layout, device.caps(), &Choices::default()).unwrap();
    let session = Session::new(&store, Arc::new(plan), SessionOptions::default()).unwrap();
    hyperparameters.iter().for_each(|(name, values)| session.write(name, values).unwrap());
    session.write("input", &cases::uniform(3, "images", BATCH * 784)).unwrap();
    session.write("target", &(0..BATCH as i32).collect::<Vec<_>>()).unwrap();
    session
}

fn check(session: &Session, profile: &Profile, stages: &[Stage]) {
    let steps: Vec<_> = session.plan().steps.iter().filter(|step| stages.contains(&step.stage)).collect();
    assert_eq!(profile.timings.len(), steps.len());
    let mut end = 0.0;
    for (timing, step) in profile.timings.iter().zip(steps) {
        assert_eq!((&timing.node, timing.kernel, timing.stage), (&step.node, step.kernel.name, step.stage));
        assert!(timing.duration > 0.0 && timing.duration < 1e10, "{timing:?}");
        assert!(timing.start >= end, "{timing:?} begins before {end}");
        end = timing.start + timing.duration;
    }
    assert!(profile.wall > 0.0 && profile.step > 0.0);
    for groups in [profile.by_layer(), profile.by_kernel()] {
        let sum: f64 = groups.iter().map(|group| group.duration).sum();
        assert!((sum / profile.total().duration - 1.0).abs() < 1e-9);
        assert_eq!(groups.iter().map(|group| group.multiply_adds).sum::<u64>(), profile.total().multiply_adds);
    }
}

#[test]
fn a_profile_has_every_dispatch_of_the_stages() {
    let Some(device) = device() else { return };
    let mut session = lenet(device);
    let profile = session.profile(&STEP, 3).unwrap();
    check(&session, &profile, &STEP);
    assert_eq!(profile.device, device.name());
    let forward = session.profile(&[Stage::Forward], 2).unwrap();
    check(&session, &forward, &[Stage::Forward]);
    assert!(forward.timings.len() < profile.timings.len());
}

/// The three forms find the same dispatches; how much their times differ is what the machine does, and no test.
#[test]
fn every_clock_times_every_dispatch() {
    let Some(device) = device() else { return };
    let mut session = lenet(device);
    for clock in [Clock::Dispatches, Clock::Passes, Clock::Host] {
        let profile = session.profile_by(clock, &STEP, 2).unwrap();
        assert_eq!(profile.clock, clock.min(device.clock()), "the one that was asked for, or the best that there is");
        check(&session, &profile, &STEP);
        let share: f64 = profile.by_kernel().iter().map(|kernel| profile.share(kernel)).sum();
        assert!((share - profile.total().duration / profile.step).abs() < 1e-9);
        if clock == Clock::Host {
            assert_eq!(profile.step, profile.total().duration, "what the device needs nobody has seen");
        }
    }
    assert!(session.profile_by(device.clock(), &[], 2).unwrap().timings.is_empty());
}

/// What is short is repeated until the clock can see it, which must change nothing: the losses of the steps in a profile are,
/// to the bit, those of as many steps without. What adds up, the losses themselves and the parameters, is not repeated.
#[test]
fn repeated_dispatches_change_nothing() {
    let Some(device) = device() else { return };
    let losses = |session: &Session| Metrics::from_state(&session.store().state("metrics").unwrap()).unwrap().losses;
    // One to warm up, two to see how long each dispatch takes, and three times one as it is and one in parts.
    for (clock, steps) in [(Clock::Dispatches, 1 + 2 + 2 * 3), (Clock::Passes, 1 + 2 + 2 * 3), (Clock::Host, 1 + 2 * 3)]
    {
        if clock > device.clock() {
            continue;
        }
        let (mut session, mut plain) = (lenet(device), lenet(device));
        session.profile_by(clock, &STEP, 3).unwrap();
        (0..steps).for_each(|_| plain.step().unwrap());
        let expected = losses(&plain);
        assert!(expected.len() == steps && expected[0] != expected[steps - 1], "{expected:?}");
        assert_eq!(losses(&session), expected, "{clock:?}");
    }
}

#[test]
fn runs_can_be_repeated_until_the_clock_sees_them() {
    let Some(device) = device() else { return };
    let without = Device::new(DeviceOptions::default().timestamps(false)).unwrap();
    for device in [device, &without] {
        let mut session = lenet(device);
        let count = session.repeats(&[Stage::Forward], 1e6).unwrap();
        let dispatches = session.plan().steps.iter().filter(|step| step.stage == Stage::Forward).count();
        assert!(count >= 1 && count * dispatches <= 4096 + dispatches, "{count} times {dispatches}");
        let time = session.time(&[Stage::Forward], count).unwrap();
        assert!(time.wall > 0.0 && time.best() > 0.0, "{time:?}");
        assert_eq!(time.device.is_some(), device.clock() != Clock::Host);
    }
}

#[test]
fn a_device_without_timestamps_is_timed_by_the_host_and_says_so() {
    if device().is_none() {
        return;
    }
    let device = Device::new(DeviceOptions::default().timestamps(false)).unwrap();
    let mut session = lenet(&device);
    let profile = session.profile(&STEP, 2).unwrap();
    assert_eq!(profile.clock, Clock::Host);
    check(&session, &profile, &STEP);
}

/// Forward what the summary says; backward twice that, less the gradient by the images, which nobody needs.
#[test]
fn the_multiply_adds_of_a_step_are_three_times_the_forward_ones() {
    let Some(device) = device() else { return };
    let session = lenet(device);
    let sum = |stage| -> u64 {
        session.plan().steps.iter().filter(|step| step.stage == stage).map(|step| step.multiply_adds).sum()
    };
    let summary = Summary::new(&LeNet5::new(10), ImageSize::new(28, 28, 1)).unwrap();
    let forward = BATCH as u64 * summary.multiply_adds;
    let first = BATCH as u64 * summary.layers[0].multiply_adds;
    assert_eq!((sum(Stage::Forward), sum(Stage::Backward)), (forward, 2 * forward - first));
    assert_eq!(sum(Stage::Update), 0);
    // Of a gradient whose K dimension is split, the dispatch that adds the parts up multiplies nothing.
    for step in session.plan().steps.iter().filter(|step| step.kernel.name.starts_with("column_sum")) {
        assert_eq!(step.multiply_adds, 0);
    }
}

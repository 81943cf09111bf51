//! Runs on the device that go on: after an interruption, and after the device was lost; and the search for what diverged.

use std::path::Path;

use tilegrad::data::{Augment, ResidentSource, synthetic};
use tilegrad::gpu::{Device, DeviceOptions};
use tilegrad::nn::models::LeNet5;
use tilegrad::optim::{Schedule, Sgd};
use tilegrad::train::{
    Callback, Checkpoints, CpuEngine, Engine, Event, Flow, GpuEngine, Snapshot, TrainOptions, Trainer,
};
use tilegrad::{Error, NonFinite};

use crate::check::device;
use crate::common::scratch::Scratch;

/// Trains LeNet-5 on 300 digits for two epochs; the model's and the optimizer's bytes, and the bits of the losses.
fn run(engine: impl Into<Box<dyn Engine>>, from: Option<&Path>, callbacks: &mut [&mut dyn Callback]) -> Vec<u8> {
    let mut train = ResidentSource::new("train", synthetic::digits(1, 300)).augmented(Augment::default());
    let mut test = ResidentSource::new("test", synthetic::digits(2, 60));
    let model = LeNet5::new(10);
    let options = TrainOptions::default().epochs(2).batch_size(64).seed(1).report_every(3);
    let sgd = Sgd::new(0.05).momentum(0.9).weight_decay(5e-4);
    let schedule = Schedule::named("onecycle", &sgd, 2, 5).unwrap();
    let mut trainer = Trainer::new(model, sgd, engine, options, &train).unwrap().schedule(schedule);
    if let Some(path) = from {
        trainer.restore(&Snapshot::read(path).unwrap().into(), path).unwrap();
    }
    let history = trainer.fit_with(&mut train, &mut test, callbacks).unwrap();
    let snapshot = trainer.snapshot().unwrap();
    let folder = Scratch::new("run");
    let file = folder.join("file");
    trainer.save_model(&file).unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    trainer.save_optimizer(&file).unwrap();
    bytes.extend(std::fs::read(&file).unwrap());
    assert_eq!(snapshot.steps(), 10);
    bytes.extend(history.losses.iter().flat_map(|loss| loss.to_bits().to_le_bytes()));
    bytes.extend(history.epochs.iter().flat_map(|epoch| epoch.validation_loss.to_bits().to_le_bytes()));
    bytes
}

#[test]
fn a_run_goes_on_from_a_checkpoint_to_the_same_bytes() {
    let Some(device) = device() else { return };
    let expected = run(GpuEngine::new(device.clone()), None, &mut []);
    let folder = Scratch::new("checkpoints");
    let mut checkpoints = Checkpoints::new(&folder).unwrap().every_steps(3).each_epoch(false);
    run(GpuEngine::new(device.clone()), None, &mut [&mut checkpoints]);
    // The one before the last is of the middle of the second epoch.
    let path = folder.join("checkpoint-0000000009.safetensors");
    assert!(run(GpuEngine::new(device.clone()), Some(&path), &mut []) == expected);
}

#[test]
fn a_run_survives_the_loss_of_its_device() {
    let Some(shared) = device() else { return };
    let expected = run(GpuEngine::new(shared.clone()), None, &mut []);
    // A device of its own, since others still need the shared one; the second is the one that the run opens.
    let own = Device::new(DeviceOptions::default()).unwrap();
    let mut renewed = Vec::new();
    let mut destroy = |event: &Event<'_>, _: &mut Trainer| {
        match event {
            Event::Step { steps: 7, .. } if renewed.is_empty() => own.destroy(),
            Event::Renewed { steps, .. } => renewed.push(*steps),
            _ => {}
        }
        Ok(Flow::Continue)
    };
    let bytes = run(GpuEngine::new(own.clone()), None, &mut [&mut destroy]);
    assert_eq!(renewed, [5], "the copy is that of the end of the first epoch");
    assert!(bytes == expected);
}

#[test]
fn a_learning_rate_of_a_million_is_traced_to_step_and_tensor() {
    let Some(device) = device() else { return };
    let diverged = |engine: Box<dyn Engine>| -> NonFinite {
        let mut train = ResidentSource::new("train", synthetic::digits(1, 128));
        let mut test = ResidentSource::new("test", synthetic::digits(2, 32));
        let model = LeNet5::new(10);
        let options = TrainOptions::default().epochs(4).batch_size(32).seed(1).report_every(4);
        let sgd = Sgd::new(1e6).momentum(0.9);
        let mut trainer = Trainer::new(model, sgd, engine, options, &train).unwrap();
        match trainer.fit(&mut train, &mut test) {
            Err(Error::NonFinite(found)) => found,
            other => panic!("{other:?}"),
        }
    };
    let found = diverged(GpuEngine::new(device.clone()).into());
    let culprit = found.tensor.clone().unwrap();
    assert!(found.step <= 4 && found.epoch == 1 && found.lr == 1e6, "{found}");
    let by_executor = diverged(CpuEngine::new().into());
    assert_eq!((found.step, &culprit.what), (by_executor.step, &by_executor.tensor.unwrap().what), "{found}");
}

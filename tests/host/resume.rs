//! Runs that are interrupted and go on: from any step, from the checkpoint before a damaged one, with other settings (which is an
//! error), and what ends a run early.

use std::path::Path;
use std::sync::Arc;

use tilegrad::Error;
use tilegrad::data::{Augment, DatasetSource, ResidentSource, synthetic};
use tilegrad::nn::{Conv2d, Dropout, Flatten, Linear, MaxPool2d, Sequential};
use tilegrad::ops::activation::Activation::Relu;
use tilegrad::optim::{ReduceLrOnPlateau, Schedule, Sgd};
use tilegrad::train::{
    Callback, Checkpoints, CpuEngine, EarlyStopping, Event, Flow, KeepBest, Monitor, OnNonFinite, Sampling,
    TrainOptions, Trainer,
};

use crate::common::scratch::Scratch;

/// Dropout, batch norm and augmentation draw, momentum and a plateau remember.
fn model() -> Sequential {
    Sequential::new()
        .with("conv", Conv2d::new(1, 4, 3))
        .with("bn", tilegrad::nn::BatchNorm2d::new(4))
        .with("relu", Relu)
        .with("pool", MaxPool2d::new(4))
        .with("flatten", Flatten)
        .with("dropout", Dropout(0.3))
        .with("fc", Linear::new(144, 10))
}

fn options() -> TrainOptions {
    TrainOptions::default().epochs(3).batch_size(8).seed(3).report_every(2)
}

/// Runs with these callbacks, on from the folder's last checkpoint if there is one; the bytes of the run at its end.
fn run(
    folder: &Path,
    options: TrainOptions,
    callbacks: &mut [&mut dyn Callback],
) -> tilegrad::Result<(Vec<u8>, Vec<String>)> {
    let mut train = DatasetSource::new("train", synthetic::digits(1, 44)).augmented(Augment::default());
    let mut test = ResidentSource::new("test", synthetic::digits(2, 12));
    let (model, engine) = (model(), CpuEngine::new());
    let sgd = Sgd::new(0.05).momentum(0.9).weight_decay(1e-3);
    // Nothing gets better by so much, so that the rate falls after every epoch.
    let mut plateau = ReduceLrOnPlateau::default();
    (plateau.patience, plateau.threshold) = (0, 0.9);
    let schedule = Schedule::new(&sgd, plateau)?;
    let mut trainer = Trainer::new(model, sgd, engine, options, &train)?.schedule(schedule);
    let damaged = match Checkpoints::latest(folder)? {
        Some(found) => {
            trainer.restore(&found.snapshot, &found.path)?;
            found.damaged.iter().map(Error::to_string).collect()
        }
        None => Vec::new(),
    };
    trainer.fit_with(&mut train, &mut test, callbacks)?;
    let file = folder.join("end");
    trainer.save_model(&file)?;
    let mut bytes = std::fs::read(&file).unwrap();
    trainer.save_optimizer(&file)?;
    bytes.extend(std::fs::read(&file).unwrap());
    // Everything but the times.
    for epoch in &trainer.history().epochs {
        for number in
            [epoch.train_loss, epoch.train_accuracy, epoch.validation_loss, epoch.validation_accuracy, epoch.lr]
        {
            bytes.extend(number.to_bits().to_le_bytes());
        }
    }
    bytes.extend(trainer.history().losses.iter().flat_map(|loss| loss.to_bits().to_le_bytes()));
    Ok((bytes, damaged))
}

/// Fails at a step, as if the process had been killed there.
fn killed_at(step: u32) -> impl Callback {
    move |event: &Event<'_>, _: &mut Trainer| match event {
        Event::Step { steps, .. } if *steps == step => Err(Error::config("test", "killed")),
        _ => Ok(Flow::Continue),
    }
}

#[test]
fn a_run_that_is_killed_anywhere_ends_in_the_same_bytes() {
    for (accumulate, sampling) in [(1, Sampling::Shuffled), (2, Sampling::Shuffled), (1, Sampling::Balanced)] {
        let options = options().accumulate(accumulate).sampling(sampling);
        let whole = Scratch::new(&format!("whole-{accumulate}-{sampling}"));
        let (expected, _) = run(&whole, options, &mut []).unwrap();
        for (every, step) in [(1, 1_u32), (1, 6), (2, 5), (4, 11), (3, 13), (5, 17)] {
            let folder = Scratch::new(&format!("killed-{accumulate}-{sampling}-{every}-{step}"));
            let mut checkpoints = Checkpoints::new(&folder).unwrap().every_steps(every);
            // Steps in the middle of an update tell nothing.
            let step = step.next_multiple_of(accumulate as u32);
            let killed = run(&folder, options, &mut [&mut checkpoints, &mut killed_at(step)]);
            assert!(killed.is_err() || accumulate == 2, "killed at step {step}");
            let mut checkpoints = Checkpoints::new(&folder).unwrap().every_steps(every);
            let (bytes, damaged) = run(&folder, options, &mut [&mut checkpoints]).unwrap();
            assert!(bytes == expected, "accumulate {accumulate}, every {every} steps, killed at {step}");
            assert!(damaged.is_empty());
            let left = std::fs::read_dir(&folder)
                .unwrap()
                .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("checkpoint-"));
            assert_eq!(left.count(), 2, "two are kept");
        }
    }
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_used() {
    let (whole, folder) = (Scratch::new("undamaged"), Scratch::new("damaged"));
    let (expected, _) = run(&whole, options(), &mut []).unwrap();
    let mut checkpoints = Checkpoints::new(&folder).unwrap().every_steps(1);
    run(&folder, options(), &mut [&mut checkpoints, &mut killed_at(9)]).unwrap_err();
    let last = folder.join("checkpoint-0000000009.safetensors");
    let good = std::fs::read(&last).unwrap();
    // One bit of a tensor, the end cut off, and no file of this kind at all.
    let mut flipped = good.clone();
    let middle = flipped.len() - 100;
    flipped[middle] ^= 4;
    for (content, part) in
        [(&flipped[..], "checksum"), (&good[..good.len() / 2], "no safetensors"), (b"?", "no safetensors")]
    {
        std::fs::write(&last, content).unwrap();
        let (bytes, damaged) = run(&folder, options(), &mut []).unwrap();
        assert!(bytes == expected);
        assert!(damaged.len() == 1 && damaged[0].contains("0000000009") && damaged[0].contains(part), "{damaged:?}");
    }
    std::fs::write(folder.join("checkpoint-0000000008.safetensors"), b"").unwrap();
    let error = run(&folder, options(), &mut []).unwrap_err().to_string();
    assert!(error.contains("no checkpoint that is whole") && error.contains("0000000008"), "{error}");
}

#[test]
fn another_runs_checkpoint_is_refused_by_the_name_of_the_setting() {
    let folder = Scratch::new("other");
    let mut checkpoints = Checkpoints::new(&folder).unwrap();
    run(&folder, options().epochs(1), &mut [&mut checkpoints]).unwrap();
    let cases = [
        (options().seed(4), "seed 3, this one has 4"),
        (options().batch_size(4), "batch_size 8, this one has 4"),
        (options().accumulate(2), "accumulate 1, this one has 2"),
    ];
    for (options, part) in cases {
        let error = run(&folder, options, &mut []).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("checkpoint-0000000006"), "{error}");
    }
    let found = Checkpoints::latest(&folder).unwrap().unwrap();
    let (other, engine) =
        (Sequential::new().with("flatten", Flatten).with("fc", Linear::new(784, 10)), CpuEngine::new());
    let train = ResidentSource::new("train", synthetic::digits(1, 44));
    let mut trainer = Trainer::new(other, Sgd::new(0.1), engine, options(), &train).unwrap();
    let error = trainer.restore(&Arc::clone(&found.snapshot), &found.path).unwrap_err().to_string();
    assert!(error.contains("\"conv.weight\" is unexpected") && error.contains("\"fc.weight\" is [10,144]"), "{error}");
    assert_eq!(trainer.run().steps, 0, "nothing is changed");
    assert!(Checkpoints::latest(&folder.join("nowhere")).unwrap().is_none());
}

#[test]
fn what_an_interrupted_write_has_left_is_removed() {
    let folder = Scratch::new("left");
    let left = folder.join("checkpoint-0000000003.safetensors.1234.ThreadId(1).tmp");
    std::fs::write(&left, b"half").unwrap();
    Checkpoints::new(&folder).unwrap();
    assert!(!left.exists());
}

/// Asks for the end at a step, as an interrupt does.
#[test]
fn a_run_that_is_asked_to_stop_does_and_goes_on_later() {
    let (whole, folder) = (Scratch::new("unasked"), Scratch::new("asked"));
    let (expected, _) = run(&whole, options(), &mut []).unwrap();
    let mut stop = |event: &Event<'_>, _: &mut Trainer| {
        Ok(if matches!(event, Event::Step { steps: 8, .. }) { Flow::Stop } else { Flow::Continue })
    };
    let mut checkpoints = Checkpoints::new(&folder).unwrap().each_epoch(false);
    run(&folder, options(), &mut [&mut stop, &mut checkpoints]).unwrap();
    let found = Checkpoints::latest(&folder).unwrap().unwrap();
    assert_eq!(found.snapshot.steps(), 8);
    assert!(run(&folder, options(), &mut []).unwrap().0 == expected);
}

#[test]
fn early_stopping_counts_epochs_without_a_better_one() {
    let epochs = |losses: &[f64]| -> Vec<tilegrad::train::Epoch> {
        let epoch = |(i, &loss): (usize, &f64)| tilegrad::train::Epoch {
            epoch: i + 1,
            train_loss: 0.0,
            train_accuracy: 0.0,
            validation_loss: loss,
            validation_accuracy: -loss,
            lr: 0.1,
            seconds: 1.0,
            images_per_second: 1.0,
            metrics: Vec::new(),
        };
        losses.iter().enumerate().map(epoch).collect()
    };
    let two = EarlyStopping::new(2);
    assert!(!two.is_enough(&epochs(&[3.0, 2.0, 2.5])));
    assert!(two.is_enough(&epochs(&[3.0, 2.0, 2.5, 2.0])), "as good is not better");
    assert!(!two.is_enough(&epochs(&[3.0, 2.0, 2.5, 1.9])));
    let coarse = two.min_delta(0.5);
    assert!(coarse.is_enough(&epochs(&[3.0, 2.9, 2.6])));
    assert!(!coarse.is_enough(&epochs(&[3.0, 2.9, 2.4])));
    let accuracy = two.monitor(Monitor::ValidationAccuracy);
    assert!(accuracy.is_enough(&epochs(&[1.0, 2.0, 3.0])));
    assert!(two.is_enough(&epochs(&[1.0, f64::NAN, f64::NAN])));
    assert!(!two.is_enough(&epochs(&[f64::NAN, 1.0])));
    assert!(EarlyStopping::new(0).validate().is_err());
    assert!(two.min_delta(-1.0).validate().is_err());
    let mut history = tilegrad::train::History::default();
    history.epochs = epochs(&[3.0, 2.0, f64::NAN, 2.0]);
    assert_eq!(history.best(Monitor::ValidationLoss).unwrap().epoch, 2);
}

#[test]
fn a_run_stops_early_and_keeps_the_best_model() {
    let folder = Scratch::new("early");
    let best = folder.join("best.safetensors");
    let mut epochs = 0;
    let mut count = |event: &Event<'_>, _: &mut Trainer| {
        epochs += usize::from(matches!(event, Event::Epoch(_)));
        Ok(Flow::Continue)
    };
    let early_stopping = Some(EarlyStopping::new(1).min_delta(1e9));
    let options = options().epochs(9).early_stopping(early_stopping);
    let mut keep = KeepBest::new(&best, Monitor::ValidationLoss);
    run(&folder, options, &mut [&mut count, &mut keep]).unwrap();
    assert_eq!(epochs, 2, "the first is the best, the second not so much better");
    assert!(best.exists());
}

#[test]
fn a_loss_that_is_not_finite_is_traced_to_its_tensor() {
    let mut train = ResidentSource::new("train", synthetic::digits(1, 44));
    let mut test = ResidentSource::new("test", synthetic::digits(2, 12));
    for on_non_finite in [OnNonFinite::Stop, OnNonFinite::Warn] {
        let engine = CpuEngine::new();
        let options = options().epochs(2).on_non_finite(on_non_finite);
        let mut trainer = Trainer::new(model(), Sgd::new(0.05), engine, options, &train).unwrap();
        let mut told = Vec::new();
        // The third step's gradient meets a parameter that is infinite.
        let mut spoil = |event: &Event<'_>, trainer: &mut Trainer| {
            if let Event::Step { steps: 2, .. } = event {
                let mut values = trainer.engine().parameter("fc.weight")?;
                values[7] = f32::INFINITY;
                trainer.engine().set_parameter("fc.weight", &values)?;
                trainer.snapshot()?;
            }
            if let Event::NonFinite(found) = event {
                told.push((*found).clone());
            }
            Ok(Flow::Continue)
        };
        let result = trainer.fit_with(&mut train, &mut test, &mut [&mut spoil]);
        let found = match on_non_finite {
            OnNonFinite::Stop => match result.unwrap_err() {
                Error::NonFinite(found) => found,
                other => panic!("{other}"),
            },
            OnNonFinite::Warn => {
                assert_eq!(result.unwrap().epochs.len(), 2, "the run goes on");
                assert_eq!(told.len(), 1, "and says so once");
                told[0].clone()
            }
        };
        assert_eq!((found.step, found.epoch, found.lr), (3, 1, 0.05));
        let culprit = found.tensor.clone().unwrap();
        assert_eq!(culprit.what, "output of linear \"fc\"", "{found}");
        assert!(found.to_string().contains("step 3") && found.to_string().contains("\"fc\""), "{found}");
    }
}

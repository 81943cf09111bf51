//! Runs without images to validate or test with: they train, and what would look at a validation says that there is none.

use tilegrad::Error;
use tilegrad::data::{ImageSet, ResidentSource};
use tilegrad::nn::{Flatten, Linear, Sequential};
use tilegrad::optim::{ReduceLrOnPlateau, Schedule, Sgd};
use tilegrad::report::tensorboard::EventWriter;
use tilegrad::shape::ImageSize;
use tilegrad::train::{CpuEngine, Diagnosis, EarlyStopping, Fit, History, KeepBest, Monitor, TrainOptions, Trainer};

use crate::scratch::Scratch;

/// Dark and light images.
fn images(count: usize) -> ImageSet {
    let bytes = (0..count as u8).flat_map(|i| [i % 2 * 200 + i; 16]).collect();
    ImageSet::new(bytes, (0..count as i32).map(|i| i % 2).collect(), ImageSize::new(4, 4, 1), 2).unwrap()
}

fn trainer(options: TrainOptions) -> (Trainer, ResidentSource, ResidentSource) {
    let train = ResidentSource::new("train", images(16));
    let model = Sequential::new().with("flatten", Flatten).with("fc", Linear::new(16, 2));
    let trainer = Trainer::new(model, Sgd::new(0.1), CpuEngine::new(), options.batch_size(4), &train).unwrap();
    (trainer, train, ResidentSource::new("validation", images(0)))
}

#[test]
fn a_run_without_validation_trains_and_is_not_judged() {
    let scratch = Scratch::new("unvalidated");
    let (mut trainer, mut train, mut none) = trainer(TrainOptions::default().epochs(3));
    let mut best = KeepBest::new(scratch.join("best.safetensors"), Monitor::ValidationAccuracy);
    let history: History = trainer.fit_with(&mut train, &mut none, &mut [&mut best]).unwrap();
    assert!(history.epochs.iter().all(|epoch| !epoch.is_validated() && epoch.train_loss.is_finite()));
    assert!(history.best(Monitor::ValidationLoss).is_none() && !scratch.join("best.safetensors").exists());
    let text = history.epochs[0].to_string();
    assert!(text.contains("train loss") && !text.contains("validation") && !text.contains("NaN"), "{text}");
    let diagnosis = Diagnosis::of_classes(&history.epochs, 2).unwrap();
    assert_eq!(diagnosis.fit, Fit::Unjudged);
    assert!(diagnosis.to_string().contains("not judged: training accuracy"), "{diagnosis}");
    EventWriter::create(&scratch.join("events")).unwrap().epoch(&history.epochs[0]).unwrap();
    let error = trainer.evaluate(&mut none).unwrap_err();
    assert_eq!(error.to_string(), "validation: has no images to evaluate on");
    assert_eq!(trainer.evaluate(&mut train).unwrap().count, 16);
}

#[test]
fn what_depends_on_a_validation_is_refused_before_the_first_step() {
    let (mut stopping, mut train, mut none) =
        trainer(TrainOptions::default().epochs(2).early_stopping(EarlyStopping::new(2)));
    let error = stopping.fit(&mut train, &mut none).unwrap_err();
    assert!(matches!(&error, Error::Config { field, .. } if field == "early_stopping"), "{error}");
    let (plateau, mut train, mut none) = trainer(TrainOptions::default().epochs(2));
    let schedule = Schedule::new(&Sgd::new(0.1), ReduceLrOnPlateau::new()).unwrap();
    let error = plateau.schedule(schedule).fit(&mut train, &mut none).unwrap_err();
    assert!(matches!(&error, Error::Config { field, .. } if field == "schedule"), "{error}");
}

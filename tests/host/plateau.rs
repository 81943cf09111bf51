//! A reduction on a plateau across a run that is saved and loaded: as if it had not stopped.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::SafeTensors;
use tilegrad::data::{ResidentSource, synthetic};
use tilegrad::nn::{Flatten, Linear, Sequential};
use tilegrad::optim::{Mode, ReduceLrOnPlateau, Schedule, Sgd, ThresholdMode};
use tilegrad::train::{CpuEngine, TrainOptions, Trainer, weights};

use crate::common::scratch::Scratch;

fn rule(mode: Mode) -> ReduceLrOnPlateau {
    // Hardly anything is better by so much, so that the learning rate falls every few epochs.
    ReduceLrOnPlateau::new().mode(mode).patience(1).cooldown(1).factor(0.5).threshold(0.3, ThresholdMode::Abs)
}

/// Trains up to `epochs` from the files in `from`, if there are any, writes them to `to`, and gives every epoch's learning
/// rate and all losses.
fn train(mode: Mode, epochs: usize, from: Option<&Path>, to: &Path) -> (Vec<f64>, Vec<f32>) {
    let model = Sequential::new().with("flatten", Flatten).with("fc", Linear::new(784, 10));
    let mut train = ResidentSource::new("train", synthetic::digits(1, 64));
    let mut validation = ResidentSource::new("validation", synthetic::digits(2, 32));
    let engine = CpuEngine::new();
    let sgd = Sgd::new(0.1).momentum(0.9);
    let options = TrainOptions::default().epochs(epochs).batch_size(8).seed(1);
    let schedule = Schedule::new(&sgd, rule(mode)).unwrap();
    let mut trainer = Trainer::new(model, sgd, engine, options, &train).unwrap().schedule(schedule);
    let tape = trainer.tape().clone();
    if let Some(from) = from {
        weights::load(&from.join("model.safetensors"), &tape, trainer.engine()).unwrap();
        trainer.load_optimizer(&from.join("optimizer.safetensors")).unwrap();
    }
    let history = trainer.fit(&mut train, &mut validation).unwrap();
    weights::save(&to.join("model.safetensors"), &tape, trainer.engine()).unwrap();
    trainer.save_optimizer(&to.join("optimizer.safetensors")).unwrap();
    (history.epochs.iter().map(|epoch| epoch.lr).collect(), history.losses)
}

#[test]
fn a_run_goes_on_with_the_learning_rates_of_an_unbroken_one() {
    let folder = Scratch::new("resume");
    for mode in [Mode::Min, Mode::Max] {
        let (lrs, losses) = train(mode, 12, None, &folder);
        assert!(lrs[11] < lrs[0] / 2.0, "{mode:?}: {lrs:?} fall more than once");
        // Before any reduction, in the middle of waiting, of a cooldown.
        for split in [1, 2, 4, 5, 6, 7] {
            let (first_lrs, first_losses) = train(mode, split, None, &folder);
            let (second_lrs, second_losses) = train(mode, 12, Some(&folder), &folder);
            assert_eq!([first_lrs, second_lrs].concat(), lrs, "{mode:?}, split after {split}");
            assert_eq!([first_losses, second_losses].concat(), losses, "{mode:?}, split after {split}");
        }
    }
}

#[test]
fn a_damaged_state_is_named_and_changes_nothing() {
    let folder = Scratch::new("damaged");
    train(Mode::Min, 6, None, &folder);
    let path = folder.join("optimizer.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().clone().unwrap();
    assert!(metadata.contains_key("scheduler.lr") && metadata["scheduler.best"].parse::<f64>().is_ok(), "{metadata:?}");

    let model = Sequential::new().with("flatten", Flatten).with("fc", Linear::new(784, 10));
    let images = ResidentSource::new("train", synthetic::digits(1, 64));
    let sgd = Sgd::new(0.1).momentum(0.9);
    let engine = CpuEngine::new();
    let schedule = Schedule::new(&sgd, rule(Mode::Min)).unwrap();
    let options = TrainOptions::default().batch_size(8);
    let mut trainer = Trainer::new(model, sgd, engine, options, &images).unwrap().schedule(schedule);
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let write = |metadata: HashMap<String, String>| {
        std::fs::write(&path, safetensors::serialize(file.tensors(), Some(metadata)).unwrap()).unwrap();
    };
    for (field, text, message) in [
        ("best", Some("x"), "metadata \"scheduler.best\" is \"x\", expected a number"),
        ("best", Some("NaN"), "\"best\" is NaN"),
        ("best", None, "\"best\" is missing"),
        ("num_bad_epochs", Some("-1"), "\"num_bad_epochs\" is -1, expected a whole number"),
        ("num_bad_epochs", None, "\"num_bad_epochs\" is missing"),
        ("cooldown_counter", Some("0.5"), "\"cooldown_counter\" is 0.5, expected a whole number"),
        ("lr", Some("inf"), "\"lr\" is inf, expected a finite number"),
    ] {
        let mut damaged = metadata.clone();
        let name = format!("scheduler.{field}");
        match text {
            Some(text) => damaged.insert(name, text.into()),
            None => damaged.remove(&name),
        };
        write(damaged);
        let error = trainer.load_optimizer(&path).unwrap_err().to_string();
        assert!(error.contains("optimizer.safetensors") && error.contains(message), "{message}: {error}");
        assert_eq!((trainer.run().steps, trainer.run().epochs), (0, 0), "{message}");
        assert!(
            trainer.engine().optimizer_buffer("fc.bias", "momentum_buffer").unwrap().iter().all(|&v| v == 0.0),
            "{message}"
        );
    }
    // A run without a plateau wrote the file, or one before there was a state in it.
    write(
        metadata
            .iter()
            .filter(|(name, _)| !name.starts_with("scheduler."))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
    );
    trainer.load_optimizer(&path).unwrap();
    assert_eq!(trainer.run().epochs, 6);
}

#[test]
fn a_state_goes_from_one_schedule_to_another_and_to_no_other_rule() {
    let sgd = Sgd::new(0.1);
    let mut first = Schedule::new(&sgd, rule(Mode::Max)).unwrap();
    let fresh: BTreeMap<String, f64> = first.state().into_iter().map(|(name, value)| (name.into(), value)).collect();
    assert_eq!((fresh["best"], fresh.get("lr")), (f64::NEG_INFINITY, None));
    [0.1, 0.1, 0.1, 0.1].into_iter().for_each(|metric| first.observe(metric));
    assert_eq!(first.at(0).lr, 0.05);
    let state = first.state().into_iter().map(|(name, value)| (name.into(), value)).collect();
    let mut second = Schedule::new(&sgd, rule(Mode::Max)).unwrap();
    second.restore(&state).unwrap();
    assert_eq!(second.state(), first.state());
    assert_eq!(second.at(0).lr, 0.05);
    let mut constant = Schedule::constant(&sgd).unwrap();
    constant.restore(&state).unwrap();
    assert!(constant.state().is_empty() && constant.at(0).lr == 0.1);
}

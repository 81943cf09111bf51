//! Whole runs: a batch learnt by heart, two runs equal to the bit, the synthetic digits, the reference executor beside
//! the device, and MNIST where TILEGRAD_MNIST names its folder.

use tilegrad::data::{DatasetSource, ImageSet, ResidentSource, idx, synthetic};
use tilegrad::gpu::Device;
use tilegrad::graph::{Purpose, Spec, Tape};
use tilegrad::nn::models::LeNet5;
use tilegrad::nn::{Flatten, Linear, Module, Sequential};
use tilegrad::optim::Sgd;
use tilegrad::train::{CpuEngine, Engine, GpuEngine, History, TrainOptions, Trainer, weights};

use crate::check::device;
use crate::common::scratch::Scratch;

fn options(epochs: usize, batch_size: usize) -> TrainOptions {
    TrainOptions::default().epochs(epochs).batch_size(batch_size).seed(1).report_every(7)
}

/// Trains on `train` and tests on `test`: the history and the test accuracy.
fn fit(
    engine: impl Into<Box<dyn Engine>>,
    model: impl Module + 'static,
    sgd: Sgd,
    options: TrainOptions,
    train: &ImageSet,
    test: &ImageSet,
) -> (History, f64, Box<dyn Engine>) {
    let mut train = ResidentSource::new("train", train.clone());
    let mut test = ResidentSource::new("test", test.clone());
    let mut trainer = Trainer::new(model, sgd, engine, options, &train).unwrap();
    let history = trainer.fit(&mut train, &mut test).unwrap();
    let accuracy = trainer.evaluate(&mut test).unwrap().accuracy;
    (history, accuracy, trainer.into_engine())
}

fn gpu(device: &Device) -> GpuEngine {
    GpuEngine::new(device.clone())
}

fn sgd() -> Sgd {
    Sgd::new(0.05).momentum(0.9).weight_decay(5e-4)
}

#[test]
fn a_batch_is_learnt_by_heart() {
    let Some(device) = device() else { return };
    let batch = synthetic::digits(3, 32);
    let sgd = Sgd::new(0.01).momentum(0.9);
    let (history, accuracy, _) = fit(gpu(device), LeNet5::new(10), sgd, options(200, 32), &batch, &batch);
    assert_eq!(accuracy, 1.0, "{:?}", history.losses);
    let last = history.losses.last().unwrap();
    assert!(*last < 0.05 && history.losses[0] > 2.0, "{} to {last}", history.losses[0]);
}

/// All parameters as bytes, under their names.
fn weights(engine: &mut dyn Engine, model: &dyn Module) -> Vec<(String, Vec<u32>)> {
    let mut tape = Tape::new(Purpose::Evaluate);
    let input = tape.input("input", Spec::f32([1, 1, 28, 28])).unwrap();
    model.forward(&mut tape, input).unwrap();
    let bits = |name: &String| engine.parameter(name).unwrap().into_iter().map(f32::to_bits).collect();
    let names = tape.parameters().into_iter().map(|id| tape.tensor(id).name.clone());
    let names: Vec<String> = names.collect();
    let values: Vec<Vec<u32>> = names.iter().map(bits).collect();
    names.into_iter().zip(values).collect()
}

#[test]
fn two_runs_with_one_seed_are_equal_to_the_bit() {
    let Some(device) = device() else { return };
    let (train, test) = (synthetic::digits(1, 300), synthetic::digits(2, 60));
    let run = |seed| {
        let options = options(2, 64).seed(seed);
        let (history, accuracy, mut engine) =
            fit(gpu(device), LeNet5::new(10), sgd().nesterov(true), options, &train, &test);
        let losses: Vec<u32> = history.losses.iter().map(|loss| loss.to_bits()).collect();
        (losses, accuracy.to_bits(), weights(&mut *engine, &LeNet5::new(10)))
    };
    let first = run(1);
    assert_eq!(first.0.len(), 10, "five steps an epoch, the last of 44 images");
    assert_eq!(first, run(1));
    assert_ne!(first.0, run(2).0);
}

#[test]
fn the_device_and_the_reference_executor_agree_over_twenty_steps() {
    let Some(device) = device() else { return };
    let (train, test) = (synthetic::digits(1, 640), synthetic::digits(2, 64));
    for model in [LeNet5::new, LeNet5::classic] {
        let (a, ..) = fit(gpu(device), model(10), sgd(), options(2, 64), &train, &test);
        let (b, ..) = fit(CpuEngine::new(), model(10), sgd(), options(2, 64), &train, &test);
        assert_eq!((a.losses.len(), b.losses.len()), (20, 20));
        for (step, (a, b)) in a.losses.iter().zip(&b.losses).enumerate() {
            assert!((a - b).abs() <= 1e-4 * b.abs(), "step {step}: {a} on the device, {b} by the executor");
        }
    }
}

#[test]
fn the_synthetic_digits_are_learnt_but_not_by_a_linear_model() {
    let Some(device) = device() else { return };
    let (train, test) = (synthetic::digits(1, 9_000), synthetic::digits(2, 2_000));
    let linear = Sequential::new().with("flatten", Flatten).with("fc", Linear::new(784, 10));
    let (_, accuracy, _) = fit(gpu(device), linear, sgd(), options(12, 64), &train, &test);
    assert!((0.6..0.92).contains(&accuracy), "a linear model reaches {accuracy}");
    // A learning rate at which the third epoch's accuracy does not depend on how a device rounds.
    let steady = Sgd::new(0.02).momentum(0.9).weight_decay(5e-4);
    let (history, accuracy, _) = fit(gpu(device), LeNet5::new(10), steady, options(3, 64), &train, &test);
    assert!(accuracy >= 0.97, "LeNet-5 reaches {accuracy}: {:?}", history.epochs);
}

#[test]
fn an_upload_source_trains_like_a_resident_one() {
    let Some(device) = device() else { return };
    let (train, test) = (synthetic::digits(1, 200), synthetic::digits(2, 60));
    let (resident, ..) = fit(gpu(device), LeNet5::new(10), sgd(), options(1, 50), &train, &test);
    let engine = gpu(device);
    let mut source = DatasetSource::new("train", train);
    let mut test = DatasetSource::new("test", test);
    let mut trainer = Trainer::new(LeNet5::new(10), sgd(), engine, options(1, 50), &source).unwrap();
    let uploaded = trainer.fit(&mut source, &mut test).unwrap();
    assert_eq!(resident.losses, uploaded.losses);
}

#[test]
fn a_run_that_diverges_stops_with_the_step_and_the_learning_rate() {
    let Some(device) = device() else { return };
    let set = synthetic::digits(1, 128);
    let mut source = ResidentSource::new("train", set);
    let engine = gpu(device);
    let model = LeNet5::new(10);
    let mut trainer = Trainer::new(model, Sgd::new(1e12), engine, options(4, 32), &source).unwrap();
    let mut validation = ResidentSource::new("validation", synthetic::digits(2, 32));
    let error = trainer.fit(&mut source, &mut validation).unwrap_err().to_string();
    assert!(error.contains("diverged") && error.contains("1000000000000"), "{error}");
}

#[test]
fn parameters_survive_a_file_and_wrong_files_change_nothing() {
    let Some(device) = device() else { return };
    let folder = Scratch::new("weights");
    let path = folder.join("model.safetensors");
    let tape_of = |model: &dyn Module| {
        let mut tape = Tape::new(Purpose::Evaluate);
        let input = tape.input("input", Spec::f32([1, 1, 28, 28])).unwrap();
        model.forward(&mut tape, input).unwrap();
        tape
    };
    let model = LeNet5::new(10);
    let tape = tape_of(&model);
    let mut engine = gpu(device);
    engine.initialise(&tape, 1).unwrap();
    weights::save(&path, &tape, &mut engine).unwrap();
    let saved = weights(&mut engine, &model);
    // The reference executor reads what the device wrote.
    let mut host = CpuEngine::new();
    host.initialise(&tape, 2).unwrap();
    assert_ne!(weights(&mut host, &model), saved);
    weights::load(&path, &tape, &mut host).unwrap();
    assert_eq!(weights(&mut host, &model), saved);

    let other = Sequential::new().with("flatten", Flatten).with("fc1", Linear::new(784, 120));
    let tape = tape_of(&other);
    engine.initialise(&tape, 1).unwrap();
    let before = weights(&mut engine, &other);
    let error = weights::load(&path, &tape, &mut engine).unwrap_err().to_string();
    assert!(error.contains("\"fc1.weight\" is [120,400]") && error.contains("\"conv1.bias\" is unexpected"), "{error}");
    assert_eq!(weights(&mut engine, &other), before);
    std::fs::write(&path, b"no tensors").unwrap();
    assert!(weights::load(&path, &tape, &mut engine).unwrap_err().to_string().contains("safetensors"));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "no temporary file stays");
}

#[test]
fn mnist_where_it_is() {
    let Some(device) = device() else { return };
    let Some(folder) = std::env::var_os("TILEGRAD_MNIST") else {
        eprintln!("SKIPPED: set TILEGRAD_MNIST to a folder with MNIST's files to train on them");
        return;
    };
    let (train, test) = idx::read(std::path::Path::new(&folder)).unwrap();
    let (_, accuracy, _) = fit(gpu(device), LeNet5::new(10), sgd(), options(2, 64), &train, &test);
    assert!(accuracy >= 0.95, "{accuracy} after two epochs");
}

//! What a file of weights says of its network, and a run that begins with one.

use tilegrad::data::{ResidentSource, synthetic};
use tilegrad::nn::Freeze;
use tilegrad::nn::models::LeNet5;
use tilegrad::optim::Sgd;
use tilegrad::train::weights::{self, Load};
use tilegrad::train::{CpuEngine, TrainOptions, Trainer};

use crate::common::scratch::Scratch;

#[test]
fn a_run_begins_with_the_weights_of_a_file_and_trains_what_is_not_frozen() {
    let folder = Scratch::new("load");
    let path = folder.join("model.safetensors");
    let mut train = ResidentSource::new("train", synthetic::digits(1, 20));
    let mut test = ResidentSource::new("test", synthetic::digits(2, 4));
    let options = |seed| TrainOptions::default().batch_size(10).seed(seed);
    let (old, engine) = (LeNet5::new(7), CpuEngine::new());
    Trainer::new(old, Sgd::new(0.1), engine, options(1), &train).unwrap().save_model(&path).unwrap();

    let shapes = weights::shapes(&path).unwrap();
    assert_eq!(shapes.len(), 10);
    assert_eq!((&shapes["conv1.weight"], &shapes["fc3.weight"]), (&vec![6, 1, 5, 5], &vec![7, 84]));
    let whole = std::fs::read(&path).unwrap();

    let (new, engine) = (Freeze::all_but(LeNet5::new(10), |name| name.starts_with("fc3.")), CpuEngine::new());
    let mut trainer = Trainer::new(new, Sgd::new(0.1), engine, options(2), &train).unwrap();
    let values = |trainer: &mut Trainer, name: &str| trainer.engine().parameter(name).unwrap();
    let (first, own) = (values(&mut trainer, "conv1.weight"), values(&mut trainer, "fc3.weight"));
    let error = trainer.load_model(&path, &Load::strict()).unwrap_err().to_string();
    assert!(error.contains("\"fc3.weight\" is [7,84] of F32, expected [10,84] of F32"), "{error}");
    assert_eq!(values(&mut trainer, "conv1.weight"), first);
    trainer.load_model(&path, &Load::strict().skip("fc3.")).unwrap();
    let loaded = values(&mut trainer, "conv1.weight");
    assert!(loaded != first && values(&mut trainer, "fc3.weight") == own);
    trainer.fit(&mut train, &mut test).unwrap();
    assert!(values(&mut trainer, "conv1.weight") == loaded && values(&mut trainer, "fc3.weight") != own);

    // Frozen parameters are saved too.
    trainer.save_model(&path).unwrap();
    assert_eq!(weights::shapes(&path).unwrap()["fc3.weight"], [10, 84]);
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let error = weights::shapes(&path).unwrap_err().to_string();
    assert!(error.contains(path.to_str().unwrap()) && error.contains("no safetensors file"), "{error}");
    std::fs::remove_file(&path).unwrap();
    assert!(weights::shapes(&path).unwrap_err().to_string().contains(path.to_str().unwrap()));
}

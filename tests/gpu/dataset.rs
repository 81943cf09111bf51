//! Batches of a data set that are got ahead of the device: the numbers, and the training, of resident images.

use tilegrad::data::{Augment, BatchSource, DatasetSource, Normalisation, ResidentSource, UploadSource, shapes};
use tilegrad::nn::{Conv2d, Flatten, Linear, Module, Sequential};
use tilegrad::ops::activation::Activation::Relu;
use tilegrad::optim::Sgd;
use tilegrad::train::{GpuEngine, TrainOptions, Trainer};

use crate::check::device;

/// Losses and last parameters of a run on `source`.
fn train(model: &dyn Module, source: &mut dyn BatchSource, device: tilegrad::gpu::Device) -> (Vec<f32>, Vec<f32>) {
    let mut engine = GpuEngine::new(device);
    let options = TrainOptions { epochs: 2, batch_size: 16, seed: 3, ..TrainOptions::default() };
    let mut trainer = Trainer::new(model, Sgd::new(0.02).momentum(0.9), &mut engine, options, source).unwrap();
    let set = shapes::shapes(2, 20);
    let mut validation = DatasetSource::new("validation", set).normalised(Normalisation::CIFAR10);
    let losses = trainer.fit(source, &mut validation, &mut |_| {}).unwrap().losses;
    let weight = trainer.engine().parameter("fc.weight").unwrap();
    (losses, weight)
}

/// The kernel that collects resident images and the host that makes numbers of uploaded ones do the same, to the bit, for
/// whole runs with augmentation.
#[test]
fn a_run_on_a_data_set_ends_with_the_bits_of_one_on_resident_images() {
    let Some(device) = device() else { return };
    let set = shapes::shapes(1, 40);
    let model = Sequential::new()
        .with("conv", Conv2d::new(3, 4, 3).stride(2))
        .with("relu", Relu)
        .with("flatten", Flatten)
        .with("fc", Linear::new(4 * 15 * 15, 10));
    let augment = Augment::default();
    let mut resident = ResidentSource::new("train", set.clone()).normalised(Normalisation::CIFAR10).augmented(augment);
    let expected = train(&model, &mut resident, device.clone());
    assert_eq!(expected.0.len(), 6);
    let mut ahead = DatasetSource::new("train", set.clone()).normalised(Normalisation::CIFAR10).augmented(augment);
    assert_eq!(train(&model, &mut ahead, device.clone()), expected);
    let mut uploaded = UploadSource::new("train", set).normalised(Normalisation::CIFAR10).augmented(augment);
    assert_eq!(train(&model, &mut uploaded, device), expected);
}

/// Planned by hand, as a loop of one's own would.
#[test]
fn planned_batches_go_through_the_upload_ring() {
    use tilegrad::graph::{Stage, Tape};
    use tilegrad::train::Engine;
    let Some(device) = device() else { return };
    let set = shapes::shapes(3, 24);
    let batches: Vec<Vec<u32>> = (0..24).collect::<Vec<u32>>().chunks(8).map(<[u32]>::to_vec).collect();
    let run = |source: &mut dyn BatchSource| {
        let mut engine = GpuEngine::new(device.clone());
        let mut tape = Tape::new(false);
        let (input, _) = source.declare(&mut tape, 8).unwrap();
        let copy = tape.activation("copy", Relu, input).unwrap();
        tape.keep(copy);
        engine.initialise(&tape, 1).unwrap();
        source.prepare(&mut engine.sink(None)).unwrap();
        let program = engine.compile(tape).unwrap();
        source.plan(&batches);
        let step = |batch: &Vec<u32>| {
            source.feed(batch, &mut engine.sink(Some(program))).unwrap();
            engine.run(program, &[Stage::Gather, Stage::Forward]).unwrap();
            engine.read(program, copy).unwrap()
        };
        batches.iter().map(step).collect::<Vec<_>>()
    };
    let expected = run(&mut ResidentSource::new("set", set.clone()));
    assert_eq!(run(&mut DatasetSource::new("set", set)), expected);
}

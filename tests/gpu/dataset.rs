//! Batches of a data set that are got ahead of the device: the numbers, and the training, of resident images.

use std::sync::Arc;

use tilegrad::data::{Augment, BatchSource, DatasetSource, Normalisation, ResidentSource, epoch_batches, shapes};
use tilegrad::nn::{Conv2d, Flatten, Linear, Sequential};
use tilegrad::ops::activation::Activation::Relu;
use tilegrad::optim::Sgd;
use tilegrad::train::{GpuEngine, TrainOptions, Trainer};

use crate::check::{device, same_as_host};

/// Losses and last parameters of a run on `source`.
fn train(model: &Arc<Sequential>, source: &mut dyn BatchSource, device: tilegrad::gpu::Device) -> (Vec<f32>, Vec<f32>) {
    let engine = GpuEngine::new(device);
    let options = TrainOptions::default().epochs(2).batch_size(16).seed(3);
    let mut trainer = Trainer::new(Arc::clone(model), Sgd::new(0.02).momentum(0.9), engine, options, source).unwrap();
    let set = shapes::shapes(2, 20);
    let mut validation = DatasetSource::new("validation", set).normalised(Normalisation::CIFAR10);
    let losses = trainer.fit(source, &mut validation).unwrap().losses;
    let weight = trainer.engine().parameter("fc.weight").unwrap();
    (losses, weight)
}

/// The kernel that collects resident images and the host that makes numbers of uploaded ones do the same, to the bit on a
/// software device, for whole runs with augmentation.
#[test]
fn a_run_on_a_data_set_ends_with_the_bits_of_one_on_resident_images() {
    let Some(device) = device() else { return };
    let set = shapes::shapes(1, 40);
    let model = Arc::new(
        Sequential::new()
            .with("conv", Conv2d::new(3, 4, 3).stride(2))
            .with("relu", Relu)
            .with("flatten", Flatten)
            .with("fc", Linear::new(4 * 15 * 15, 10)),
    );
    let augment = Augment::default();
    let mut resident = ResidentSource::new("train", set.clone()).normalised(Normalisation::CIFAR10).augmented(augment);
    let expected = train(&model, &mut resident, device.clone());
    assert_eq!(expected.0.len(), 6);
    let same = |(losses, weight): (Vec<f32>, Vec<f32>), what: &str| {
        same_as_host(device, &losses, &expected.0, what);
        same_as_host(device, &weight, &expected.1, what);
    };
    let mut ahead = DatasetSource::new("train", set.clone()).normalised(Normalisation::CIFAR10).augmented(augment);
    same(train(&model, &mut ahead, device.clone()), "not announced");
    // The order that the trainer will ask for.
    ahead.plan(&[epoch_batches(40, 16, 3, 1), epoch_batches(40, 16, 3, 2)].concat());
    same(train(&model, &mut ahead, device.clone()), "announced");
    let mut uploaded = DatasetSource::new("train", set).normalised(Normalisation::CIFAR10).augmented(augment);
    same(train(&model, &mut uploaded, device.clone()), "ahead of none");
}

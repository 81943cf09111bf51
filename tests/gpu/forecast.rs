//! What is said before a run: its memory and dispatches, and the batch that fits where the one that was asked for does not.

use tilegrad::Error;
use tilegrad::data::{ImageSet, ResidentSource, synthetic};
use tilegrad::gpu::{Device, DeviceOptions};
use tilegrad::nn::models::LeNet5;
use tilegrad::nn::{AdaptiveAvgPool2d, Conv2d, Flatten, Linear, Sequential};
use tilegrad::optim::Sgd;
use tilegrad::shape::ImageSize;
use tilegrad::train::{Event, Flow, GpuEngine, TrainOptions, Trainer};

use crate::check::device;

#[test]
fn a_forecast_is_of_the_plan_that_runs() {
    let Some(device) = device() else { return };
    let mut train = ResidentSource::new("train", synthetic::digits(1, 64));
    let mut test = ResidentSource::new("test", synthetic::digits(2, 8));
    let (model, engine) = (LeNet5::new(10), GpuEngine::new(device.clone()));
    let options = TrainOptions::default().batch_size(64);
    let mut trainer = Trainer::new(model, Sgd::new(0.01), engine, options, &train).unwrap();
    let forecast = trainer.forecast(&train).unwrap().unwrap();
    // 64 images of LeNet-5: 416,520 products forward, all but the first layer's 117,600 twice more, that once.
    let forward: u64 = 64 * 416_520;
    assert_eq!(forecast.multiply_adds, 3 * forward - 64 * 117_600);
    assert!(forecast.fits() && forecast.milliseconds.is_some_and(|ms| ms > 0.0), "{forecast}");
    let mut memory = None;
    let mut look = |event: &Event<'_>, _: &mut Trainer| {
        if let Event::Ready(ready) = event {
            memory = *ready;
        }
        Ok(Flow::Continue)
    };
    trainer.fit_with(&mut train, &mut test, &mut [&mut look]).unwrap();
    assert_eq!(memory, Some(forecast.memory));
}

#[test]
fn what_does_not_fit_is_said_before_it_starts_with_the_batch_that_would() {
    if device().is_none() {
        return;
    }
    // A binding holds 128 MiB, and an image is one of the first layer's output: 64 channels of 64 by 64.
    let device = Device::new(DeviceOptions::default().default_limits(true)).unwrap();
    let images = ImageSet::new(vec![0; 200 * 64 * 64], vec![0; 200], ImageSize::new(64, 64, 1), 2).unwrap();
    let mut train = ResidentSource::new("train", images.clone());
    let mut test = ResidentSource::new("test", images.subset(&[0]));
    let model = Sequential::new()
        .with("conv", Conv2d::new(1, 64, 3).padding(1))
        .with("pool", AdaptiveAvgPool2d([1; 2]))
        .with("flatten", Flatten)
        .with("fc", Linear::new(64, 2));
    let engine = GpuEngine::new(device);
    let options = TrainOptions::default().batch_size(129);
    let mut trainer = Trainer::new(model, Sgd::new(0.01), engine, options, &train).unwrap();
    assert_eq!(trainer.largest_batch(&train).unwrap(), Some(128));
    trainer.on(|_: &Event<'_>, _: &mut Trainer| panic!("nothing has run"));
    let error = trainer.fit(&mut train, &mut test).unwrap_err();
    assert!(matches!(error, Error::Limit { .. }));
    assert!(error.to_string().contains("the largest batch size that fits is 128"), "{error}");
}

//! What data costs a step: training steps of the trainer over images that are collected, augmented, sent or decoded, beside
//! the same steps on one batch that stays where it is.

use std::borrow::Cow;
use std::io::Cursor;

use image::{ImageFormat, RgbImage};
use serde_json::json;
use tilegrad::Result;
use tilegrad::data::{
    Augmentation, Batch, BatchSink, BatchSource, ColorJitter, Dataset, DatasetSource, ImageSet, ResidentSource, shapes,
};
use tilegrad::error::Error;
use tilegrad::graph::{Spec, Tape, TensorId, Values};
use tilegrad::optim::Sgd;
use tilegrad::shape::ImageSize;
use tilegrad::train::{Event, Flow, GpuEngine, TrainOptions, Trainer};

use crate::Bench;
use crate::networks::Network;
use crate::report::ms;
use crate::timing::median;

/// Steps of an epoch, and how often all sources take turns; the median of their epochs counts.
const STEPS: usize = 6;
const ROUNDS: usize = 3;

/// One batch, sent once.
struct Fixed {
    images: ImageSet,
    sent: bool,
}

impl BatchSource for Fixed {
    fn name(&self) -> &str {
        "fixed"
    }

    fn len(&self) -> usize {
        self.images.len()
    }

    fn declare(&self, tape: &mut Tape, size: usize) -> Result<(TensorId, TensorId)> {
        let ImageSet { channels, height, width, .. } = self.images;
        let input = tape.input("input", Spec::f32([size, channels, height, width]))?;
        Ok((input, tape.input("target", Spec::i32([size]))?))
    }

    fn send(&mut self, batch: &Batch<'_>, sink: &mut dyn BatchSink) -> Result<()> {
        if !self.sent {
            let batch = self.images.subset(batch.indices());
            let values: Vec<f32> = batch.images.iter().map(|&byte| f32::from(byte) / 255.0).collect();
            sink.write("input", Values::F32(&values))?;
            sink.write("target", Values::I32(&batch.labels))?;
            self.sent = true;
        }
        Ok(())
    }
}

/// Images as JPEG files in memory, decoded when they are asked for.
struct Jpegs {
    files: Vec<Vec<u8>>,
    labels: Vec<i32>,
}

impl Dataset for Jpegs {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn image_size(&self) -> ImageSize {
        ImageSize::new(32, 32, 3)
    }

    fn classes(&self) -> usize {
        10
    }

    fn get(&self, i: usize) -> Result<(Cow<'_, [u8]>, i32)> {
        let decoded = image::load_from_memory_with_format(&self.files[i], ImageFormat::Jpeg);
        let image = decoded.map_err(|error| Error::data(format!("image {i}"), error.to_string()))?;
        Ok((image.into_rgb8().into_raw().into(), self.labels[i]))
    }
}

impl Jpegs {
    fn new(images: &ImageSet) -> Self {
        let encode = |i: usize| {
            let mut bytes = Cursor::new(Vec::new());
            let image = RgbImage::from_raw(32, 32, images.image(i).to_vec()).expect("images are 32x32");
            image.write_to(&mut bytes, ImageFormat::Jpeg).expect("memory can be written");
            bytes.into_inner()
        };
        Jpegs { files: (0..images.len()).map(encode).collect(), labels: images.labels.clone() }
    }
}

pub fn run(bench: &mut Bench) -> Result<()> {
    let network = bench.options.networks.first().copied().unwrap_or(Network::Resnet18);
    let batch = bench.batch();
    let title = format!("{}, batch {batch}: a training step by where its images come from", network.name());
    bench.report.table(&title, &[("images", -46), ("step ms", 9), ("of fixed", 9)]);
    if network.shape(1) != [1, 3, 32, 32] {
        bench.report.skip(network.name(), "this section is for images of 3x32x32");
        return Ok(());
    }
    let images = shapes::shapes(1, batch * STEPS);
    let everything = Augmentation {
        padding: 4,
        flip: 0.5,
        jitter: ColorJitter { brightness: 0.2, contrast: 0.2, saturation: 0.2 },
        cutout: 8,
        ..Augmentation::default()
    };
    let crop = Augmentation { padding: 4, flip: 0.5, ..Augmentation::default() };
    let resident = || ResidentSource::new("train", images.clone());
    let mut sources: Vec<(&str, Box<dyn BatchSource>)> = vec![
        ("one batch, which stays", Box::new(Fixed { images: images.clone(), sent: false })),
        ("on the device", Box::new(resident())),
        ("on the device, crop and flip", Box::new(resident().augmented(crop))),
        ("on the device, all augmentations", Box::new(resident().augmented(everything))),
        ("sent, all augmentations", Box::new(DatasetSource::new("train", images.clone()).augmented(everything))),
        (
            "JPEG decoded ahead, sent, all augmentations",
            Box::new(DatasetSource::new("train", Jpegs::new(&images)).augmented(everything)),
        ),
    ];
    let options = TrainOptions::default().epochs(ROUNDS + 1).batch_size(batch).report_every(1024);
    let mut trainers = Vec::new();
    for (_, source) in &sources {
        let (model, engine) = (network.model(bench.options.width as usize), GpuEngine::new(bench.device.clone()));
        trainers.push(Trainer::new(model, Sgd::new(0.01).momentum(0.9), engine, options, &**source)?);
    }
    let mut times = vec![Vec::new(); sources.len()];
    // The first round compiles.
    for round in 0..=ROUNDS {
        for ((trainer, (_, source)), times) in trainers.iter_mut().zip(&mut sources).zip(&mut times) {
            let mut one_epoch = |event: &Event<'_>, _: &mut Trainer| {
                Ok(if matches!(event, Event::Epoch(_)) { Flow::Stop } else { Flow::Continue })
            };
            let mut validation = ResidentSource::new("validation", images.subset(&[0, 1]));
            let history = trainer.fit_with(&mut **source, &mut validation, &mut [&mut one_epoch])?;
            if let Some(epoch) = history.epochs.last().filter(|_| round > 0) {
                times.push(batch as f64 / epoch.images_per_second * 1e3);
            }
        }
    }
    let fixed = median(&mut times[0].clone());
    for ((name, _), times) in sources.iter().zip(&mut times) {
        let step = median(times);
        bench.report.row(
            &[(*name).into(), ms(step), format!("{:.3}", step / fixed)],
            json!({"network": network.name(), "batch": batch, "images": name, "median_ms": step, "of_fixed": step / fixed}),
        );
    }
    Ok(())
}

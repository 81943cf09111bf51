//! Random resized crops: out of the photo where it is streamed, and out of an image with a margin where it is in memory.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use image::{Rgb, RgbImage};
use tilegrad::data::folder::{self, FolderOptions};
use tilegrad::data::images::{Pixels, Scaler};
use tilegrad::data::{
    Augmentation, Batch, BatchSink, BatchSource, Cut, Dataset, DatasetSource, ImageSet, Normalisation, ResidentSource,
    Resize, ResizedCrop, Subset, image_file, shapes,
};
use tilegrad::graph::{Stage, Tape};
use tilegrad::nn::{Flatten, Linear, Sequential};
use tilegrad::optim::Sgd;
use tilegrad::rng::{Rng, draw};
use tilegrad::shape::ImageSize;
use tilegrad::tensor::Values;
use tilegrad::train::{CpuEngine, Engine, Event, Flow, Sink, Snapshot, TrainOptions, Trainer};
use tilegrad::{Error, Result};

use crate::common::scratch::Scratch;

/// Two classes of photos of many sizes, full of detail.
fn photos(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    let rng = Rng::new(1, "photos");
    for i in 0..12 {
        let (width, height) = (30 + 7 * i, 90 - 5 * i);
        let byte = |x: u32, y: u32, c: u32| (rng.words(u64::from(x * 991 + y * 7 + c + i * 77))[0] >> 24) as u8;
        let photo = RgbImage::from_fn(width, height, |x, y| Rgb([byte(x, y, 0), byte(x / 3, y, 1), (x + y) as u8]));
        photo.save(scratch.path(&format!("in/{}/{i:02}.png", if i % 2 == 0 { "ant" } else { "bee" }))).unwrap();
    }
    scratch
}

fn crops() -> Augmentation {
    Augmentation { resized_crop: Some(ResizedCrop::default()), ..Augmentation::default() }
}

/// What a source sends.
#[derive(Default)]
struct Fed(Vec<f32>);

impl BatchSink for Fed {
    fn tape(&self) -> Option<&Tape> {
        None
    }

    fn set_resident(&mut self, _: &str, _: &ImageSet) -> Result<()> {
        Ok(())
    }

    fn write(&mut self, _: &str, values: Values<'_>) -> Result<()> {
        if let Values::F32(values) = values {
            self.0 = values.to_vec();
        }
        Ok(())
    }
}

fn feed(source: &mut dyn BatchSource, batch: Batch<'_>) -> Vec<f32> {
    let mut fed = Fed::default();
    source.feed(&batch, &mut fed).unwrap();
    fed.0
}

/// Numbers 0..255 in place of 0..1.
const BYTES: Normalisation = Normalisation { scale: [1.0; 4], shift: [0.0; 4] };

fn channels_first(bytes: &[u8], channels: usize) -> Vec<f32> {
    (0..channels).flat_map(|c| bytes.iter().skip(c).step_by(channels).map(|&byte| f32::from(byte))).collect()
}

#[test]
fn a_streamed_box_is_cut_from_the_photo_and_then_scaled() {
    let scratch = photos("crops-streamed");
    for cached in [false, true] {
        let cache = cached.then(|| scratch.join("cache"));
        let options = FolderOptions::default().resize(Resize::crop(24)).test(0.0).cache(cache);
        let train = Arc::new(folder::open(&scratch.join("in"), &options).unwrap().train);
        let source = DatasetSource::new("train", Arc::clone(&train)).normalised(BYTES);
        let mut source = source.augmented(Augmentation { flip: 1.0, ..crops() });
        let indices: Vec<u32> = (0..train.len() as u32).rev().collect();
        let mut enlarged = 0;
        for step in 0..5 {
            let random = draw(3, step);
            let fed = feed(&mut source, Batch::train(&indices, random));
            for (&index, actual) in indices.iter().zip(fed.chunks_exact(3 * 24 * 24)) {
                let photo = image_file(train.path(index as usize).unwrap(), &Default::default()).unwrap();
                let ImageSize { height, width, .. } = photo.size();
                let drawn = crops().draw(&random, index, [height, width]);
                enlarged += i32::from(drawn.height < 24 || drawn.width < 24);
                let [top, left, rows, columns] = [drawn.top, drawn.left, drawn.height, drawn.width].map(|i| i as u32);
                let photo = RgbImage::from_raw(width as u32, height as u32, photo.into_bytes()).unwrap();
                let cut = image::imageops::crop_imm(&photo, left, top, columns, rows).to_image().into_raw();
                let cut = Pixels::new(ImageSize::new(rows as usize, columns as usize, 3), cut).unwrap();
                let scaled = Scaler::new().resize(&cut, Resize::stretch(24, 24)).unwrap().into_bytes();
                let flipped = image::imageops::flip_horizontal(&RgbImage::from_raw(24, 24, scaled).unwrap()).into_raw();
                assert!(actual == channels_first(&flipped, 3), "step {step}, image {index}: {drawn:?}");
            }
        }
        assert!(enlarged > 0);
        // Evaluation sees whole images.
        let whole = feed(&mut source, Batch::evaluate(&[1]));
        assert_eq!(whole, channels_first(&train.get(1).unwrap().0, 3));
    }
}

/// Photos that count how often a box of them is asked for.
struct Counted(Subset<tilegrad::data::FolderDataset>, Arc<AtomicUsize>);

impl Dataset for Counted {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn image_size(&self) -> ImageSize {
        self.0.image_size()
    }

    fn classes(&self) -> usize {
        self.0.classes()
    }

    fn get(&self, i: usize) -> Result<(Cow<'_, [u8]>, i32)> {
        self.0.get(i)
    }

    fn get_cut(&self, i: usize, to: [usize; 2], cut: &Cut<'_>) -> Result<Option<(Vec<u8>, i32)>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.get_cut(i, to, cut)
    }
}

/// Losses of a run on streamed boxes that stops after `stop` steps and goes on; each box is read once.
fn streamed(dir: &Path, stop: Option<u32>) -> Vec<f32> {
    let options = FolderOptions::default().resize(Resize::crop(8)).test(0.0).validation(0.0);
    let train = folder::open(dir, &options).unwrap().train;
    let count = Arc::new(AtomicUsize::new(0));
    let mut source = DatasetSource::new("train", Counted(train, Arc::clone(&count))).augmented(crops());
    let mut validation = ResidentSource::new("none", shapes::shapes(1, 10).subset(&[]));
    let trainer = |source: &DatasetSource| {
        let model = Sequential::new().with("flatten", Flatten).with("fc", Linear::new(3 * 8 * 8, 2));
        let options = TrainOptions::default().epochs(3).batch_size(5).seed(7);
        Trainer::new(model, Sgd::new(0.1), CpuEngine::new(), options, source).unwrap()
    };
    let mut first = trainer(&source);
    let Some(stop) = stop else {
        let losses = first.fit(&mut source, &mut validation).unwrap().losses;
        assert_eq!(count.load(Ordering::SeqCst), 3 * 12, "what is read ahead is what is fed");
        return losses;
    };
    let mut stopping = |event: &Event<'_>, _: &mut Trainer| match event {
        Event::Step { steps, .. } if *steps == stop => Ok(Flow::Stop),
        _ => Ok(Flow::Continue),
    };
    first.fit_with(&mut source, &mut validation, &mut [&mut stopping]).unwrap();
    let snapshot: Arc<Snapshot> = first.snapshot().unwrap();
    let mut second = trainer(&source);
    second.restore(&snapshot, Path::new("snapshot")).unwrap();
    second.fit(&mut source, &mut validation).unwrap().losses
}

#[test]
fn a_run_on_streamed_boxes_goes_on_to_the_bit() {
    let scratch = photos("crops-resumed");
    let expected = streamed(&scratch.join("in"), None);
    assert_eq!(expected.len(), 9);
    for stop in [1, 3, 5] {
        assert_eq!(streamed(&scratch.join("in"), Some(stop)), expected, "stopped after {stop}");
    }
}

#[test]
fn training_images_in_memory_keep_a_margin_and_the_others_none() {
    let scratch = photos("crops-margin");
    let dir = scratch.join("in");
    let plain = FolderOptions::default().resize(Resize::crop(21)).test(0.25).validation(0.25);
    let larger = Resize::crop(21).with_margin().without_crop();
    let expected = folder::read(&dir, &plain).unwrap();
    let margin = folder::read(&dir, &plain.clone().resize(larger)).unwrap();
    for options in [plain.clone(), plain.clone().cache(scratch.join("cache")), plain.clone().skip_bad(true)] {
        let options = options.train_resize(larger);
        for read in [folder::read(&dir, &options).unwrap(), folder::read(&dir, &options).unwrap()] {
            assert_eq!(read.train.image_size(), ImageSize::new(24, 24, 3));
            assert_eq!(read.train, margin.train);
            assert_eq!((read.validation, read.test), (expected.validation.clone(), expected.test.clone()));
        }
    }
    let error = folder::read(&dir, &plain.resize(None).train_resize(larger)).unwrap_err();
    assert!(matches!(&error, Error::Config { field, .. } if field == "train_resize"), "{error}");
}

/// What an engine sees of a resident set.
fn resident(source: &mut dyn BatchSource, batch: Batch<'_>) -> (Vec<usize>, Vec<f32>) {
    let mut engine = CpuEngine::new();
    let mut tape = Tape::new(batch.purpose());
    let (input, _) = source.declare(&mut tape, batch.indices().len()).unwrap();
    let shape = tape.shape(input).dims().to_vec();
    engine.initialise(&tape, 1).unwrap();
    source.prepare(&mut Sink::resident(&mut engine)).unwrap();
    let program = engine.compile(tape).unwrap();
    source.feed(&batch, &mut Sink::step(&mut engine, program)).unwrap();
    engine.run(program, &[Stage::Gather]).unwrap();
    (shape, engine.read(program, input).unwrap())
}

#[test]
fn a_box_of_a_larger_image_has_the_outputs_size_and_evaluation_its_centre() {
    // Two ramps: where a pixel of the output lies in the image can be read off it.
    let (height, width) = (40, 30);
    let ramp = (0..height * width).flat_map(|i| [(i / width * 6) as u8, (i % width * 8) as u8, 9]).collect();
    let set = ImageSet::new(ramp, vec![0], ImageSize::new(height, width, 3), 1).unwrap();
    let output = [7, 11];
    let values = 3 * output[0] * output[1];
    let mut source = ResidentSource::new("set", set.clone()).normalised(BYTES).augmented(crops()).output_size(output);
    let mut uploaded = DatasetSource::new("set", set.clone()).normalised(BYTES).augmented(crops()).output_size(output);
    for step in 0..20 {
        let random = draw(1, step);
        let (shape, seen) = resident(&mut source, Batch::train(&[0], random));
        assert_eq!((shape, seen.len()), (vec![1, 3, 7, 11], values));
        let drawn = crops().draw(&random, 0, [height, width]);
        for (i, &value) in seen[..2 * 77].iter().enumerate() {
            let (place, begin, extent, to, step) = match i / 77 {
                0 => (i % 77 / 11, drawn.top, drawn.height, 7.0, 6.0),
                _ => (i % 11, drawn.left, drawn.width, 11.0, 8.0),
            };
            let within = ((place as f32 + 0.5) * extent as f32 / to - 0.5).clamp(0.0, extent as f32 - 1.0);
            let expected = step * (begin as f32 + within);
            assert!((value - expected).abs() < 0.1, "{drawn:?} {i}: {value} {expected}");
        }
        assert_eq!(feed(&mut uploaded, Batch::train(&[0], random)), seen);
    }
    let centre = set.clone().center_crop(output);
    let (_, expected) = resident(&mut ResidentSource::new("set", centre).normalised(BYTES), Batch::evaluate(&[0]));
    assert_eq!(resident(&mut source, Batch::evaluate(&[0])), (vec![1, 3, 7, 11], expected.clone()));
    assert_eq!(feed(&mut uploaded, Batch::evaluate(&[0])), expected);
    // Round(33 / 2) rows and 9 columns are left out before it.
    assert_eq!([expected[0], expected[77]], [16.0 * 6.0, 9.0 * 8.0]);
    // The images' own size changes no bit.
    let plain = |source: ResidentSource| source.augmented(Augmentation { flip: 0.5, padding: 2, ..Default::default() });
    let batch = || Batch::train(&[0, 0, 0], draw(5, 5));
    let own = plain(ResidentSource::new("set", set.clone())).output_size([height, width]);
    let of = |mut source: ResidentSource| {
        let mut tape = Tape::new(batch().purpose());
        source.declare(&mut tape, 3).unwrap();
        (
            tape.nodes().iter().map(|node| node.op.name()).collect::<Vec<_>>(),
            source.send(&batch(), &mut Fed::default()).is_ok(),
        )
    };
    assert_eq!(of(own), of(plain(ResidentSource::new("set", set))));
}

//! Data sets of a program's own, and the batches that are got of them ahead of the device.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tilegrad::data::{
    Augment, Batch, BatchSink, BatchSource, Dataset, DatasetSource, ImageSet, Normalisation, ResidentSource, Subset,
    epoch_batches, shapes,
};
use tilegrad::graph::{Tape, Values};
use tilegrad::nn::{Flatten, Linear, Sequential};
use tilegrad::optim::Sgd;
use tilegrad::rng::draw;
use tilegrad::shape::ImageSize;
use tilegrad::train::{CpuEngine, TrainOptions, Trainer};
use tilegrad::{Error, Result};

/// What has been fed.
#[derive(Default)]
struct Fed {
    images: Vec<f32>,
    labels: Vec<i32>,
}

impl BatchSink for Fed {
    fn set_resident(&mut self, _: &str, _: &ImageSet) -> Result<()> {
        panic!("these images stay on the host")
    }

    fn tape(&self) -> Option<&Tape> {
        None
    }

    fn write(&mut self, _: &str, values: Values<'_>) -> Result<()> {
        match values {
            Values::F32(values) => self.images = values.to_vec(),
            Values::I32(values) => self.labels = values.to_vec(),
            _ => panic!("images and labels are expected"),
        }
        Ok(())
    }
}

fn feed(source: &mut dyn BatchSource, random: Option<[i32; 4]>, batch: &[u32]) -> Result<(Vec<f32>, Vec<i32>)> {
    let mut fed = Fed::default();
    let batch = random.map_or(Batch::evaluate(batch), |random| Batch::train(batch, random));
    source.feed(&batch, &mut fed)?;
    Ok((fed.images, fed.labels))
}

/// Shapes that count how often they are asked for, and can be held up.
struct Gated {
    set: ImageSet,
    asked: AtomicUsize,
    gate: Mutex<()>,
    bad: Option<usize>,
}

impl Gated {
    fn new(count: usize) -> Self {
        Gated { set: shapes::shapes(1, count), asked: AtomicUsize::new(0), gate: Mutex::new(()), bad: None }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Dataset for Gated {
    fn len(&self) -> usize {
        self.set.len()
    }

    fn image_size(&self) -> ImageSize {
        self.set.image_size()
    }

    fn classes(&self) -> usize {
        self.set.classes
    }

    fn get(&self, i: usize) -> Result<(Cow<'_, [u8]>, i32)> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        drop(self.gate.lock().unwrap());
        if self.bad == Some(i) {
            return Err(Error::data(format!("image-{i}.jpg"), "is no image that can be read"));
        }
        Ok((Cow::Owned(self.set.image(i).to_vec()), self.set.labels[i]))
    }
}

#[test]
fn batches_got_ahead_are_those_that_are_uploaded_to_the_bit() {
    let set = shapes::shapes(2, 60);
    for (planned, augment) in [(true, true), (true, false), (false, true)] {
        let mut expected = DatasetSource::new("set", set.clone()).ahead(0).normalised(Normalisation::CIFAR10);
        let gated = Gated { set: set.clone(), ..Gated::new(0) };
        let mut source = DatasetSource::new("set", gated).normalised(Normalisation::CIFAR10);
        if augment {
            expected = expected.augmented(Augment::default());
            source = source.augmented(Augment::default());
        }
        for epoch in 0..2 {
            let batches = epoch_batches(60, 16, 1, epoch);
            if planned {
                source.plan(&plain(&batches));
            }
            for (step, batch) in batches.iter().enumerate() {
                let random = Some(draw(5, step as u32));
                assert_eq!(feed(&mut source, random, batch).unwrap(), feed(&mut expected, random, batch).unwrap());
                // What nothing is drawn for is evaluated, and was not planned.
                assert_eq!(feed(&mut source, None, &[7, 7]).unwrap(), feed(&mut expected, None, &[7, 7]).unwrap());
            }
        }
    }
}

/// The trainer gives all sources the same random numbers.
#[test]
fn a_run_on_a_data_set_is_that_on_resident_images() {
    let set = shapes::shapes(1, 40);
    let fit = |source: &mut dyn BatchSource| {
        let model = Sequential::new().with("flatten", Flatten).with("fc", Linear::new(3 * 32 * 32, 10));
        let engine = CpuEngine::new();
        let options = TrainOptions::default().epochs(2).batch_size(16).seed(3);
        let mut trainer = Trainer::new(model, Sgd::new(0.01), engine, options, source).unwrap();
        let mut validation = DatasetSource::new("validation", set.clone());
        trainer.fit(source, &mut validation).unwrap().losses
    };
    let expected = fit(&mut ResidentSource::new("train", set.clone()).augmented(Augment::default()));
    let actual = fit(&mut DatasetSource::new("train", set.clone()).augmented(Augment::default()));
    assert_eq!(expected.len(), 6);
    assert_eq!(expected, actual);
}

/// Announces these batches as they are evaluated.
fn plain(batches: &[Vec<u32>]) -> Vec<Batch<'_>> {
    batches.iter().map(|batch| Batch::evaluate(batch)).collect()
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn images_are_got_before_they_are_fed_but_not_without_end() {
    let gated = Arc::new(Gated::new(64));
    let mut source = DatasetSource::new("set", Arc::clone(&gated)).ahead(2);
    let batches = epoch_batches(64, 4, 1, 1);
    source.plan(&plain(&batches));
    // Two wait, and a third is ready and finds no room.
    wait_for("three batches", || gated.asked() == 12);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(gated.asked(), 12);
    feed(&mut source, None, &batches[0]).unwrap();
    wait_for("one more", || gated.asked() == 16);
    // Another plan ends this one, and what has been got for it is let go.
    source.plan(&plain(&batches[8..9]));
    wait_for("the other plan", || gated.asked() == 20);
    feed(&mut source, None, &batches[8]).unwrap();
    assert_eq!(gated.asked(), 20);
    // Past its end batches are got when they are fed.
    feed(&mut source, None, &batches[9]).unwrap();
    assert_eq!(gated.asked(), 24);
    // And a source may go at any time.
    source.plan(&plain(&batches));
    drop(source);
}

/// What is ready is fed at once, even while no image can be had: the device need not wait for a slow one.
#[test]
fn a_batch_that_is_ready_waits_for_no_image() {
    let gated = Arc::new(Gated::new(64));
    let mut source = DatasetSource::new("set", Arc::clone(&gated)).ahead(2);
    let batches = epoch_batches(64, 4, 1, 1);
    source.plan(&plain(&batches));
    wait_for("three batches", || gated.asked() == 12);
    let closed = gated.gate.lock().unwrap();
    let fed: Vec<_> = batches[..3].iter().map(|batch| feed(&mut source, None, batch).unwrap().1).collect();
    assert_eq!(fed[2], batches[2].iter().map(|&i| gated.set.labels[i as usize]).collect::<Vec<_>>());
    drop(closed);
    feed(&mut source, None, &batches[3]).unwrap();
}

#[test]
fn an_error_of_a_worker_reaches_feed_and_names_the_file() {
    let gated = Gated { bad: Some(21), ..Gated::new(32) };
    let mut source = DatasetSource::new("set", gated);
    let batches: Vec<Vec<u32>> = (0..32).collect::<Vec<u32>>().chunks(8).map(<[u32]>::to_vec).collect();
    for planned in [true, false] {
        if planned {
            source.plan(&plain(&batches));
        }
        feed(&mut source, None, &batches[0]).unwrap();
        feed(&mut source, None, &batches[1]).unwrap();
        let error = feed(&mut source, None, &batches[2]).unwrap_err();
        assert_eq!(error.to_string(), "image-21.jpg: is no image that can be read");
        // The others can still be had.
        feed(&mut source, None, &batches[3]).unwrap();
    }
    let error = feed(&mut source, None, &[32]).unwrap_err().to_string();
    assert_eq!(error, "batch: image 32 of a data set of 32");
    source.plan(&plain(&[vec![0], vec![32]]));
    assert!(feed(&mut source, None, &[32]).is_err());
}

/// A data set that is not what it says.
struct Odd {
    bytes: usize,
    label: i32,
}

impl Dataset for Odd {
    fn len(&self) -> usize {
        3
    }

    fn image_size(&self) -> ImageSize {
        ImageSize::new(2, 2, 1)
    }

    fn classes(&self) -> usize {
        2
    }

    fn get(&self, _: usize) -> Result<(Cow<'_, [u8]>, i32)> {
        Ok((Cow::Owned(vec![1; self.bytes]), self.label))
    }
}

#[test]
fn images_of_another_size_or_class_than_was_said_are_refused() {
    let collect = |bytes, label| ImageSet::collect(&Odd { bytes, label }).map(|set| set.labels);
    assert_eq!(collect(4, 1).unwrap(), [1, 1, 1]);
    let message = |bytes, label| collect(bytes, label).unwrap_err().to_string();
    assert_eq!(message(5, 0), "data set: image 0 has 5 bytes, 2x2x1 are expected");
    assert_eq!(message(4, 2), "data set: image 0 has label 2, there are 2 classes");
    assert_eq!(message(4, -1), "data set: image 0 has label -1, there are 2 classes");
    let error = feed(&mut DatasetSource::new("odd", Odd { bytes: 3, label: 0 }), None, &[1]).unwrap_err().to_string();
    assert_eq!(error, "data set: image 1 has 3 bytes, 2x2x1 are expected");
}

#[test]
fn subsets_share_the_whole_and_split_as_sets_in_memory_do() {
    let set = shapes::shapes(1, 30);
    let named = set.clone().named((0..10).map(|i| format!("class {i}"))).unwrap();
    let (training, validation) = named.split_validation(0.3, 4).unwrap();
    let (train, held_out) = Subset::split(Arc::new(named.clone()), 0.3, 4).unwrap();
    assert_eq!(ImageSet::collect(&train).unwrap(), training);
    assert_eq!(ImageSet::collect(&held_out).unwrap(), validation);
    assert_eq!((train.class_names().len(), train.whole().len()), (10, 30));
    let part = Subset::new(Arc::new(set.clone()), vec![4, 2]).unwrap();
    assert_eq!((part.get(1).unwrap().0.into_owned(), part.indices()), (set.image(2).to_vec(), &[4, 2][..]));
    assert_eq!(part.get(2).unwrap_err().to_string(), "data set: image 2 of a data set of 2");
    assert!(Subset::new(Arc::new(set), vec![30]).is_err());
    assert!(Subset::split(Arc::new(named), 0.0, 4).is_err());
}

/// A panic of a user's own data set is seen where the batch is fed, and does not hang or get lost.
#[test]
fn a_panic_of_a_data_set_comes_to_the_one_who_feeds() {
    struct Panics(Mutex<usize>);
    impl Dataset for Panics {
        fn len(&self) -> usize {
            8
        }

        fn image_size(&self) -> ImageSize {
            ImageSize::new(1, 1, 1)
        }

        fn classes(&self) -> usize {
            1
        }

        fn get(&self, i: usize) -> Result<(Cow<'_, [u8]>, i32)> {
            assert!(i < 4, "no such image");
            *self.0.lock().unwrap() += 1;
            Ok((Cow::Owned(vec![0]), 0))
        }
    }
    let mut source = DatasetSource::new("set", Panics(Mutex::new(0)));
    source.plan(&plain(&[vec![0, 1], vec![5]]));
    feed(&mut source, None, &[0, 1]).unwrap();
    let fed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| feed(&mut source, None, &[5])));
    assert!(fed.is_err());
}

//! Losses of a program's own under the library's trainer: two heads, one a pixel, a regression; and what a trainer owns.

use std::path::PathBuf;
use std::sync::mpsc::channel;

use tilegrad::Result;
use tilegrad::data::{Batch, BatchSink, BatchSource, ResidentSource, synthetic};
use tilegrad::graph::{Spec, Tape, TensorId, Values};
use tilegrad::nn::{Conv2d, Flatten, Linear, Module, Reduction, Relu, Sequential};
use tilegrad::ops::mixup::Mixup;
use tilegrad::optim::{Mode, Optimizer, ParamGroup, Rates, ReduceLrOnPlateau, Schedule, Sgd, Update};
use tilegrad::train::{
    Callback, Checkpoints, Classes, CpuEngine, CrossEntropyLoss, EarlyStopping, Event, Flow, KeepBest, Loss, Monitor,
    Objective, TrainOptions, Trainer,
};

/// Squares of gray, some with a bright half: the class of each pixel, and how bright the image is.
struct Squares(&'static str, usize);

const SIZE: usize = 6;

impl Squares {
    fn image(i: u32) -> [f32; SIZE * SIZE] {
        let bright = i as usize % SIZE;
        std::array::from_fn(|pixel| if pixel % SIZE < bright { 1.0 } else { 0.1 * (i % 3) as f32 })
    }
}

impl BatchSource for Squares {
    fn name(&self) -> &str {
        self.0
    }
    fn len(&self) -> usize {
        self.1
    }
    fn declare(&self, tape: &mut Tape, size: usize) -> Result<(TensorId, TensorId)> {
        let input = tape.input("input", Spec::f32([size, 1, SIZE, SIZE]))?;
        Ok((input, tape.input("target", Spec::i32([size, SIZE, SIZE]))?))
    }
    fn send(&mut self, batch: &Batch<'_>, sink: &mut dyn BatchSink) -> Result<()> {
        let images: Vec<f32> = batch.indices().iter().flat_map(|&i| Squares::image(i)).collect();
        let classes: Vec<i32> = images.iter().map(|&value| i32::from(value > 0.5)).collect();
        sink.write("input", Values::F32(&images))?;
        sink.write("target", Values::I32(&classes))
    }
}

fn options(epochs: usize) -> TrainOptions {
    TrainOptions::default().epochs(epochs).batch_size(8).seed(3)
}

fn segmenter() -> Sequential {
    Sequential::new()
        .with("conv", Conv2d::new(1, 4, 3).padding(1))
        .with("relu", Relu)
        .with("head", Conv2d::new(4, 2, 1))
}

#[test]
fn every_pixel_has_a_class() {
    let (mut train, mut validation) = (Squares("train", 32), Squares("validation", 12));
    let sgd = Sgd::new(0.5).momentum(0.9);
    let loss = CrossEntropyLoss::default();
    let mut trainer = Trainer::with_loss(segmenter(), loss, sgd, CpuEngine::new(), options(12), &train).unwrap();
    let history = trainer.fit(&mut train, &mut validation).unwrap();
    let last = history.epochs.last().unwrap();
    assert!(last.validation_accuracy > 0.95 && last.validation_loss < 0.2, "{last:?}");
    // Pixels are counted, not images.
    let confusion = trainer.confusion().unwrap();
    assert_eq!(confusion.counts.iter().sum::<u64>(), 12 * (SIZE * SIZE) as u64);
    let mixed = CrossEntropyLoss { mixup: Some(Mixup { alpha: 0.2 }), ..CrossEntropyLoss::default() };
    let refused = Trainer::with_loss(segmenter(), mixed, Sgd::new(0.5), CpuEngine::new(), options(1), &train);
    assert!(refused.err().unwrap().to_string().starts_with("mixup: mixes images"));
}

/// The same squares with two targets: how many columns are bright, and the mean of all pixels.
struct Counted(&'static str, usize);

impl BatchSource for Counted {
    fn name(&self) -> &str {
        self.0
    }
    fn len(&self) -> usize {
        self.1
    }
    fn declare(&self, tape: &mut Tape, size: usize) -> Result<(TensorId, TensorId)> {
        let input = tape.input("input", Spec::f32([size, 1, SIZE, SIZE]))?;
        tape.input("mean", Spec::f32([size, 1]))?;
        Ok((input, tape.input("columns", Spec::i32([size]))?))
    }
    fn send(&mut self, batch: &Batch<'_>, sink: &mut dyn BatchSink) -> Result<()> {
        let images: Vec<[f32; SIZE * SIZE]> = batch.indices().iter().map(|&i| Squares::image(i)).collect();
        let means: Vec<f32> = images.iter().map(|image| image.iter().sum::<f32>() / image.len() as f32).collect();
        let columns: Vec<i32> = batch.indices().iter().map(|&i| i as i32 % SIZE as i32).collect();
        sink.write("input", Values::F32(images.as_flattened()))?;
        sink.write("mean", Values::F32(&means))?;
        sink.write("columns", Values::I32(&columns))
    }
}

/// Two heads side by side in the output: a class for the columns, a number for the mean.
struct TwoHeads;

impl TwoHeads {
    fn error(tape: &mut Tape, output: TensorId) -> Result<TensorId> {
        let mean = tape.find_input("mean").expect("the source declares it");
        let predicted = tape.narrow("predicted", output, SIZE, 1)?;
        tape.mse_loss("error", predicted, mean, Reduction::Mean)
    }
}

impl Loss for TwoHeads {
    fn loss(&self, tape: &mut Tape, output: TensorId, target: TensorId) -> Result<TensorId> {
        let columns = tape.narrow("columns", output, 0, SIZE)?;
        let class = tape.softmax_cross_entropy("class", columns, target, None, Default::default())?.loss;
        let error = TwoHeads::error(tape, output)?;
        tape.add("loss", class, error)
    }

    fn metrics(&self, tape: &mut Tape, output: TensorId, _target: TensorId) -> Result<Vec<(String, TensorId)>> {
        Ok(vec![("mean_error".into(), TwoHeads::error(tape, output)?)])
    }
}

fn two_heads() -> Sequential {
    Sequential::new()
        .with("flatten", Flatten)
        .with("trunk", Linear::new(SIZE * SIZE, 16))
        .with("relu", Relu)
        .with("heads", Linear::new(16, SIZE + 1))
}

#[test]
fn two_heads_with_a_target_each_are_trained_measured_and_resumed() {
    let (mut train, mut validation) = (Counted("train", 48), Counted("validation", 20));
    let sgd = || Sgd::new(0.05).momentum(0.9);
    let trainer = |epochs| {
        Trainer::with_loss(two_heads(), TwoHeads, sgd(), CpuEngine::new(), options(epochs), &Counted("train", 48))
            .unwrap()
    };
    let mut whole = trainer(20);
    let history = whole.fit(&mut train, &mut validation).unwrap();
    let (first, last) = (&history.epochs[0], &history.epochs[19]);
    assert!(last.validation_loss < 0.3 * first.validation_loss, "{first:?} {last:?}");
    assert!(last.validation_accuracy.is_nan() && last.metrics[0].name == "mean_error");
    // The metric is the mean over all images, whatever the last batch's size.
    let tested = whole.evaluate(&mut validation).unwrap();
    assert_eq!(tested.others, [("mean_error".to_string(), last.metrics[0].validation)]);
    assert!(last.metrics[0].validation < 0.05 && last.metrics[0].train > 0.0, "{last:?}");
    let csv = history.to_csv();
    assert!(csv.starts_with("epoch,train_loss,") && csv.contains("train_mean_error,validation_mean_error,seconds"));

    // Stopped in the middle of an epoch, and on from the file to the same bits.
    let folder = Folder::new();
    let mut half = trainer(20);
    let mut stop = |event: &Event<'_>, _: &mut Trainer| {
        Ok(if matches!(event, Event::Step { steps: 9, .. }) { Flow::Stop } else { Flow::Continue })
    };
    let mut checkpoints = Checkpoints::new(&folder.0).unwrap();
    half.fit_with(&mut train, &mut validation, &mut [&mut stop, &mut checkpoints]).unwrap();
    let found = Checkpoints::latest(&folder.0).unwrap().unwrap();
    assert_eq!((found.snapshot.run().steps, found.snapshot.run().batch), (9, 3));
    let mut rest = trainer(20);
    rest.restore(&found.snapshot, &found.path).unwrap();
    let resumed = rest.fit(&mut train, &mut validation).unwrap();
    assert_eq!(resumed.losses, history.losses);
    for (resumed, expected) in resumed.epochs.iter().zip(&history.epochs) {
        assert_eq!((resumed.train_loss, &resumed.metrics), (expected.train_loss, &expected.metrics));
    }
    let refused = whole.confusion().unwrap_err().to_string();
    assert!(refused.contains("evaluate.confusion"), "{refused}");
}

/// [`TwoHeads`] with the predictions of the head that has classes.
struct Counting;

impl Loss for Counting {
    fn loss(&self, tape: &mut Tape, output: TensorId, target: TensorId) -> Result<TensorId> {
        TwoHeads.loss(tape, output, target)
    }

    fn append(&self, tape: &mut Tape, model: &dyn Module, input: TensorId, target: TensorId) -> Result<Objective> {
        let output = model.forward(tape, input)?;
        let loss = self.loss(tape, output, target)?;
        let logits = tape.narrow("logits", output, 0, SIZE)?;
        let counts = tape.softmax_cross_entropy("counted", logits, target, None, Default::default())?;
        Ok(Objective { loss, classes: Some(Classes { counts, logits, target }), metrics: Vec::new() })
    }
}

/// What is reported is what is minimised, though only one head predicts classes.
#[test]
fn the_loss_of_a_head_that_counts_is_not_taken_for_the_whole() {
    let (mut train, mut validation) = (Counted("train", 48), Counted("validation", 20));
    let sgd = || Sgd::new(0.05).momentum(0.9);
    let mut plain = Trainer::with_loss(two_heads(), TwoHeads, sgd(), CpuEngine::new(), options(3), &train).unwrap();
    let mut counting = Trainer::with_loss(two_heads(), Counting, sgd(), CpuEngine::new(), options(3), &train).unwrap();
    let expected = plain.fit(&mut train, &mut validation).unwrap();
    let history = counting.fit(&mut train, &mut validation).unwrap();
    assert_eq!(history.losses, expected.losses);
    for (epoch, expected) in history.epochs.iter().zip(&expected.epochs) {
        assert_eq!((epoch.train_loss, epoch.validation_loss), (expected.train_loss, expected.validation_loss));
        assert!((0.0..=1.0).contains(&epoch.validation_accuracy), "{epoch:?}");
    }
    assert_eq!(counting.confusion().unwrap().counts.iter().sum::<u64>(), 20);
}

/// Nothing waits for an accuracy that never comes.
#[test]
fn a_setting_that_looks_at_an_accuracy_is_refused_where_there_is_none() {
    let (mut train, mut validation) = (Counted("train", 48), Counted("validation", 20));
    let trainer = |options| {
        Trainer::with_loss(two_heads(), TwoHeads, Sgd::new(0.05), CpuEngine::new(), options, &Counted("train", 48))
            .unwrap()
    };
    let mut message = |mut trainer: Trainer, lent: &mut [&mut dyn Callback]| {
        trainer.fit_with(&mut train, &mut validation, lent).unwrap_err().to_string()
    };
    let what = "looks at the accuracy, and the loss predicts no classes: look at the validation loss";
    let accuracy = EarlyStopping::new(2).monitor(Monitor::ValidationAccuracy);
    let stopped = message(trainer(options(2).early_stopping(accuracy)), &mut []);
    assert_eq!(stopped, format!("early_stopping: {what}"));
    let plateau = Schedule::new(&Sgd::new(0.05), ReduceLrOnPlateau::new().mode(Mode::Max)).unwrap();
    assert_eq!(message(trainer(options(2)).schedule(plateau), &mut []), format!("schedule: {what}"));
    let mut best = KeepBest::new("nowhere", Monitor::ValidationAccuracy);
    assert_eq!(message(trainer(options(2)), &mut [&mut best]), format!("monitor: {what}"));
}

/// SGD under another name, as another optimizer would come.
#[derive(Debug)]
struct Other(Sgd);

impl Optimizer for Other {
    fn name(&self) -> &'static str {
        "Other"
    }
    fn validate(&self) -> Result<()> {
        self.0.validate()
    }
    fn rates(&self) -> Rates {
        self.0.rates()
    }
    fn groups(&self) -> &[ParamGroup] {
        self.0.groups()
    }
    fn buffers(&self) -> &'static [&'static str] {
        self.0.buffers()
    }
    fn hyperparameter_count(&self) -> usize {
        self.0.hyperparameter_count()
    }
    fn values(&self, group: usize, rates: Rates) -> Vec<f32> {
        self.0.values(group, rates)
    }
    fn append_update(&self, tape: &mut Tape, update: Update) -> Result<()> {
        self.0.append_update(tape, update)
    }
    fn param_group(&self, group: usize) -> Vec<(&'static str, serde_json::Value)> {
        self.0.param_group(group)
    }
}

#[test]
fn an_optimizer_of_ones_own_trains_and_does_not_take_the_state_of_another() {
    let (mut train, mut validation) = (Counted("train", 48), Counted("validation", 20));
    let sgd = || Sgd::new(0.05).momentum(0.9);
    let mut plain = Trainer::with_loss(two_heads(), TwoHeads, sgd(), CpuEngine::new(), options(2), &train).unwrap();
    let mut other =
        Trainer::with_loss(two_heads(), TwoHeads, Other(sgd()), CpuEngine::new(), options(2), &train).unwrap();
    let expected = plain.fit(&mut train, &mut validation).unwrap().losses;
    assert_eq!(other.fit(&mut train, &mut validation).unwrap().losses, expected);
    let snapshot = plain.snapshot().unwrap();
    let error = other.restore(&snapshot, std::path::Path::new("here")).unwrap_err().to_string();
    assert!(error.contains("optimizer SGD, this one has Other"), "{error}");
}

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = Folder(std::env::temp_dir().join(format!("tilegrad-losses-{}", std::process::id())));
        std::fs::create_dir_all(&folder.0).unwrap();
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A trainer in a struct of a program's own.
struct Job {
    trainer: Trainer,
    train: ResidentSource,
    validation: ResidentSource,
}

#[test]
fn a_trainer_is_kept_in_a_struct_and_sent_to_a_thread() {
    let train = ResidentSource::new("train", synthetic::digits(1, 40));
    let validation = ResidentSource::new("validation", synthetic::digits(2, 8));
    let model = Sequential::new().with("flatten", Flatten).with("fc", Linear::new(784, 10));
    let trainer = Trainer::new(model, Sgd::new(0.1), CpuEngine::new(), options(2), &train).unwrap();
    let mut job = Job { trainer, train, validation };
    let (sender, told) = channel();
    let again = sender.clone();
    job.trainer
        .on(move |event: &Event<'_>, _: &mut Trainer| {
            if let Event::Epoch(epoch) = event {
                sender.send(epoch.epoch).unwrap();
            }
            Ok(Flow::Continue)
        })
        .on(move |event: &Event<'_>, trainer: &mut Trainer| {
            // The trainer answers while it trains.
            if let Event::End = event {
                again.send(100 * trainer.run().epochs).unwrap();
            }
            Ok(Flow::Continue)
        });
    let thread = std::thread::spawn(move || {
        job.trainer.fit(&mut job.train, &mut job.validation).unwrap();
        job.trainer.into_engine().parameter("fc.weight").unwrap()
    });
    assert_eq!(thread.join().unwrap().len(), 7840);
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [1, 2, 200]);
}

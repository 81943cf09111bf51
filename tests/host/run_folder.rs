//! The folder of a run by the library alone, and progress: what a run leaves, how it goes on, what is refused.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tilegrad::data::{Batch, BatchSink, BatchSource, ImageSet, Normalisation, ResidentSource, synthetic};
use tilegrad::graph::{Spec, Tape, TensorId, Values};
use tilegrad::nn::{Conv2d, Flatten, Linear, MaxPool2d, Reduction, Sequential};
use tilegrad::optim::Sgd;
use tilegrad::train::{
    CpuEngine, Event, Flow, History, Loss, Monitor, Progress, Record, RunFolder, TrainOptions, Trainer,
};

fn folder(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("tilegrad-run-folder-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    dir
}

fn options() -> TrainOptions {
    TrainOptions::default().epochs(3).batch_size(20).seed(1).report_every(2)
}

fn images() -> [ImageSet; 2] {
    let (train, validation) = synthetic::digits(1, 150).split_validation(0.2, 1).unwrap();
    [train, validation]
}

/// A run of a small network on digits up to its end or an update, whose files are in the folder.
fn run(folder: RunFolder, stop_at: Option<u32>) -> Record {
    let [mut train, mut validation] =
        images().map(|images| ResidentSource::new(if images.len() > 100 { "train" } else { "validation" }, images));
    let model = Sequential::new()
        .with("conv", Conv2d::new(1, 2, 3))
        .with("pool", MaxPool2d::new(4))
        .with("flatten", Flatten)
        .with("fc", Linear::new(2 * 6 * 6, 10));
    let mut trainer = Trainer::new(model, Sgd::new(0.02).momentum(0.9), CpuEngine::new(), options(), &train).unwrap();
    let folder = folder.tensorboard(true).keep_best(Monitor::ValidationLoss).checkpoint_each_epoch(true);
    let names = (0..10).map(|i| format!("digit {i}"));
    let mut record = folder.class_names(names).config("lr = 0.02\n").start(&mut trainer).unwrap();
    let mut interrupt = |event: &Event<'_>, _: &mut Trainer| match event {
        Event::Step { steps, .. } if Some(*steps) == stop_at => Ok(Flow::Stop),
        _ => Ok(Flow::Continue),
    };
    trainer.fit_with(&mut train, &mut validation, &mut [&mut record, &mut interrupt]).unwrap();
    if stop_at.is_none() {
        let best = record.take_best(&mut trainer).unwrap();
        assert_eq!(best, trainer.history().best(Monitor::ValidationLoss).map(|epoch| epoch.epoch));
        let tested = trainer.evaluate(&mut validation).unwrap();
        record.draw(&mut trainer, &images()[1], Normalisation::default()).unwrap();
        record.finish(&mut trainer, Some(&tested)).unwrap();
    }
    record
}

fn read(dir: &Path, name: &str) -> Vec<u8> {
    std::fs::read(dir.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn a_run_leaves_its_files_and_one_that_was_interrupted_ends_in_the_same_bytes() {
    let (whole, halved) = (folder("whole"), folder("halved"));
    let record = run(RunFolder::begin(&whole).unwrap(), None);
    assert_eq!(record.path(), whole);
    let text = |name: &str| String::from_utf8(read(&whole, name)).unwrap();
    assert_eq!(text("config.toml"), "lr = 0.02\n");
    assert_eq!(text("history.csv").lines().count(), 4);
    assert_eq!(text("losses.csv").lines().count(), 1 + 3 * 6);
    assert!(text("confusion.txt").contains("digit 7") && text("curves.svg").contains("learning rate"));
    for name in ["curves.png", "confusion.png", "best.safetensors", "filters.png", "features.png"] {
        assert!(!read(&whole, name).is_empty(), "{name}");
    }
    assert_eq!(std::fs::read_dir(whole.join("tensorboard")).unwrap().count(), 1);
    let summary: serde_json::Value = serde_json::from_slice(&read(&whole, "summary.json")).unwrap();
    assert_eq!((summary["parameters"].as_u64(), summary["epochs"].as_u64()), (Some(20 + 730), Some(3)));
    assert!(summary["test_accuracy"].is_f64() && summary["metrics"].is_null(), "{summary}");

    run(RunFolder::begin(&halved).unwrap(), Some(8));
    assert!(RunFolder::is_unfinished(&halved) && !halved.join("model.safetensors").exists());
    let error = RunFolder::begin(&halved).unwrap_err().to_string();
    assert!(error.contains("has not ended") && error.contains("halved"), "{error}");
    // A program that is started again asks for no more than this; its config stays what it was.
    let again = RunFolder::begin_or_resume(&halved).unwrap().config("other");
    assert!(again.goes_on());
    run(again, None);
    assert!(!RunFolder::is_unfinished(&halved));
    for name in ["model.safetensors", "best.safetensors", "losses.csv", "confusion.txt", "config.toml"] {
        assert!(read(&halved, name) == read(&whole, name), "{name}");
    }
    assert_eq!(std::fs::read_dir(halved.join("tensorboard")).unwrap().count(), 2);

    // A run that has ended may be written over, and one that begins knows nothing of it.
    let anew = RunFolder::begin_or_resume(&halved).unwrap();
    assert!(!anew.goes_on());
    run(anew, Some(1));
    assert!(RunFolder::is_finished(&whole) && !RunFolder::is_finished(&halved));
    // Whatever a run writes, none of it is left.
    let mut left: Vec<String> =
        std::fs::read_dir(&halved).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, ["checkpoints", "config.toml", "tensorboard"]);
    assert_eq!(std::fs::read_dir(halved.join("tensorboard")).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(halved.join("checkpoints")).unwrap().count(), 1);
    for dir in [whole, halved] {
        std::fs::remove_dir_all(dir).unwrap();
    }
}

#[test]
fn a_folder_that_is_not_there_or_cannot_be_made_is_named() {
    let dir = folder("nowhere");
    assert!(RunFolder::resume(&dir).unwrap_err().to_string().contains("nowhere"));
    assert!(!RunFolder::is_unfinished(&dir));
    std::fs::write(&dir, "a file").unwrap();
    let (mut trainer, ..) = regression();
    let error = RunFolder::begin(&dir).unwrap().start(&mut trainer).err().unwrap().to_string();
    assert!(error.contains("nowhere"), "{error}");
    std::fs::remove_file(&dir).unwrap();
}

/// Numbers and their doubles.
struct Doubles(&'static str);

impl BatchSource for Doubles {
    fn name(&self) -> &str {
        self.0
    }
    fn len(&self) -> usize {
        64
    }
    fn declare(&self, tape: &mut Tape, size: usize) -> tilegrad::Result<(TensorId, TensorId)> {
        Ok((tape.input("input", Spec::f32([size, 1]))?, tape.input("target", Spec::f32([size, 1]))?))
    }
    fn send(&mut self, batch: &Batch<'_>, sink: &mut dyn BatchSink) -> tilegrad::Result<()> {
        let inputs: Vec<f32> = batch.indices().iter().map(|&i| i as f32 / 64.0).collect();
        let targets: Vec<f32> = inputs.iter().map(|x| 2.0 * x).collect();
        sink.write("input", Values::F32(&inputs))?;
        sink.write("target", Values::F32(&targets))
    }
}

/// The squared error, and once more under another name.
struct Squared;

impl Loss for Squared {
    fn loss(&self, tape: &mut Tape, output: TensorId, target: TensorId) -> tilegrad::Result<TensorId> {
        tape.mse_loss("loss", output, target, Reduction::Mean)
    }
    fn metrics(
        &self,
        tape: &mut Tape,
        output: TensorId,
        target: TensorId,
    ) -> tilegrad::Result<Vec<(String, TensorId)>> {
        Ok(vec![("distance".into(), tape.mse_loss("distance", output, target, Reduction::Mean)?)])
    }
}

fn regression() -> (Trainer, Doubles, Doubles) {
    let (train, validation) = (Doubles("train"), Doubles("validation"));
    let sgd = Sgd::new(0.1);
    let trainer = Trainer::with_loss(Linear::new(1, 1), Squared, sgd, CpuEngine::new(), options(), &train).unwrap();
    (trainer, train, validation)
}

/// What was written, for whoever else has it.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// A writer that nobody reads from.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_regression_has_metrics_and_no_accuracy_in_its_files_and_in_its_progress() {
    let dir = folder("regression");
    let (mut trainer, mut train, mut validation) = regression();
    let (lines, live) = (Shared::default(), Shared::default());
    trainer.on(Progress::to(lines.clone())).on(Progress::to(live.clone()).live(true)).on(Progress::to(Closed));
    let mut record = RunFolder::begin(&dir).unwrap().start(&mut trainer).unwrap();
    let history: History = trainer.fit_with(&mut train, &mut validation, &mut [&mut record]).unwrap();
    let tested = trainer.evaluate(&mut validation).unwrap();
    assert_eq!(record.take_best(&mut trainer).unwrap(), None);
    record.finish(&mut trainer, Some(&tested)).unwrap();

    let text = lines.text();
    assert_eq!(text.lines().count(), 3, "{text}");
    let epoch = &history.epochs[2];
    let expected = format!(
        "epoch 3/3  train loss {:.4}  validation loss {:.4}  distance {:.4} validation {:.4}  {:.0} images/s  0:00 left",
        epoch.train_loss,
        epoch.validation_loss,
        epoch.metrics[0].train,
        epoch.metrics[0].validation,
        epoch.images_per_second
    );
    assert_eq!(text.lines().last(), Some(expected.as_str()));
    assert!(epoch.to_string().starts_with("epoch   3  train loss") && !epoch.to_string().contains("accuracy"));
    // A line within an epoch is gone once the next one is written over it.
    let live = live.text();
    assert!(live.contains("\repoch 1/3  40 of 64  loss ") && !live.contains("accuracy"), "{live}");
    assert_eq!(live.matches('\n').count(), 3);
    for line in live.lines() {
        let mut covered = 0;
        for part in line.split('\r') {
            assert!(part.chars().count() >= covered, "{line:?} leaves a rest standing");
            covered = part.trim_end().chars().count();
        }
    }

    assert!(!dir.join("confusion.txt").exists());
    let svg = String::from_utf8(read(&dir, "curves.svg")).unwrap();
    assert!(svg.contains("distance") && !svg.contains("accuracy"));
    let summary: serde_json::Value = serde_json::from_slice(&read(&dir, "summary.json")).unwrap();
    assert!(summary["test_accuracy"].is_null() && summary["test_top5_accuracy"].is_null(), "{summary}");
    assert_eq!(summary["metrics"]["distance"]["test"].as_f64(), Some(tested.others[0].1));
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_run_only_goes_on_with_its_own_images_and_labels() {
    let set = synthetic::digits(3, 40);
    let trainer = |set: &ImageSet| {
        let train = ResidentSource::new("train", set.clone());
        let model = Sequential::new().with("flatten", Flatten).with("fc", Linear::new(28 * 28, 10));
        Trainer::new(model, Sgd::new(0.1), CpuEngine::new(), TrainOptions::default().batch_size(8), &train).unwrap()
    };
    let snapshot = trainer(&set).snapshot().unwrap();
    let path = Path::new("run");
    trainer(&set).restore(&snapshot, path).unwrap();
    let mut exchanged = set.clone();
    let other = (1..40).find(|&i| set.labels[i] != set.labels[0]).unwrap();
    exchanged.labels.swap(0, other);
    // As many images, one of them another.
    let mut bytes = set.images.to_vec();
    bytes[5] ^= 1;
    let changed = ImageSet::new(bytes, set.labels.clone(), set.image_size(), set.classes).unwrap();
    for others in [exchanged, changed] {
        let error = trainer(&others).restore(&snapshot, path).unwrap_err().to_string();
        assert!(error.contains("other images or labels"), "{error}");
    }
}

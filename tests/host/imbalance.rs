//! Training images that are many of one class and few of another: weights by class, balanced sampling, what is refused, what
//! a verdict says, and more classes than a confusion matrix is counted for.

use tilegrad::data::{
    Batch, BatchSink, BatchSource, Dataset, DatasetSource, ImageSet, ResidentSource, Subset, balanced_batches,
};
use tilegrad::graph::{Purpose, Spec, Tape, TensorId};
use tilegrad::kernel::{Caps, Choices, DeviceClass};
use tilegrad::nn::{Flatten, Linear, Sequential};
use tilegrad::ops::confusion::{AccumulateConfusion, Confusion, MOST_CLASSES};
use tilegrad::optim::Sgd;
use tilegrad::rng::Rng;
use tilegrad::shape::ImageSize;
use tilegrad::train::{
    ClassWeights, CpuEngine, CrossEntropyLoss, Diagnosis, Epoch, Fit, History, Sampling, TrainOptions, Trainer,
};
use tilegrad::{Error, Result};

use crate::common::golden::{cases, floats, sizes};
use crate::common::scratch::Scratch;
use crate::zoo;

/// Images of 2x2 pixels whose shade tells little of their class, with these labels.
fn images(labels: &[i32], classes: usize) -> ImageSet {
    let rng = Rng::new(1, "shades");
    let shade = |i: usize| (40 * (labels[i / 4] as u32 % 3) + rng.below(i as u64, 120)) as u8;
    let bytes = (0..4 * labels.len()).map(shade).collect();
    ImageSet::new(bytes, labels.to_vec(), ImageSize::new(2, 2, 1), classes).unwrap()
}

/// Twenty of class 0 to one of class 1.
fn rare(images: usize) -> Vec<i32> {
    (0..images).map(|i| i32::from(i % 21 == 20)).collect()
}

fn model(classes: usize) -> Sequential {
    Sequential::new().with("flatten", Flatten).with("fc", Linear::new(4, classes))
}

fn trained(
    labels: &[i32],
    classes: usize,
    loss: CrossEntropyLoss,
    options: TrainOptions,
) -> Result<(Trainer, History)> {
    let mut train = ResidentSource::new("train", images(labels, classes));
    let mut validation = ResidentSource::new("validation", images(labels, classes));
    let engine = CpuEngine::new();
    let mut trainer = Trainer::with_loss(model(classes), loss, Sgd::new(0.1), engine, options, &train)?;
    let history = trainer.fit(&mut train, &mut validation)?;
    Ok((trainer, history))
}

fn options() -> TrainOptions {
    TrainOptions::default().epochs(2).batch_size(16).seed(2)
}

fn message(error: Error) -> String {
    error.to_string()
}

#[test]
fn balanced_weights_are_scikit_learns() {
    for case in cases("metrics") {
        let (counts, present) = (sizes(&case.json["counts"]), sizes(&case.json["present"]));
        let classes = counts.len().isqrt();
        let of = |class: usize| counts[class * classes..][..classes].iter().sum::<usize>();
        // The classes that have images are numbered anew.
        let numbered = present.iter().enumerate().map(|(i, &class)| (i as i32, of(class)));
        let labels: Vec<i32> = numbered.flat_map(|(label, count)| vec![label; count]).collect();
        let weights = ClassWeights::balanced(&labels, present.len()).unwrap();
        let expected: Vec<f32> = floats(&case.json["balanced"]).into_iter().map(|weight| weight as f32).collect();
        assert_eq!(weights.values(), expected, "{}", case.name);
        for weights in [weights, ClassWeights::sqrt(&labels, present.len()).unwrap()] {
            let sum: f64 = labels.iter().map(|&label| f64::from(weights.values()[label as usize])).sum();
            assert!((sum / labels.len() as f64 - 1.0).abs() < 1e-6, "the mean weight of an image is 1");
        }
    }
    // 16 of one, 4 of another: 20 / 32 and 20 / 8; by square roots 20 / (4 * 6) and 20 / (2 * 6).
    let labels = [[0; 16].as_slice(), &[1; 4], &[-100; 3]].concat();
    assert_eq!(ClassWeights::balanced(&labels, 2).unwrap().values(), [0.625, 2.5]);
    assert_eq!(ClassWeights::sqrt(&labels, 2).unwrap().values(), [20.0 / 24.0, 20.0 / 12.0]);
}

#[test]
fn weights_that_can_not_be_are_refused() {
    let refused = [
        message(ClassWeights::balanced(&[0, 0, 2], 4).unwrap_err()),
        message(ClassWeights::sqrt(&[0, 5], 2).unwrap_err()),
        message(ClassWeights::new([1.0, -0.5]).unwrap_err()),
        message(ClassWeights::new([1.0, f32::NAN]).unwrap_err()),
        message(ClassWeights::new([0.0, 0.0]).unwrap_err()),
    ];
    for (message, words) in refused.iter().zip([
        "class 1, 3 has no training image",
        "a training image has label 5, there are 2 classes",
        "class 1 has weight -0.5, must be a number of at least 0",
        "class 1 has weight NaN",
        "are all 0",
    ]) {
        assert!(message.contains(words), "{message}");
    }
    let three = CrossEntropyLoss::default().class_weights(ClassWeights::new([1.0, 1.0, 1.0]).unwrap());
    let error = message(trained(&rare(42), 2, three, options()).err().unwrap());
    assert!(error.contains("are of 3 classes, the network has 2 outputs"), "{error}");
}

#[test]
fn weights_come_from_a_file_by_name_or_in_order() {
    let folder = Scratch::new("weights of classes");
    let names: Vec<String> = ["cat", "dog, small", "bird"].map(String::from).into();
    let read = |text: &str| ClassWeights::read(&folder.write("weights.csv", text), &names);
    for text in [
        "name,weight\nbird,3\ncat,1\n\"dog, small\",2.5\n",
        "# of last year\nbird, 3\ndog, small,2.5\ncat,1",
        "1\n2.5\n\n3\n",
    ] {
        assert_eq!(read(text).unwrap().values(), [1.0, 2.5, 3.0], "{text}");
    }
    for (text, words) in [
        ("cat,1\nbird,2\n", "has no weight for class \"dog, small\""),
        ("cat,1\ncow,2\n", "line 2: there is no class \"cow\"; the classes are cat, dog, small, bird"),
        ("cat,1\ncat,2\n", "line 2: class \"cat\" has a weight already"),
        ("cat,1\nbird,-2\n", "line 2: a weight must be a number of at least 0, it is -2"),
        ("cat,1\nbird,nan\n", "line 2: a weight must be a number of at least 0, it is nan"),
        ("1\n2\nx\n", "line 3: \"x\" is no number"),
        ("1\n2\n3\n4\n", "has more than 3 weights"),
        ("1\nbird,2\n", "line 2: has a name where others have none"),
        ("", "has no weight for class \"cat\", \"dog, small\", \"bird\""),
    ] {
        let error = message(read(text).unwrap_err());
        assert!(error.contains(words) && error.contains("weights.csv"), "{error}");
    }
    let train = ResidentSource::new("train", images(&[0, 1, 1, 2], 3));
    let named = |given: &str| ClassWeights::named(given, &train, &names);
    assert_eq!(named("balanced").unwrap(), ClassWeights::balanced(&[0, 1, 1, 2], 3).unwrap());
    assert_eq!(named("sqrt").unwrap(), ClassWeights::sqrt(&[0, 1, 1, 2], 3).unwrap());
    let error = message(named("balancd").unwrap_err());
    assert!(error.contains("must be balanced, sqrt or a file of weights"), "{error}");
    let without = ResidentSource::new("train", images(&[0, 1], 3));
    let error = message(ClassWeights::named("balanced", &without, &names).unwrap_err());
    assert!(error.contains("class \"bird\" has no training image"), "{error}");
}

/// As PyTorch: equal weights change no mean, and a batch's mean is by the weights of its targets.
#[test]
fn a_run_is_trained_with_the_weights_and_validated_without() {
    let labels = rare(63);
    let weighted = |values: [f32; 2]| {
        let loss = CrossEntropyLoss::default().label_smoothing(0.1).class_weights(ClassWeights::new(values).unwrap());
        trained(&labels, 2, loss, options()).unwrap().1
    };
    let plain = trained(&labels, 2, CrossEntropyLoss::default().label_smoothing(0.1), options()).unwrap().1;
    let same = |a: &History, b: &History| {
        a.losses.iter().zip(&b.losses).all(|(a, b)| (a - b).abs() < 1e-5) && a.losses.len() == b.losses.len()
    };
    assert_eq!(weighted([1.0, 1.0]).losses, plain.losses);
    assert!(same(&weighted([2.0, 2.0]), &plain) && !same(&weighted([0.5, 10.0]), &plain));
    // One epoch of one batch at a rate near 0: the validation sees the same network, without weights or smoothing.
    let loss = CrossEntropyLoss::default().class_weights(ClassWeights::new([1.0, 20.0]).unwrap());
    let (mut trainer, history) = trained(&labels, 2, loss, TrainOptions::default().batch_size(63)).unwrap();
    let mut source = ResidentSource::new("again", images(&labels, 2));
    let last = trainer.evaluate(&mut source).unwrap();
    assert_eq!(last.loss, history.epochs[0].validation_loss);
    assert_ne!(history.epochs[0].train_loss, history.epochs[0].validation_loss);
}

#[test]
fn balanced_batches_draw_every_class_alike() {
    let mut labels = rare(2_100);
    labels[7] = -100;
    let batches = balanced_batches(&labels, 64, 5, 3);
    let drawn: Vec<u32> = batches.concat();
    assert_eq!((drawn.len(), batches.len(), batches[0].len()), (2_100, 2_100_usize.div_ceil(64), 64));
    let rare = drawn.iter().filter(|&&i| labels[i as usize] == 1).count();
    // Five standard deviations of 2,100 throws of a coin are 115.
    assert!((935..1165).contains(&rare) && !drawn.contains(&7), "{rare}");
    let different: std::collections::BTreeSet<_> = drawn.iter().filter(|&&i| labels[i as usize] == 1).collect();
    assert_eq!(different.len(), 100, "all rare images are drawn");
    assert_eq!(balanced_batches(&labels, 64, 5, 3), batches);
    assert_ne!(balanced_batches(&labels, 64, 5, 4), batches);
    assert_ne!(balanced_batches(&labels, 64, 6, 3), batches);
    assert!(balanced_batches(&[-1, -100], 4, 1, 1).is_empty());
}

/// A source that knows no labels.
struct Unlabelled(ResidentSource);

impl BatchSource for Unlabelled {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn prepare(&self, sink: &mut dyn BatchSink) -> Result<()> {
        self.0.prepare(sink)
    }
    fn declare(&self, tape: &mut Tape, size: usize) -> Result<(TensorId, TensorId)> {
        self.0.declare(tape, size)
    }
    fn send(&mut self, batch: &Batch<'_>, sink: &mut dyn BatchSink) -> Result<()> {
        self.0.send(batch, sink)
    }
}

#[test]
fn sampling_needs_labels_and_stays_what_it_was() {
    let labels = rare(42);
    let source = || ResidentSource::new("train", images(&labels, 2));
    let balanced = options().sampling(Sampling::Balanced);
    let mut unlabelled = Unlabelled(source());
    let mut trainer = Trainer::new(model(2), Sgd::new(0.1), CpuEngine::new(), balanced, &unlabelled).unwrap();
    let mut validation = ResidentSource::new("validation", images(&labels, 2));
    let error = message(trainer.fit(&mut unlabelled, &mut validation).unwrap_err());
    assert!(error.contains("sampling") && error.contains("BatchSource::labels"), "{error}");
    let (mut first, _) = trained(&labels, 2, CrossEntropyLoss::default(), balanced).unwrap();
    let (mut second, _) = trained(&labels, 2, CrossEntropyLoss::default(), options()).unwrap();
    let snapshot = first.snapshot().unwrap();
    let error = message(second.restore(&snapshot, std::path::Path::new("run")).unwrap_err());
    assert!(error.contains("sampling balanced, this one has shuffled"), "{error}");
    let snapshot = second.snapshot().unwrap();
    assert!(first.restore(&snapshot, std::path::Path::new("run")).is_err());
    // From memory on the device, and decoded on the host: the same run.
    let streamed = DatasetSource::new("train", images(&labels, 2));
    assert_eq!(streamed.labels(), Some(labels.clone()));
    let subset = Subset::new(std::sync::Arc::new(images(&labels, 2)), vec![20, 3]).unwrap();
    assert_eq!([0, 1].map(|i| subset.label(i).unwrap()), [1, 0]);
}

/// What the remedies are for, on shades that tell the classes apart in part.
#[test]
fn weights_and_sampling_raise_the_recall_of_the_rare_class() {
    let labels = rare(420);
    let options = options().epochs(20);
    let recall = |weights: Option<ClassWeights>, sampling| {
        let loss = CrossEntropyLoss::default().class_weights(weights);
        let (trainer, _) = trained(&labels, 2, loss, options.sampling(sampling)).unwrap();
        trainer.validated().unwrap().recall(1).unwrap()
    };
    let balanced = || Some(ClassWeights::balanced(&labels, 2).unwrap());
    assert_eq!(recall(None, Sampling::Shuffled), 0.0, "the rare class is never said");
    let (weighted, sampled) = (recall(balanced(), Sampling::Shuffled), recall(None, Sampling::Balanced));
    assert!(weighted > 0.5 && sampled > 0.5, "{weighted} {sampled}");
}

/// Ten epochs without a fault.
fn well() -> Vec<Epoch> {
    let epoch = |epoch: usize| Epoch {
        epoch,
        train_loss: 0.05 + 1.0 / epoch as f64,
        train_accuracy: 0.96,
        validation_loss: 0.1,
        validation_accuracy: 0.95,
        lr: 0.1,
        seconds: 1.0,
        images_per_second: 1.0,
        metrics: Vec::new(),
    };
    (1..=10).map(epoch).collect()
}

#[test]
fn a_verdict_names_classes_of_recall_0_and_says_how_few_images_it_is_from() {
    let names: Vec<String> = ["cat", "dog", "bird"].map(String::from).into();
    let of = |counts: [u64; 9]| {
        let found = Confusion { classes: 3, counts: counts.into(), ..Confusion::default() };
        let plain = Diagnosis::of_classes(&well(), 3).unwrap();
        assert_eq!(plain.fit, Fit::Well);
        (plain.clone().validated(&found, &names), plain)
    };
    let (good, plain) = of([50, 0, 0, 0, 50, 0, 0, 1, 9]);
    assert_eq!(good, plain);
    let (lacking, _) = of([190, 0, 0, 2, 8, 0, 3, 0, 0]);
    assert!(lacking.to_string().contains("recall is 0 for class \"bird\""), "{lacking}");
    assert!(lacking.advice[0].contains("class weights or balanced sampling"), "{lacking:?}");
    let (few, _) = of([3, 0, 0, 0, 2, 0, 0, 0, 0]);
    assert!(few.to_string().contains("only 5 validation images"), "{few}");
    assert!(few.to_string().contains("no validation image shows class \"bird\""), "{few}");
    let many = Confusion { classes: 20, counts: vec![20; 400], ..Confusion::default() };
    let mut wrong = many.clone();
    (0..20).for_each(|class| wrong.counts[class * 21] = 0);
    let text = Diagnosis::of_classes(&well(), 20).unwrap().validated(&wrong, &[]).to_string();
    assert!(text.contains("classes 0, 1, 2, 3, 4 and 15 more"), "{text}");
    // The trainer's own verdict has it.
    let (trainer, _) = trained(&rare(63), 2, CrossEntropyLoss::default(), options()).unwrap();
    let text = trainer.diagnosis(&names[..2]).unwrap().to_string();
    assert!(text.contains("recall is 0 for class \"dog\"") && text.contains("only 63 validation images"), "{text}");
}

/// More classes than a matrix is counted for train and validate; their figures are by class.
#[test]
fn more_classes_than_a_matrix_holds_are_trained_and_counted() {
    for classes in [MOST_CLASSES, MOST_CLASSES + 1, 20_000] {
        let labels: Vec<i32> = (0..8).map(|i| i * 7 % classes as i32).collect();
        let options = options().epochs(1).batch_size(4);
        let (mut trainer, history) = trained(&labels, classes, CrossEntropyLoss::default(), options).unwrap();
        let found = trainer.confusion().unwrap();
        assert_eq!((found.classes, found.count(), found.has_matrix()), (classes, 8, classes <= MOST_CLASSES));
        assert_eq!(trainer.omits_matrix(), classes > MOST_CLASSES);
        assert_eq!(found.accuracy(), Some(history.epochs[0].validation_accuracy));
    }
}

/// Within the limits that every device of WebGPU has; the matrix of so many classes would exceed a binding of 128 MiB.
#[test]
fn predictions_of_any_number_of_classes_fit_the_smallest_limits() {
    let caps = Caps::webgpu(DeviceClass::Discrete);
    for classes in [MOST_CLASSES, MOST_CLASSES + 1, 6_000, 20_000] {
        let mut tape = Tape::new(Purpose::Evaluate);
        let logits = tape.input("logits", Spec::f32([4, classes])).unwrap();
        let target = tape.input("target", Spec::i32([4])).unwrap();
        tape.accumulate_confusion("counts", logits, target, AccumulateConfusion::default()).unwrap();
        let plan = zoo::plan(&tape, &caps, &Choices::default());
        assert!(plan.is_ok(), "{classes}: {:?}", plan.err());
    }
}

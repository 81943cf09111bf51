//! The confusion matrix and the top-k count that add up on the device, word for word those of the twin and of a count by hand.

use tilegrad::data::{ImageSet, ResidentSource};
use tilegrad::graph::{Purpose, Spec, Stage, Tape};
use tilegrad::nn::{Flatten, Linear, Sequential};
use tilegrad::ops::confusion::{AccumulateConfusion, Confusion, MOST_CLASSES};
use tilegrad::optim::Sgd;
use tilegrad::shape::ImageSize;
use tilegrad::train::{CpuEngine, Engine, GpuEngine, TrainOptions, Trainer};
use tilegrad::twin::Value;

use crate::check::{device, session};
use crate::common::cases::{Draw, uniform};
use crate::kernels::coarse;

const STATE: &str = "confusion";

/// Steps of one batch size over random logits, some of them alike, NaN or infinite, and targets of which some do not count.
#[derive(Debug)]
struct Steps {
    rows: usize,
    classes: usize,
    op: AccumulateConfusion,
    steps: Vec<(Vec<f32>, Vec<i32>)>,
}

impl Steps {
    fn random(seed: u64, max_rows: usize, max_classes: usize) -> Self {
        let draw = Draw::new(seed, "confusion case");
        let (rows, classes) = (draw.between(1, max_rows), draw.between(2, max_classes));
        let op = AccumulateConfusion {
            top_k: [1, 2, 5, classes, classes + 3][draw.between(0, 4)],
            ignore_index: if draw.coin() { -100 } else { draw.between(0, classes - 1) as i32 },
        };
        let odd = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0];
        let step = |step: u64| {
            let name = format!("logits {step}");
            let mut logits =
                if draw.coin() { coarse(seed, &name, rows * classes) } else { uniform(seed, &name, rows * classes) };
            for _ in 0..draw.between(0, rows) {
                logits[draw.between(0, rows * classes - 1)] = odd[draw.between(0, odd.len() - 1)];
            }
            let target = |_| match draw.between(0, 9) {
                0 => op.ignore_index,
                1 => -(draw.between(1, 9) as i32),
                2 => (classes + draw.between(0, 2)) as i32,
                _ => draw.between(0, classes - 1) as i32,
            };
            (logits, (0..rows).map(target).collect())
        };
        Steps { rows, classes, op, steps: (0..3).map(step).collect() }
    }

    fn tape(&self) -> Tape {
        let mut tape = Tape::new(Purpose::Evaluate);
        let logits = tape.input("logits", Spec::f32([self.rows, self.classes])).unwrap();
        let target = tape.input("target", Spec::i32([self.rows])).unwrap();
        tape.accumulate_confusion(STATE, logits, target, self.op).unwrap();
        tape
    }

    /// The state after all steps, and again after it was cleared and the last step run, in words.
    fn run(&self, engine: &mut dyn Engine) -> [Vec<u32>; 2] {
        let tape = self.tape();
        engine.initialise(&tape, 1).unwrap();
        let program = engine.compile(tape).unwrap();
        let step = |engine: &mut dyn Engine, (logits, target): &(Vec<f32>, Vec<i32>)| {
            engine.write(program, "logits", logits.into()).unwrap();
            engine.write(program, "target", target.into()).unwrap();
            engine.run(program, &[Stage::Forward]).unwrap();
        };
        let words = |engine: &mut dyn Engine| engine.state(STATE).unwrap().into_iter().map(f32::to_bits).collect();
        self.steps.iter().for_each(|inputs| step(engine, inputs));
        let all = words(engine);
        engine.clear_state(STATE).unwrap();
        step(engine, &self.steps[2]);
        [all, words(engine)]
    }

    /// Target, predicted class and if the target is among the first k of each counted row, by sorting: a target is right
    /// if it is among the first k of the logits, itself before its equals. None for a target that is no class.
    fn predictions(&self) -> Vec<Option<(usize, usize, bool)>> {
        let rows = self.steps.iter().flat_map(|(logits, targets)| logits.chunks(self.classes).zip(targets));
        let counted = rows.filter(|(_, target)| **target >= 0 && **target != self.op.ignore_index);
        counted.map(|(logits, &target)| self.prediction(logits, target as usize)).collect()
    }

    fn prediction(&self, logits: &[f32], target: usize) -> Option<(usize, usize, bool)> {
        if target >= self.classes {
            return None;
        }
        let first_best = |a: &usize, b: &usize| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b));
        let numbers = (0..self.classes).filter(|&c| !logits[c].is_nan());
        // 0 and -0 are equal, though not to total_cmp, and the first counts.
        let best = numbers.min_by(|a, b| if logits[*a] == logits[*b] { a.cmp(b) } else { first_best(a, b) });
        let best = if logits[0].is_nan() { 0 } else { best.unwrap() };
        let before = |c: usize| c != target && (logits[c].is_nan() || logits[c] > logits[target]);
        let before = (0..self.classes).filter(|&c| before(c)).count();
        Some((target, best, !logits[target].is_nan() && before < self.op.top_k))
    }

    fn by_hand(&self) -> Confusion {
        let mut expected = Confusion { classes: self.classes, top_k: self.op.top_k, ..Confusion::default() };
        let has_matrix = self.classes <= MOST_CLASSES;
        expected.counts = vec![0; self.classes * if has_matrix { self.classes } else { 3 }];
        for prediction in self.predictions() {
            let Some((target, best, is_among)) = prediction else {
                expected.unknown += 1;
                continue;
            };
            if has_matrix {
                expected.counts[target * self.classes + best] += 1;
            } else {
                expected.counts[target] += u64::from(target == best);
                expected.counts[self.classes + target] += 1;
                expected.counts[2 * self.classes + best] += 1;
            }
            expected.top_k_right += u64::from(is_among);
        }
        expected
    }
}

#[test]
fn the_device_counts_what_the_twin_counts() {
    let Some(device) = device() else { return };
    let mut cases: Vec<Steps> = (0..100).map(|seed| Steps::random(seed, 150, 12)).collect();
    cases.extend((100..104).map(|seed| Steps::random(seed, 200, 1000)));
    for case in cases {
        let states = case.run(&mut GpuEngine::new(device.clone()));
        assert_eq!(states, case.run(&mut CpuEngine::new()), "{case:?}");
        let read = Confusion::from_state(&states[0].iter().map(|&word| f32::from_bits(word)).collect::<Vec<_>>());
        assert_eq!(read, case.by_hand(), "{case:?}");
    }
}

/// More classes than a matrix fits into a binding of 128 MiB: the counts of each class, as by hand.
#[test]
fn many_classes_are_counted_one_by_one() {
    let Some(device) = device() else { return };
    for classes in [MOST_CLASSES + 1, 20_000] {
        let op = AccumulateConfusion::default();
        let step = |step: u64| {
            let draw = Draw::new(step, "many classes");
            let target = |i| if i % 9 == 8 { classes as i32 } else { draw.between(0, classes - 1) as i32 };
            let targets: Vec<i32> = (0..20).map(target).collect();
            let mut logits = uniform(step, "logits", 20 * classes);
            // Every other target has the largest logit.
            for (row, &target) in
                targets.iter().enumerate().filter(|(row, target)| row % 2 == 0 && **target < classes as i32)
            {
                logits[row * classes + target as usize] = 2.0;
            }
            (logits, targets)
        };
        let case = Steps { rows: 20, classes, op, steps: (0..3).map(step).collect() };
        let states = case.run(&mut GpuEngine::new(device.clone()));
        assert_eq!(states, case.run(&mut CpuEngine::new()), "{classes}");
        let read = Confusion::from_state(&states[0].iter().map(|&word| f32::from_bits(word)).collect::<Vec<_>>());
        assert_eq!(read, case.by_hand(), "{classes}");
        assert!(!read.has_matrix() && read.right() > 20 && read.most_confused(3).is_empty(), "{classes}");
        assert_eq!((read.count(), read.unknown), (54, 6), "{classes}");
    }
}

/// A run over so many classes is forecast, trained and validated, and a forecast says nothing else than the run.
#[test]
fn a_run_over_many_classes_ends() {
    let Some(device) = device() else { return };
    for classes in [6_000, 20_000] {
        let labels: Vec<i32> = (0..8).map(|i| i * 700).collect();
        let images = ImageSet::new(vec![9; 4 * 8], labels, ImageSize::new(2, 2, 1), classes).unwrap();
        let [mut train, mut validation] = ["train", "validation"].map(|name| ResidentSource::new(name, images.clone()));
        let model = Sequential::new().with("flatten", Flatten).with("fc", Linear::new(4, classes));
        let (engine, options) = (GpuEngine::new(device.clone()), TrainOptions::default().batch_size(4));
        let mut trainer = Trainer::new(model, Sgd::new(0.1), engine, options, &train).unwrap();
        assert!(trainer.omits_matrix() && trainer.forecast(&train).unwrap().is_some());
        trainer.fit(&mut train, &mut validation).unwrap();
        let found = trainer.confusion().unwrap();
        assert_eq!((found.classes, found.count(), found.has_matrix()), (classes, 8, false));
    }
}

/// A count is whole beyond what f32 can count, 2^24, and where its bits are no number any more as f32.
#[test]
fn counts_do_not_stop_at_what_f32_holds() {
    let Some(device) = device() else { return };
    let case =
        Steps { rows: 1, classes: 2, op: AccumulateConfusion::default(), steps: vec![(vec![0.0, 1.0], vec![0]); 3] };
    let session = &mut session(device, case.tape(), &Default::default(), Default::default()).unwrap();
    session.write("logits", &case.steps[0].0).unwrap();
    session.write("target", &[0]).unwrap();
    for before in [0, 1 << 24, 0x7f80_0000, 0xffff_fff0] {
        let words = [before, 0, 0, 0, 0, before, 0, 0].map(f32::from_bits);
        session.store().set_buffer(STATE, &Value::Real(words.to_vec())).unwrap();
        for _ in 0..3 {
            session.step().unwrap();
        }
        let read = Confusion::from_state(&session.store().state(STATE).unwrap());
        let expected = u64::from(before) + 3;
        assert_eq!((read.get(0, 1), read.top_k_right, read.get(0, 0)), (expected, expected, 0), "from {before}");
    }
}

/// Checked and trusted, beside the losses that it shares logits and targets with.
#[test]
fn the_predicted_class_is_the_one_of_the_accuracy() {
    let Some(device) = device() else { return };
    for checked in [true, false] {
        for seed in 0..20 {
            let case = Steps::random(seed, 60, 9);
            let mut tape = case.tape();
            let [logits, target] = ["logits", "target"].map(|name| tape.find_input(name).unwrap());
            let op = tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy {
                ignore_index: case.op.ignore_index,
                ..Default::default()
            };
            let loss = tape.softmax_cross_entropy("loss", logits, target, None, op).unwrap();
            // It takes what it is given for log-probabilities.
            let op = tilegrad::ops::nll_loss::NllLoss { ignore_index: case.op.ignore_index, ..Default::default() };
            let nll = tape.nll_loss("nll", logits, target, None, op).unwrap();
            tape.keep(loss.totals);
            tape.keep(nll.totals);
            let options = tilegrad::gpu::SessionOptions::default().checked(checked).guarded(true);
            let mut session = session(device, tape, &Default::default(), options).unwrap();
            session.write("logits", &case.steps[0].0).unwrap();
            session.write("target", &case.steps[0].1).unwrap();
            session.step().unwrap();
            let right = [loss.totals, nll.totals].map(|totals| session.read_f32(totals).unwrap()[2]);
            let read = Confusion::from_state(&session.store().state(STATE).unwrap());
            let diagonal: u64 = (0..case.classes).map(|class| read.get(class, class)).sum();
            assert_eq!(right.map(f64::from), [diagonal as f64; 2], "{case:?}");
            assert_eq!(session.breach().unwrap(), None);
        }
    }
}

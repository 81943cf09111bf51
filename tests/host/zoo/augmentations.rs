//! The zoo's tapes of what changes images at random, and of the confusion matrix.

use tilegrad::graph::{Purpose, Spec, Tape};
use tilegrad::ops::augmentation::DRAWN;
use tilegrad::ops::confusion::{AccumulateConfusion, MOST_CLASSES};
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::ops::transform::Transform;
use tilegrad::optim::Optimizer;
use tilegrad::rng::Init;
use tilegrad::shape::{DType, Layout};

use crate::common::augmentations;

fn transformed(augmentation: tilegrad::data::Augmentation, channels: usize, output: Option<[usize; 2]>) -> Tape {
    let mut tape = Tape::new(Purpose::Train);
    let images = tape.resident("images", Spec { dtype: DType::U8, ..Spec::f32([900, channels, 13, 12]) });
    let indices = tape.input("indices", Spec::i32([8])).unwrap();
    let draws = tape.input("draws", Spec::i32([8, DRAWN])).unwrap();
    let op = Transform { scale: [1.0 / 64.0; 4], shift: [-2.0; 4], augmentation, output };
    let batch = tape.transform("images", images, indices, draws, op).unwrap();
    tape.keep(batch);
    tape
}

/// Rows of `features` numbers that are mixed before a layer, whose loss for both targets is learnt from.
fn mixed(features: usize) -> Tape {
    let mut tape = Tape::new(Purpose::Train);
    let x = tape.input("x", Spec::f32([5, features])).unwrap();
    let target = tape.input("target", Spec::i32([5])).unwrap();
    let before = tape.parameter("before", [features, features], Layout::RowMajor, Init::Normal(0.1)).unwrap();
    let after = tape.parameter("after", [3, features], Layout::RowMajor, Init::Normal(0.1)).unwrap();
    let lambda = tape.mixup_lambda().unwrap();
    let x = tape.linear("before", x, before, None).unwrap();
    let x = tape.mixup("mixup", x, lambda).unwrap();
    let logits = tape.linear("after", x, after, None).unwrap();
    tape.accumulate_confusion("confusion", logits, target, AccumulateConfusion::default()).unwrap();
    let op = SoftmaxCrossEntropy::default();
    let loss = tape.mixed_cross_entropy("loss", logits, target, None, lambda, op).unwrap();
    tape.accumulate("train", loss).unwrap();
    tilegrad::optim::Sgd::new(0.1).minimize(&mut tape, loss.loss).unwrap();
    tape
}

/// Predictions of more classes than a confusion matrix is counted for.
fn many_classes() -> Tape {
    let mut tape = Tape::new(Purpose::Evaluate);
    let logits = tape.input("logits", Spec::f32([2, MOST_CLASSES + 1])).unwrap();
    let target = tape.input("target", Spec::i32([2])).unwrap();
    tape.accumulate_confusion("confusion", logits, target, AccumulateConfusion::default()).unwrap();
    tape
}

/// All of them, each with the name that failures show.
pub fn tapes() -> Vec<(String, Tape)> {
    let each = augmentations::each().into_iter();
    let mut tapes: Vec<(String, Tape)> =
        each.map(|(name, augmentation)| (name.into(), transformed(augmentation, 3, None))).collect();
    let (name, augmentation) = augmentations::each().pop().expect("the list has all together at its end");
    tapes.push((format!("{name}, of another size"), transformed(augmentation, 3, Some([9, 10]))));
    tapes.extend([8, 7].map(|features| (format!("mixup of {features}"), mixed(features))));
    tapes.push(("counts of many classes".into(), many_classes()));
    tapes
}

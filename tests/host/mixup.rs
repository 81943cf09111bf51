//! Mixup: shares, images and losses by hand, gradients, and what is refused.

use std::sync::Arc;

use tilegrad::graph::{Purpose, Spec, Stage, Tape, TensorId};
use tilegrad::ops::confusion::AccumulateConfusion;
use tilegrad::ops::mixup::{LAMBDA, Mix, MixLoss, MixTarget, Mixup};
use tilegrad::ops::softmax_cross_entropy::{Reduction, SoftmaxCrossEntropy};
use tilegrad::reference::{HostStore, Program};
use tilegrad::rng::{Rng, draw};
use tilegrad::twin::Value;

use crate::distributions::{DRAWS, assert_distributed, mean_and_deviation};
use crate::gradients::{check, labels, random, real};

#[test]
fn shares_follow_the_beta_distribution() {
    let shares =
        |alpha: f64| -> Vec<f64> { (0..DRAWS).map(|step| Mixup { alpha }.lambda(&draw(4, step)).into()).collect() };
    for alpha in [0.001, 0.05, 0.2, 0.4, 1.0, 2.0, 8.0, 300.0] {
        let numbers = shares(alpha);
        assert!(numbers.iter().all(|x| (0.0..=1.0).contains(x)), "alpha {alpha}");
        let [mean, deviation] = mean_and_deviation(&numbers);
        let expected = (1.0 / (4.0 * (2.0 * alpha + 1.0))).sqrt();
        let room = 6.0 * expected / f64::from(DRAWS).sqrt();
        assert!((mean - 0.5).abs() < room, "alpha {alpha}: mean {mean}");
        assert!((deviation - expected).abs() < room, "alpha {alpha}: deviation {deviation}, not {expected}");
    }
    assert_distributed("alpha 1", shares(1.0), |x| x);
    assert_distributed("alpha 2", shares(2.0), |x| x * x * (3.0 - 2.0 * x));
    assert_distributed("alpha 1/2", shares(0.5), |x| x.sqrt().asin() * std::f64::consts::FRAC_2_PI);
    let mixup = Mixup { alpha: 0.4 };
    assert_eq!(mixup.lambda(&draw(4, 7)), mixup.lambda(&draw(4, 7)));
    assert_ne!(mixup.lambda(&draw(4, 7)), mixup.lambda(&draw(5, 7)));
}

/// Three images of two numbers, by hand; the loss is that of a soft target.
#[test]
fn mixed_images_and_losses_by_hand() {
    let mut tape = Tape::new(Purpose::Train);
    let x = tape.input("x", Spec::f32([3, 2])).unwrap();
    let target = tape.input("target", Spec::i32([3])).unwrap();
    let share = tape.mixup_lambda().unwrap();
    assert_eq!(tape.mixup_lambda().unwrap(), share, "declared once");
    let mixed = tape.mixup("mixup", x, share).unwrap();
    let op = SoftmaxCrossEntropy { ignore_index: 9, ..SoftmaxCrossEntropy::default() };
    let loss = tape.mixed_cross_entropy("loss", x, target, None, share, op).unwrap();
    let mut program = Program::<f64>::new(Arc::new(tape));
    program.write("x", Value::Real(vec![1.0, 2.0, 3.0, 5.0, -1.0, 4.0])).unwrap();
    program.write("target", Value::Int(vec![0, 1, 1])).unwrap();
    let run = |program: &mut Program<f64>, lambda: f64| {
        program.write(LAMBDA, Value::Real(vec![lambda])).unwrap();
        program.run(&mut HostStore::default(), &[Stage::Forward]).unwrap();
        [mixed, loss.loss, loss.totals].map(|id| program.read(id).unwrap().real().to_vec())
    };
    // Classes by margin: 1, 2, 5 for class 1, so that the losses of class 1 and 0 are ln(1 + e^-m) and ln(1 + e^m).
    let of = |margin: f64, class: i32| (1.0 + (if class == 1 { -margin } else { margin }).exp()).ln();
    let own = of(1.0, 0) + of(2.0, 1) + of(5.0, 1);
    let other = of(1.0, 1) + of(2.0, 1) + of(5.0, 0);
    let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
    for (lambda, right) in [(0.75, 2.0), (0.25, 2.0), (1.0, 2.0), (0.0, 2.0), (0.5, 2.0)] {
        let [mixed, loss, totals] = run(&mut program, lambda);
        let rest = 1.0 - lambda;
        assert_eq!(
            mixed,
            [lambda - rest, 2.0 * lambda + 4.0 * rest, 3.0, 5.0, rest - lambda, 4.0 * lambda + 2.0 * rest]
        );
        let sum = lambda * own + rest * other;
        assert!(near(loss[0], sum / 3.0) && near(totals[0], sum), "{loss:?} {totals:?} for {sum}");
        assert_eq!(totals[1..], [3.0, right, 3.0]);
    }
    // One ignored target: it is the last row's in the reversed batch. The other's prediction is right, not the own.
    program.write("target", Value::Int(vec![9, 0, 1])).unwrap();
    let [_, _, totals] = run(&mut program, 0.25);
    assert_eq!(totals[1..], [2.0, 1.0, 2.0]);
    program.write("target", Value::Int(vec![0, 0, 1])).unwrap();
    assert_eq!([0.75, 0.5, 0.25].map(|lambda| run(&mut program, lambda)[2][2]), [1.0, 1.0, 1.0]);
    program.write("target", Value::Int(vec![1, 0, 9])).unwrap();
    assert_eq!([0.75, 0.5, 0.25].map(|lambda| run(&mut program, lambda)[2][2]), [1.0, 1.0, 1.0]);
    program.write("x", Value::Real(vec![1.0, 2.0, 3.0, 5.0, 4.0, -1.0])).unwrap();
    program.write("target", Value::Int(vec![1, 1, 0])).unwrap();
    assert_eq!([0.75, 0.5, 0.25].map(|lambda| run(&mut program, lambda)[2][2]), [3.0, 3.0, 1.0]);
}

#[test]
fn gradients_of_mixup() {
    for seed in 0..40_u64 {
        let rng = Rng::new(seed, "mixup");
        let between = |i: u64, low: u32, high: u32| (low + rng.below(i, high - low + 1)) as usize;
        let (rows, classes) = (between(0, 1, 6), between(1, 2, 5));
        let lambda = real(Spec::f32([1]), vec![[0.0, 0.3, 0.5, 1.0][between(2, 0, 3)]]);
        let lambda = crate::gradients::Operand { wanted: false, ..lambda };
        let dims = [rows, between(3, 1, 4), between(4, 1, 3), between(5, 1, 3)];
        check(&format!("mixup {dims:?}"), &[random(dims, seed, "x"), lambda], |tape, ids| {
            vec![tape.mixup("mixup", ids[0], ids[1]).unwrap()]
        });
        let lambda = real(Spec::f32([1]), vec![[0.0, 0.3, 0.5, 1.0][between(2, 0, 3)]]);
        let lambda = crate::gradients::Operand { wanted: false, ..lambda };
        let targets: Vec<i32> = (0..rows as u64).map(|i| rng.below(9 + i, classes as u32) as i32).collect();
        let reduction = if seed % 2 == 0 { Reduction::Mean } else { Reduction::Sum };
        let op = SoftmaxCrossEntropy { reduction, label_smoothing: 0.1, ..SoftmaxCrossEntropy::default() };
        let operands = [random([rows, classes], seed, "logits"), labels(&targets), lambda];
        check(&format!("mixed loss {rows} {classes}"), &operands, |tape, ids| {
            vec![tape.mixed_cross_entropy("loss", ids[0], ids[1], None, ids[2], op).unwrap().loss]
        });
    }
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let refused = |build: &dyn Fn(&mut Tape, [TensorId; 4]) -> tilegrad::Result<()>| {
        let mut tape = Tape::new(Purpose::Train);
        let x = tape.input("x", Spec::f32([3, 2])).unwrap();
        let target = tape.input("target", Spec::i32([3])).unwrap();
        let one = tape.input("one", Spec::f32([1])).unwrap();
        let four = tape.input("four", Spec::i32([4])).unwrap();
        build(&mut tape, [x, target, one, four]).unwrap_err().to_string()
    };
    let op = SoftmaxCrossEntropy::default();
    let top = |top_k| AccumulateConfusion { top_k, ..AccumulateConfusion::default() };
    let mixed = refused(&|tape, [x, _, _, four]| tape.mixup("mix", x, four).map(drop));
    assert_eq!(mixed, "mixup \"mix\": lambda must be f32 [1], it is [4]");
    let ints = refused(&|tape, [_, target, one, _]| tape.mixup("mix", target, one).map(drop));
    assert_eq!(ints, "mixup \"mix\": input must be f32 [N,..], it is [3]");
    let reals = refused(&|tape, [x, ..]| tape.append("flip", MixTarget, &[x], &[]).map(drop));
    assert_eq!(reals, "mixup_target \"flip\": target must be [N] of i32, it is [3,2] of F32");
    let losses = refused(&|tape, [x, _, one, _]| tape.append("mix", MixLoss, &[one, x, one, x, one], &[]).map(drop));
    assert!(losses.contains("must be loss [1] and totals [4], twice, and lambda [1]"), "{losses}");
    let loss = refused(&|tape, [x, t, _, four]| tape.mixed_cross_entropy("loss", x, t, None, four, op).map(drop));
    assert_eq!(loss, "mixup_loss \"loss\": lambda must be f32 [1], it is [4]");
    let arity = refused(&|tape, [x, ..]| tape.append("mix", Mix, &[x], &[]).map(drop));
    assert_eq!(arity, "mixup \"mix\": takes [2] operands, got 1");
    let zero = refused(&|tape, [x, target, ..]| tape.accumulate_confusion("counts", x, target, top(0)));
    assert_eq!(zero, "confusion \"counts\": top_k must be 1 to 2^32 - 1, it is 0");
    let long = refused(&|tape, [x, _, _, four]| tape.accumulate_confusion("counts", x, four, top(5)));
    assert!(long.contains("logits [3,2], target [4] of I32"), "{long}");
    let flat = refused(&|tape, [_, target, one, _]| tape.accumulate_confusion("counts", one, target, top(5)));
    assert_eq!(flat, "confusion \"counts\": logits must be f32 [N,classes], they are [1]");
    // A gradient by the share is asked for only where it is a parameter.
    let mut tape = Tape::new(Purpose::Train);
    let x = tape.input("x", Spec::f32([3, 2])).unwrap();
    let share = tape.input("share", Spec::f32([1])).unwrap();
    let mixed = tape.mixup("mix", x, share).unwrap();
    let error = tape.gradients_of(&[(mixed, x)], &[share]).unwrap_err().to_string();
    assert_eq!(error, "mixup \"mix\": has no gradient by lambda; freeze it");
}

//! What operations compute beside their gradients and golden values (the gathered batch, the accumulators, column_sum, the L1
//! penalty of sgd, activations of numbers that are none), and what they refuse.

use std::sync::Arc;

use tilegrad::Error;
use tilegrad::graph::{Purpose, Spec, Stage, Tape, TensorId};
use tilegrad::ops::activation::{Activation, Approximate};
use tilegrad::ops::confusion::{AccumulateConfusion, Confusion};
use tilegrad::ops::gather::Gather;
use tilegrad::ops::metrics::{HISTORY, Metrics};
use tilegrad::ops::nll_loss::NllLoss;
use tilegrad::ops::reduce::Dim;
use tilegrad::ops::sgd::{Clip, SgdUpdate};
use tilegrad::ops::softmax_cross_entropy::{Reduction, SoftmaxCrossEntropy};
use tilegrad::reference::{HostStore, Program};
use tilegrad::rng::Init;
use tilegrad::shape::{DType, Layout};
use tilegrad::twin::Value;

use crate::common::cases;

const ALL: [Stage; 4] = [Stage::Gather, Stage::Forward, Stage::Backward, Stage::Update];

fn reals(values: &[f32]) -> Value<f32> {
    Value::Real(values.to_vec())
}

/// What `operation` makes of an input of this shape.
fn unary(spec: Spec, values: &[f32], operation: impl Fn(&mut Tape, TensorId) -> TensorId) -> Vec<f32> {
    let mut tape = Tape::new(Purpose::Train);
    let input = tape.input("input", spec).unwrap();
    let output = operation(&mut tape, input);
    let mut program = Program::<f32>::new(Arc::new(tape));
    program.write("input", reals(values)).unwrap();
    program.run(&mut HostStore::default(), &ALL).unwrap();
    program.read(output).unwrap().real().to_vec()
}

#[test]
fn a_batch_is_gathered_from_bytes() {
    // Three images of 2 channels and 2x3 pixels, as files have them: [h, w, channels].
    let bytes: Vec<u8> = (0..36).map(|i| (7 * i) as u8).collect();
    let mut tape = Tape::new(Purpose::Train);
    let images = tape.resident("images", Spec { dtype: DType::U8, ..Spec::f32([3, 2, 2, 3]) });
    let labels = tape.resident("labels", Spec::i32([3]));
    let indices = tape.input("indices", Spec::i32([4])).unwrap();
    let op = Gather { scale: [0.5; 4], shift: [-3.0; 4], augment: None };
    let batch = tape.gather("batch", images, indices, op).unwrap();
    let target = tape.gather_labels("target", labels, indices).unwrap();
    let mut store = HostStore::<f32>::default();
    store.set("images", Value::Bytes(bytes.clone().into()));
    store.set("labels", Value::Int(vec![5, -100, 8]));
    let mut program = Program::new(Arc::new(tape));
    let order = [2, 0, 2, 1];
    program.write("indices", Value::Int(order.to_vec())).unwrap();
    program.run(&mut store, &ALL).unwrap();

    let values = program.read(batch).unwrap().real();
    for (n, &image) in order.iter().enumerate() {
        for (c, h, w) in (0..12).map(|i| (i / 6, i / 3 % 2, i % 3)) {
            let byte = bytes[image as usize * 12 + (h * 3 + w) * 2 + c];
            assert_eq!(values[n * 12 + (c * 2 + h) * 3 + w], f32::from(byte) * 0.5 - 3.0, "image {n}, {c} {h} {w}");
        }
    }
    assert_eq!(program.read(target), Some(&Value::Int(vec![8, 5, 8, -100])));
}

#[test]
fn metrics_add_up_over_steps_as_over_one_batch() {
    let mut tape = Tape::new(Purpose::Train);
    let logits = tape.input("logits", Spec::f32([3, 2])).unwrap();
    let target = tape.input("target", Spec::i32([3])).unwrap();
    let weight = tape.input("weight", Spec::f32([2])).unwrap();
    for (name, reduction) in [("mean", Reduction::Mean), ("sum", Reduction::Sum)] {
        let op = SoftmaxCrossEntropy { reduction, ..SoftmaxCrossEntropy::default() };
        let loss = tape.softmax_cross_entropy(name, logits, target, Some(weight), op).unwrap();
        tape.accumulate(name, loss).unwrap();
    }
    let mut program = Program::new(Arc::new(tape));
    let mut store = HostStore::<f32>::default();
    program.write("weight", reals(&[1.0, 3.0])).unwrap();

    let steps = HISTORY + 3;
    let (mut sum, mut weights, mut right, mut count, mut losses) = (0.0, 0.0, 0.0, 0_u64, Vec::new());
    for step in 0..steps {
        // Never 0, where either prediction would do.
        let x = (0.1 + step as f64 * 0.37).sin() as f32;
        // The first row's target is class 0, the second's class 1, the third's is ignored now and then.
        let third = if step % 3 == 0 { -100 } else { 1 };
        program.write("logits", reals(&[x, 0.0, x, 0.0, 0.0, x])).unwrap();
        program.write("target", Value::Int(vec![0, 1, third])).unwrap();
        program.run(&mut store, &ALL).unwrap();
        let rows = [(x, 1.0), (-x, 3.0), (x, 3.0)];
        let counted = &rows[..if third == 1 { 3 } else { 2 }];
        let (mut step_sum, mut step_weights) = (0.0, 0.0);
        for &(margin, weight) in counted {
            step_sum += weight * (1.0 + (-f64::from(margin)).exp()).ln();
            step_weights += weight;
            right += f64::from(u8::from(margin > 0.0));
            count += 1;
        }
        sum += step_sum;
        weights += step_weights;
        losses.push((step_sum / step_weights, step_sum));
    }
    for (name, last) in [("mean", 0), ("sum", 1)] {
        let metrics = Metrics::from_state(store.get(name).unwrap().real()).unwrap();
        assert_eq!((metrics.steps, metrics.count), (steps as u64, count), "{name}");
        assert!((metrics.accuracy - right / count as f64).abs() < 1e-12, "{name}: {}", metrics.accuracy);
        // Kahan's sum: no more than the rounding of one step, whatever the number of steps.
        assert!((metrics.loss / (sum / weights) - 1.0).abs() < 2e-7, "{name}: {} for {}", metrics.loss, sum / weights);
        assert_eq!(metrics.losses.len(), HISTORY, "{name}");
        for (actual, expected) in metrics.losses.iter().zip(&losses[3..]) {
            let expected = if last == 0 { expected.0 } else { expected.1 };
            assert!((f64::from(*actual) - expected).abs() < 1e-6 * expected.abs(), "{name}: {actual} for {expected}");
        }
    }
}

#[test]
fn column_sum_adds_up_everything_but_channels() {
    let values: Vec<f32> = (0..24).map(|i| i as f32).collect();
    let sum = |tape: &mut Tape, x| tape.column_sum("sum", x).unwrap();
    // [2, 3, 2, 2]: channel 0 holds 0..4 and 12..16.
    assert_eq!(unary(Spec::f32([2, 3, 2, 2]), &values, sum), [60.0, 92.0, 124.0]);
    assert_eq!(unary(Spec::f32([6, 4]), &values, sum), [60.0, 66.0, 72.0, 78.0]);
}

#[test]
fn activations_keep_nan_and_bear_infinities() {
    let input = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 100.0, -100.0, -2.0];
    let apply = |operation: fn(&mut Tape, TensorId) -> tilegrad::Result<TensorId>| {
        unary(Spec::f32([input.len()]), &input, |tape, x| operation(tape, x).unwrap())
    };
    for (name, values, expected) in [
        ("relu", apply(|tape, x| tape.relu("", x)), [f32::INFINITY, 0.0, 0.0, 100.0, 0.0, 0.0]),
        ("sigmoid", apply(|tape, x| tape.sigmoid("", x)), [1.0, 0.0, 0.5, 1.0, 0.0, 0.119_202_92]),
        ("tanh", apply(|tape, x| tape.tanh("", x)), [1.0, -1.0, 0.0, 1.0, -1.0, -0.964_027_6]),
    ] {
        assert!(values[0].is_nan(), "{name}: NaN stays");
        for (x, (actual, expected)) in input[1..].iter().zip(values[1..].iter().zip(expected)) {
            assert!(*actual == expected || (actual - expected).abs() < 1e-7, "{name}({x}) is {actual}");
        }
    }
}

/// The L1 penalty is not PyTorch's, so no golden value has it: g + weight_decay p + l1 sign(p), before the momentum.
#[test]
fn sgd_adds_both_penalties_to_the_gradient() {
    let mut tape = Tape::new(Purpose::Train);
    let hyper = tape.input("hyper", Spec::f32([2])).unwrap();
    let count = tape.input("updates", Spec::f32([2])).unwrap();
    let grad = tape.input("grad", Spec::f32([4])).unwrap();
    let mut kept = |name: &str| tape.parameter(name, [4], Layout::RowMajor, Init::Constant(0.0)).unwrap();
    let updates = [kept("parameter"), kept("momentum_buffer")];
    let clip = Clip::None;
    let op = SgdUpdate { group: 0, dampening: 0.0, weight_decay: 0.5, l1: 0.25, nesterov: false, maximize: true, clip };
    tape.set_stage(Stage::Update);
    tape.append("sgd", op, &[hyper, count, grad], &updates).unwrap();
    let mut store = HostStore::<f32>::new(&tape, 0);
    store.set("parameter", reals(&[2.0, -2.0, 0.0, -0.0]));
    store.set("momentum_buffer", reals(&[9.0, 9.0, 9.0, 9.0]));
    let mut program = Program::new(Arc::new(tape));
    program.write("grad", reals(&[1.0, 1.0, 1.0, 1.0])).unwrap();

    // First step: the momentum buffer is set to g = -1 + 0.5 p + 0.25 sign(p), whatever was there before.
    program.write("hyper", reals(&[1.0, 0.5])).unwrap();
    program.write("updates", reals(&[3.0, 1.0])).unwrap();
    program.run(&mut store, &ALL).unwrap();
    assert_eq!(store.get("momentum_buffer").unwrap().real(), [0.25, -2.25, -1.0, -1.0]);
    assert_eq!(store.get("parameter").unwrap().real(), [1.75, 0.25, 1.0, 1.0]);
    // Second step: g = [0.125, -0.625, -0.25, -0.25], buffer = 0.5 buffer + g.
    program.write("updates", reals(&[4.0, 2.0])).unwrap();
    program.run(&mut store, &ALL).unwrap();
    assert_eq!(store.get("momentum_buffer").unwrap().real(), [0.25, -1.75, -0.75, -0.75]);
    assert_eq!(store.get("parameter").unwrap().real(), [1.5, 2.0, 1.75, 1.75]);
}

/// Loss, totals and gradient by the logits, one after another.
fn losses(tape: Tape, read: &[TensorId], case: &cases::CrossEntropyCase, seed: u64) -> Vec<f64> {
    let mut program = Program::<f64>::new(Arc::new(tape));
    let values = |name: &str, len: usize| cases::uniform(seed, name, len).into_iter().map(f64::from);
    let logits = values("logits", case.logits[0] * case.logits[1]).map(|x| 4.0 * x).collect();
    program.write("logits", Value::Real(logits)).unwrap();
    program.write("target", Value::Int(case.targets.clone())).unwrap();
    let weight = values("weight", case.logits[1]).map(|w| 1.0 + 0.7 * w).collect();
    program.write("weight", Value::Real(weight)).unwrap();
    program.write("seed", Value::Real(vec![1.5])).unwrap();
    program.run(&mut HostStore::default(), &[Stage::Forward, Stage::Backward]).unwrap();
    read.iter().flat_map(|&id| program.read(id).unwrap().real().to_vec()).collect()
}

#[test]
fn log_softmax_and_nll_loss_are_softmax_cross_entropy() {
    for seed in 0..40 {
        let case = cases::cross_entropy_case(seed, 12, 9);
        let build = |fused: bool| {
            let mut tape = Tape::new(Purpose::Train);
            let logits = tape.input("logits", Spec::f32(case.logits)).unwrap();
            let target = tape.input("target", Spec::i32([case.logits[0]])).unwrap();
            let weight = tape.input("weight", Spec::f32([case.logits[1]])).unwrap();
            let weight = case.weighted.then_some(weight);
            let (reduction, ignore_index) = (case.op.reduction, case.op.ignore_index);
            let loss = if fused {
                let op = SoftmaxCrossEntropy { reduction, ignore_index, label_smoothing: 0.0 };
                tape.softmax_cross_entropy("loss", logits, target, weight, op).unwrap()
            } else {
                let log_probs = tape.log_softmax("log_softmax", logits).unwrap();
                tape.nll_loss("loss", log_probs, target, weight, NllLoss { reduction, ignore_index }).unwrap()
            };
            let grad = tape.input("seed", Spec::f32([1])).unwrap();
            let gradient = tape.gradients_of(&[(loss.loss, grad)], &[logits]).unwrap()[&logits];
            losses(tape, &[loss.loss, loss.totals, gradient], &case, seed)
        };
        for (a, b) in build(true).into_iter().zip(build(false)) {
            assert!((a - b).abs() <= 1e-12 * a.abs().max(1.0), "{case:?}: {a} by one operation, {b} by two");
        }
    }
}

/// What an activation makes of one number, and its gradient there, in f32.
fn at(activation: Activation, x: f32) -> (f32, f32) {
    let mut tape = Tape::new(Purpose::Train);
    let input = tape.input("input", Spec::f32([1])).unwrap();
    let output = tape.activation("activation", activation, input).unwrap();
    let one = tape.constant(1.0);
    let gradient = tape.gradients_of(&[(output, one)], &[input]).unwrap()[&input];
    let mut program = Program::<f32>::new(Arc::new(tape));
    program.write("input", Value::Real(vec![x])).unwrap();
    program.run(&mut HostStore::default(), &[Stage::Forward, Stage::Backward]).unwrap();
    let read = |id| program.read(id).unwrap().real()[0];
    (read(output), read(gradient))
}

#[test]
fn activations_bear_nan_and_infinities_as_pytorch_does() {
    let smooth = [Activation::Gelu(Approximate::None), Activation::Gelu(Approximate::Tanh), Activation::Silu];
    for activation in smooth {
        assert_eq!(at(activation, f32::INFINITY).0, f32::INFINITY, "{activation:?}");
        for x in [f32::NAN, f32::NEG_INFINITY] {
            assert!(at(activation, x).0.is_nan(), "{activation:?} of {x}");
        }
        for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(at(activation, x).1.is_nan(), "the gradient of {activation:?} at {x}");
        }
        assert_eq!((at(activation, 0.0), at(activation, 200.0)), ((0.0, 0.5), (200.0, 1.0)), "{activation:?}");
        let (value, gradient) = at(activation, -200.0);
        assert!(value.abs() < 1e-30 && gradient.abs() < 1e-30, "{activation:?} of -200: {value}, {gradient}");
    }
    let leaky = Activation::LeakyRelu { negative_slope: -0.5 };
    assert_eq!(at(leaky, f32::NEG_INFINITY), (f32::INFINITY, -0.5));
    assert_eq!(at(leaky, f32::INFINITY), (f32::INFINITY, 1.0));
    assert!(at(leaky, f32::NAN).0.is_nan());
    assert_eq!(at(Activation::LEAKY_RELU, -0.0), (-0.0, 0.01));
}

/// The message of what `build` makes of an input of this shape.
fn refused(spec: Spec, build: impl Fn(&mut Tape, TensorId) -> tilegrad::Result<TensorId>) -> String {
    let mut tape = Tape::new(Purpose::Train);
    let input = tape.input("input", spec).unwrap();
    match build(&mut tape, input) {
        Err(error @ (Error::Shape { .. } | Error::Attribute { .. })) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(id) => panic!("makes {}", tape.shape(id)),
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let image = || Spec::f32([2, 3, 4, 5]);
    let other = |tape: &mut Tape| tape.input("other", Spec::f32([2, 3, 4, 6])).unwrap();
    let messages = [
        refused(image(), |tape, x| {
            let y = other(tape);
            tape.mul("product", x, y)
        }),
        refused(image(), |tape, x| {
            let y = other(tape);
            tape.mse_loss("loss", x, y, Reduction::Mean)
        }),
        refused(image(), |tape, x| {
            let y = other(tape);
            tape.concat("cat", &[x, y])
        }),
        refused(Spec::f32([3]), |tape, x| tape.concat("cat", &[x])),
        refused(image(), |tape, _| tape.concat("cat", &[])),
        refused(image(), |tape, x| tape.narrow("part", x, 2, 2)),
        refused(image(), |tape, x| tape.narrow("part", x, usize::MAX, 2)),
        refused(Spec::f32([2, 3]), |tape, x| tape.mean("pool", x, Dim::Spatial)),
        refused(Spec::f32([3]), |tape, x| tape.sum("rows", x, Dim::AllButBatch)),
        refused(image(), |tape, x| tape.zero_pad2d("crop", x, [-2, -2, 0, 0])),
        refused(image(), |tape, x| tape.zero_pad2d("crop", x, [9, -5, 0, 0])),
        refused(image(), |tape, x| tape.zero_pad2d("crop", x, [isize::MAX, isize::MIN, 0, 0])),
        refused(image(), |tape, x| tape.zero_pad2d("vast", x, [1 << 40, 0, 0, 0])),
        refused(image(), |tape, x| tape.upsample("up", x, [2, 0])),
        refused(image(), |tape, x| tape.upsample("up", x, [usize::MAX, usize::MAX])),
        refused(Spec::f32([2, 3, 4]), |tape, x| tape.log_softmax("classes", x)),
        refused(image(), |tape, x| {
            let target = tape.input("target", Spec::i32([2])).unwrap();
            Ok(tape.nll_loss("loss", x, target, None, NllLoss::default())?.loss)
        }),
    ];
    let expected = [
        "mul \"product\": both operands need one shape, they are [2,3,4,5] and [2,3,4,6]",
        "mse_loss \"loss\": both operands need one shape, they are [2,3,4,5] and [2,3,4,6]",
        "concat \"cat\": operands may differ in channels alone, they are [2,3,4,5], [2,3,4,6]",
        "concat \"cat\": every operand must be [N,C,H,W] or [N,C] with no empty extent, it is [3]",
        "concat \"cat\": needs at least one operand",
        "narrow \"part\": start 2, length 2 is no run of the 3 channels of input [2,3,4,5]",
        "narrow \"part\": start 18446744073709551615, length 2 is no run of the 3 channels of input [2,3,4,5]",
        "mean \"pool\": input must be [N,C,H,W], it is [2,3]",
        "sum \"rows\": input must be [N,C,H,W] or [N,C], it is [3]",
        "zero_pad2d \"crop\": padding [-2, -2, 0, 0] (top, bottom, left, right) leaves nothing of input [2,3,4,5]",
        "zero_pad2d \"crop\": padding [9, -5, 0, 0] (top, bottom, left, right) leaves nothing of input [2,3,4,5]",
        "zero_pad2d \"crop\": padding [9223372036854775807, -9223372036854775808, 0, 0] (top, bottom, left, right) leaves nothing of input [2,3,4,5]",
        "zero_pad2d \"vast\": the output would be [2,3,1099511627780,5], more than 2^31 elements",
        "upsample \"up\": scale_factor must be at least 1, it is [2, 0]",
        "upsample \"up\": the output would be [2,3,18446744073709551615,18446744073709551615], more than 2^31 elements",
        "log_softmax \"classes\": input must be [N,C,H,W] or [N,C] with no empty extent, it is [2,3,4]",
        "nll_loss \"loss\": target must be log_probs without the classes, of i32; log_probs [2,3,4,5], target [2] of I32",
    ];
    assert_eq!(messages.len(), expected.len());
    for (message, expected) in messages.iter().zip(expected) {
        assert_eq!(message, expected);
    }
}

/// Ties, an unknown class, an ignored one and k, as said in the documentation.
#[test]
fn predictions_are_counted_as_said() {
    let mut tape = Tape::new(Purpose::Evaluate);
    let logits = tape.input("logits", Spec::f32([6, 3])).unwrap();
    let target = tape.input("target", Spec::i32([6])).unwrap();
    let op = AccumulateConfusion { top_k: 2, ignore_index: 2 };
    tape.accumulate_confusion("counts", logits, target, op).unwrap();
    let mut program = Program::<f32>::new(Arc::new(tape));
    let mut store = HostStore::default();
    let nan = f32::NAN;
    // A tie of the first two; third of three; beside a NaN; a NaN itself; ignored; no class.
    let rows = [[5.0, 5.0, 1.0], [1.0, 2.0, 3.0], [1.0, 2.0, nan], [nan, 2.0, 1.0], [0.0; 3], [0.0; 3]];
    program.write("logits", Value::Real(rows.concat())).unwrap();
    program.write("target", Value::Int(vec![1, 0, 1, 0, 2, 3])).unwrap();
    program.run(&mut store, &[Stage::Forward]).unwrap();
    let confusion = Confusion::from_state(store.get("counts").unwrap().real());
    // The tie goes to class 0, NaN is no largest but in the first place.
    let counts = vec![1, 0, 1, 1, 1, 0, 0, 0, 0];
    let expected = Confusion { classes: 3, counts, top_k: 2, top_k_right: 2, unknown: 1 };
    assert_eq!(confusion, expected);
}

//! The gradient rules of the operations beside convolution and pooling against central differences, and what these
//! operations mean and refuse.

use std::sync::Arc;

use tilegrad::Error;
use tilegrad::graph::{Spec, Stage, Tape, TensorId};
use tilegrad::ops::activation::{Activation, Approximate};
use tilegrad::ops::nll_loss::NllLoss;
use tilegrad::ops::reduce::Dim;
use tilegrad::ops::softmax_cross_entropy::{Reduction, SoftmaxCrossEntropy};
use tilegrad::reference::{Program, Store};
use tilegrad::shape::Layout;
use tilegrad::twin::Value;

use crate::cases;
use crate::gradients::{self, check, labels, random, real};
use crate::more_cases::{FAMILIES, OpCase, Operand};

/// Holds the gradients of a case against central differences.
pub fn differences(OpCase { label, operands, build, .. }: OpCase) {
    let convert = |Operand { spec, value, wanted }| {
        let value = match value {
            Value::Real(values) => Value::Real(values.into_iter().map(f64::from).collect()),
            Value::Int(values) => Value::Int(values),
            Value::Bytes(values) => Value::Bytes(values),
        };
        gradients::Operand { spec, value, wanted }
    };
    let operands: Vec<_> = operands.into_iter().map(convert).collect();
    check(&label, &operands, |tape, ids| vec![build(tape, ids)]);
}

/// [`differences`] of 100 random cases.
fn family(name: &str) {
    let (_, family) = FAMILIES.iter().find(|(family, _)| *family == name).unwrap();
    (0..100).map(family).for_each(differences);
}

#[test]
fn mul_sub_and_scale() {
    family("arithmetic");
}

#[test]
fn leaky_relu_gelu_and_silu() {
    family("activation");
}

#[test]
fn concat() {
    family("concat");
    check("x beside itself", &[random([2, 3, 2, 2], 1, "x")], |tape, ids| {
        vec![tape.concat("concat", &[ids[0], ids[0]]).unwrap()]
    });
}

#[test]
fn narrow() {
    family("narrow");
}

#[test]
fn reduce() {
    family("reduce");
    let mut weight = random([4, 3, 2, 5], 1, "weight");
    weight.spec.layout = Layout::Hwio;
    check("the sum of a weight", &[weight], |tape, ids| vec![tape.sum("sum", ids[0], Dim::All).unwrap()]);
    check("the mean of a vector", &[random([7], 1, "x")], |tape, ids| {
        vec![tape.mean("mean", ids[0], Dim::All).unwrap()]
    });
}

#[test]
fn zero_pad2d() {
    family("zero_pad2d");
}

#[test]
fn upsample() {
    family("upsample");
}

#[test]
fn mse_loss() {
    family("mse_loss");
}

#[test]
fn log_softmax() {
    family("log_softmax");
}

#[test]
fn nll_loss() {
    family("nll_loss");
    let operands = [random([3, 4], 1, "logits"), labels(&[3, 0, 1])];
    check("both after one another", &operands, |tape, ids| {
        let log_probs = tape.log_softmax("log_softmax", ids[0]).unwrap();
        vec![tape.nll_loss("nll", log_probs, ids[1], None, NllLoss::default()).unwrap().loss]
    });
    let logits = real(Spec::f32([2, 2]), vec![0.3, -0.2, 0.7, 0.1]);
    check("all ignored", &[logits, labels(&[-100, -100])], |tape, ids| {
        let op = NllLoss { reduction: Reduction::Sum, ..NllLoss::default() };
        vec![tape.nll_loss("nll", ids[0], ids[1], None, op).unwrap().loss]
    });
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
    program.run(&mut Store::default(), &[Stage::Forward, Stage::Backward]).unwrap();
    read.iter().flat_map(|&id| program.read(id).unwrap().real().to_vec()).collect()
}

#[test]
fn log_softmax_and_nll_loss_are_softmax_cross_entropy() {
    for seed in 0..40 {
        let case = cases::cross_entropy_case(seed, 12, 9);
        let build = |fused: bool| {
            let mut tape = Tape::new(true);
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
    let mut tape = Tape::new(true);
    let input = tape.input("input", Spec::f32([1])).unwrap();
    let output = tape.activation("activation", activation, input).unwrap();
    let one = tape.constant(1.0);
    let gradient = tape.gradients_of(&[(output, one)], &[input]).unwrap()[&input];
    let mut program = Program::<f32>::new(Arc::new(tape));
    program.write("input", Value::Real(vec![x])).unwrap();
    program.run(&mut Store::default(), &[Stage::Forward, Stage::Backward]).unwrap();
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
    let mut tape = Tape::new(true);
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

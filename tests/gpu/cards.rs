//! Sums, statistics and rows of logits by the workgroups that a card gets, on this device: those of a software device are narrower.

use std::sync::Arc;

use tilegrad::graph::{Purpose, Spec, Tape};
use tilegrad::kernel::{Caps, Choices, DeviceClass};
use tilegrad::ops::conv2d::Conv2dAttributes;
use tilegrad::ops::matmul::Matmul;
use tilegrad::ops::nll_loss::NllLoss;
use tilegrad::ops::reduce::Dim;
use tilegrad::ops::softmax_cross_entropy::Reduction;
use tilegrad::plan::{ParameterLayout, Plan};
use tilegrad::shape::Shape;
use tilegrad::twin::Value;

use crate::check::{Case, Tolerance, card, check_as_card, check_op, device};
use crate::common::cases::{self, ConvCase, MatmulCase, uniform};
use crate::common::families::{FAMILIES, Near};
use crate::common::layers::{BatchNormCase, batch_norm_case};
use crate::kernels;
use crate::kernels::families::{differentiated, unary};
use crate::kernels::layers::batch_norm;

/// One input of this shape, and sums of it.
fn column_sum(shape: [usize; 4]) -> Case {
    let mut tape = Tape::new(Purpose::Train);
    let input = tape.input("input", Spec::f32(shape)).unwrap();
    let output = tape.column_sum("sum", input).unwrap();
    let len = shape.iter().product();
    Case {
        label: format!("column_sum of {shape:?}"),
        tape,
        inputs: vec![("input", Value::Real(uniform(1, "input", len)))],
        outputs: vec![(output, Tolerance::Sum { depth: len / shape[1] })],
    }
}

#[test]
fn column_sums() {
    let Some(device) = device() else { return };
    // Rows and columns about those of a band, a run and two passes; columns that divide by four, by two and by none.
    for shape in [
        [1, 1, 1, 1],
        [1, 7, 1, 1],
        [3, 4, 1, 1],
        [2, 64, 4, 4],
        [2, 68, 4, 5],
        [1, 260, 7, 9],
        [5, 6, 27, 31],
        [4, 6, 50, 50],
        [4, 10, 64, 64],
        [3, 5, 57, 59],
        [2, 1, 130, 130],
        [4, 64, 72, 72],
        [2, 1027, 5, 5],
    ] {
        check_as_card(device, &column_sum(shape));
        check_op(device, column_sum(shape));
    }
}

#[test]
fn reductions_and_losses() {
    let Some(device) = device() else { return };
    for (name, family) in
        FAMILIES.iter().filter(|(name, _)| ["reduce", "mse_loss", "nll_loss", "log_softmax"].contains(name))
    {
        for seed in 0..40 {
            let case = differentiated(family(1000 + seed));
            assert!(!case.outputs.is_empty(), "{name}");
            check_as_card(device, &case);
        }
    }
    for (shape, dim) in [
        ([2, 3, 200, 250], Dim::All),
        ([2, 3, 99, 251], Dim::All),
        ([2, 3, 100, 250], Dim::AllButBatch),
        ([2, 3, 101, 251], Dim::AllButBatch),
        ([2, 3, 40, 50], Dim::Spatial),
        ([2, 6, 90, 90], Dim::Spatial),
        ([1, 8, 140, 50], Dim::Spatial),
        ([2, 64, 7, 7], Dim::Spatial),
    ] {
        let len = shape.iter().product();
        let near = [Near::Sum(len), Near::Rounding(2.0)];
        let build = move |tape: &mut Tape, x| tape.mean("mean", x, dim).unwrap();
        let case =
            unary(&format!("mean over {dim:?} of {shape:?}"), Spec::f32(shape), uniform(1, "input", len), near, build);
        check_as_card(device, &case);
    }
}

/// Channels in vectors of four and single; rows of one run, of several, and of so many that partial results are merged twice.
fn batch_norms() -> Vec<Case> {
    let shapes = [[3, 8, 7, 5], [5, 8, 23, 31], [5, 3, 23, 31], [2, 64, 95, 97], [1, 3, 251, 271], [1, 1028, 9, 9]];
    let case = |(i, input)| {
        let seed = 220 + i as u64 * 3;
        batch_norm(seed, &BatchNormCase { input, affine: true, training: true, ..batch_norm_case(seed, 8) })
    };
    shapes.into_iter().enumerate().map(case).collect()
}

#[test]
fn batch_norms_of_cards() {
    let Some(device) = device() else { return };
    batch_norms().iter().for_each(|case| check_as_card(device, case));
    for seed in 0..30 {
        check_as_card(device, &batch_norm(seed, &batch_norm_case(seed, 20)));
    }
}

#[test]
fn batch_norms_of_this_device() {
    let Some(device) = device() else { return };
    batch_norms().into_iter().for_each(|case| check_op(device, case));
}

/// Rows of so few and so many classes as 1 to 256 invocations own, and pixels enough that their results are added up in two passes.
fn logits(shape: &[usize]) -> Case {
    let mut tape = Tape::new(Purpose::Train);
    let pixels = [&shape[..1], &shape[2..]].concat();
    let (classes, count) = (shape[1], pixels.iter().product());
    let input = tape.input("input", Spec::f32(Shape::new(shape))).unwrap();
    let target = tape.input("target", Spec::i32(Shape::new(pixels))).unwrap();
    let logs = tape.log_softmax("log_softmax", input).unwrap();
    let op = NllLoss { reduction: Reduction::Mean, ..NllLoss::default() };
    let loss = tape.nll_loss("loss", logs, target, None, op).unwrap();
    let seed = tape.input("grad_output", Spec::f32([1])).unwrap();
    let grads = tape.gradients_of(&[(loss.loss, seed)], &[input]).unwrap();
    let values = uniform(1, "input", shape.iter().product()).into_iter().map(|x| 4.0 * x).collect();
    let targets =
        uniform(2, "target", count).into_iter().map(|x| ((x + 1.0) * 0.5 * classes as f32) as i32 % classes as i32);
    Case {
        label: format!("losses of {shape:?}"),
        tape,
        inputs: vec![
            ("input", Value::Real(values)),
            ("target", Value::Int(targets.collect())),
            ("grad_output", Value::Real(vec![1.5])),
        ],
        outputs: vec![
            (logs, Tolerance::Rounding(16.0)),
            (loss.loss, Tolerance::Rounding(32.0)),
            (loss.totals, Tolerance::Rounding(8.0 * count as f64)),
            (grads[&input], Tolerance::Rounding(32.0)),
        ],
    }
}

#[test]
fn rows_of_few_and_many_classes() {
    let Some(device) = device() else { return };
    for shape in [
        &[5, 1][..],
        &[9, 16],
        &[9, 17],
        &[70, 33],
        &[3, 1000],
        &[2, 5000],
        &[2, 5, 70, 70],
        &[1, 40, 66, 67],
        &[1, 3, 301, 299],
    ] {
        check_as_card(device, &logits(shape));
        check_op(device, logits(shape));
    }
}

/// The cases above have the kernels of several passes, so that each is held to its twin.
#[test]
fn the_cases_have_every_kernel_of_sums() {
    let card = Caps::webgpu(DeviceClass::Discrete);
    let mut names = std::collections::BTreeSet::new();
    let cases = batch_norms().into_iter().chain([logits(&[1, 40, 66, 67]), logits(&[1, 3, 301, 299])]);
    for Case { mut tape, outputs, .. } in cases {
        outputs.iter().for_each(|&(id, _)| tape.keep(id));
        let layout = Arc::new(ParameterLayout::new(&tape, &card).unwrap());
        let plan = Plan::new(Arc::new(tape), layout, &card, &Default::default()).unwrap();
        names.extend(plan.steps.iter().map(|step| step.kernel.name));
    }
    for name in [
        "batch_norm2d/merged",
        "batch_norm2d/statistics",
        "batch_norm2d_grad/partials",
        "batch_norm2d_grad/sums",
        "batch_norm2d_grad/totals",
        "softmax_cross_entropy/fewer",
        "softmax_cross_entropy/totals",
    ] {
        assert!(names.contains(name), "{name} is not among {names:?}");
    }
}

/// The K dimension of small results is split on a card, and the parts are added up before the epilogue.
#[test]
fn split_products() {
    let Some(device) = device() else { return };
    let conv = |input, weight, conv| kernels::conv(5, &ConvCase { input, weight, conv, bias: true });
    let square = Conv2dAttributes { padding: [1; 4], ..Conv2dAttributes::default() };
    let strided = Conv2dAttributes { stride: [2, 2], ..square };
    let mut cases = vec![
        conv([2, 64, 7, 7], [36, 64, 3, 3], square),
        conv([2, 64, 8, 8], [32, 64, 3, 3], strided),
        conv([2, 64, 7, 9], [32, 64, 3, 3], Conv2dAttributes { dilation: [2, 1], ..strided }),
        conv([1, 96, 6, 6], [48, 24, 3, 3], Conv2dAttributes { groups: 4, ..square }),
        conv([3, 1290, 4, 4], [10, 1290, 1, 1], Conv2dAttributes::default()),
    ];
    for (transpose_a, transpose_b) in [(false, false), (false, true), (true, false)] {
        let [m, n, k] = [33, 20, 1000];
        let (a, b) = (if transpose_a { [k, m] } else { [m, k] }, if transpose_b { [n, k] } else { [k, n] });
        let op = Matmul { transpose_a, transpose_b };
        cases.push(kernels::matmul(6, &MatmulCase { a, b, output: [m, n], op, bias: true }));
    }
    for case in cases {
        let layout = Arc::new(ParameterLayout::new(&case.tape, &card(device)).unwrap());
        let mut tape = case.tape.clone();
        case.outputs.iter().for_each(|&(id, _)| tape.keep(id));
        let plan = Plan::new(Arc::new(tape), layout, &card(device), &Choices::default()).unwrap();
        let splits = plan.steps.iter().filter(|step| step.kernel.name == "split_sum").count();
        assert!(splits >= 1, "{}: nothing is split", case.label);
        check_as_card(device, &case);
    }
}

/// Statistics of chunks, groups, strides, odd channels and few columns by the tiles that a card takes.
#[test]
fn convolutions_of_a_card() {
    let Some(device) = device() else { return };
    for seed in 0..24 {
        check_as_card(device, &kernels::conv(7000 + seed, &cases::conv_case(7000 + seed, 20, 5)));
    }
    for groups in [2, 3, 8] {
        let conv =
            Conv2dAttributes { padding: [1; 4], stride: [1 + groups % 2, 2], groups, ..Conv2dAttributes::default() };
        let input = [2, 24, 13, 12];
        check_as_card(
            device,
            &kernels::conv(8, &ConvCase { input, weight: [48, 24 / groups, 3, 3], conv, bias: true }),
        );
    }
}

//! Gradient rules of batch_norm2d, dropout, adaptive_avg_pool2d and depthwise convolution, and what their shape rules refuse.

use tilegrad::graph::{Purpose, Spec, Tape};
use tilegrad::nn::{BatchNorm2d, Module};
use tilegrad::shape::DType;

use super::{check, random, weight};
use crate::common::cases;
use crate::common::families::CASES;
use crate::common::layers::{adaptive_case, batch_norm_case, dropout_case};

#[test]
fn batch_norm2d() {
    for seed in 0..100 {
        let mut case = batch_norm_case(seed, 4);
        // The gradients are checked on a tape for training, where evaluation is its own operation.
        case.training = true;
        let mut operands = vec![random(case.input, seed, "input")];
        if case.affine {
            operands.extend([random([case.input[1]], seed, "weight"), random([case.input[1]], seed, "bias")]);
        }
        check(&format!("seed {seed}: {case:?}"), &operands, |tape, ids| {
            vec![case.append(tape, ids[0], ids.get(1).map(|&weight| (weight, ids[2]))).0]
        });
    }
}

#[test]
fn batch_norm2d_in_evaluation() {
    use tilegrad::ops::batch_norm2d::BatchNorm2dEval;
    for seed in 0..100 {
        let case = batch_norm_case(seed, 4);
        let channels = case.input[1];
        let mut var = random([channels], seed, "running_var");
        if let tilegrad::twin::Value::Real(values) = &mut var.value {
            values.iter_mut().for_each(|v| *v += 1.5);
        }
        let mut operands = vec![random(case.input, seed, "input"), random([channels], seed, "running_mean"), var];
        operands[1].wanted = false;
        operands[2].wanted = false;
        if case.affine {
            operands.extend([random([channels], seed, "weight"), random([channels], seed, "bias")]);
        }
        check(&format!("seed {seed}: {case:?}"), &operands, |tape, ids| {
            vec![tape.append("norm", BatchNorm2dEval { eps: case.op.eps }, ids, &[]).unwrap()[0]]
        });
    }
}

#[test]
fn adaptive_avg_pool2d() {
    for seed in 0..100 {
        let (shape, size) = adaptive_case(seed, 3);
        check(&format!("seed {seed}: {shape:?} to {size:?}"), &[random(shape, seed, "input")], |tape, ids| {
            vec![tape.adaptive_avg_pool2d("pool", ids[0], size).unwrap()]
        });
    }
}

#[test]
fn dropout() {
    for seed in 0..100 {
        let (shape, p) = dropout_case(seed);
        let shape = tilegrad::shape::Shape::new(shape);
        check(&format!("seed {seed}: {shape:?}, p {p}"), &[random(shape.clone(), seed, "input")], |tape, ids| {
            vec![tape.dropout("drop", ids[0], p).unwrap()]
        });
    }
}

#[test]
fn conv2d_depthwise() {
    for seed in 0..100 {
        let case = cases::depthwise_case(seed, 6, 4);
        let mut operands = vec![random(case.input, seed, "input"), weight(case.weight, seed)];
        if case.bias {
            operands.push(random([case.weight[0]], seed, "bias"));
        }
        check(&format!("seed {seed}: {case:?}"), &operands, |tape, ids| {
            vec![tape.conv2d("conv", ids[0], ids[1], ids.get(2).copied(), case.conv).unwrap()]
        });
    }
}

#[test]
fn wrong_settings_are_named() {
    let refusal = |purpose: Purpose, shape: [usize; 4], change: &dyn Fn(&mut crate::common::layers::BatchNormCase)| {
        let mut case = batch_norm_case(1, 4);
        case.input = shape;
        change(&mut case);
        let mut tape = Tape::new(purpose);
        let input = tape.input("input", Spec::f32(shape)).unwrap();
        let channels = case.input[1];
        let running = tilegrad::ops::batch_norm2d::Running {
            mean: tape.buffer("running_mean", [channels], DType::F32, 0.0).unwrap(),
            var: tape.buffer("running_var", [channels], DType::F32, 1.0).unwrap(),
            batches: tape.buffer("num_batches_tracked", [1], DType::I32, 0.0).unwrap(),
        };
        tape.batch_norm2d("layer1.0.bn1", input, None, running, case.op).map(|_| ()).map_err(|e| e.to_string())
    };
    let error = refusal(Purpose::Train, [1, 3, 1, 1], &|_| {}).unwrap_err();
    assert!(error.contains("layer1.0.bn1") && error.contains("more than one value per channel"), "{error}");
    assert!(refusal(Purpose::Evaluate, [1, 3, 1, 1], &|_| {}).is_ok(), "evaluation needs no batch");
    let error = refusal(Purpose::Train, [2, 3, 4, 4], &|case| case.op.momentum = Some(1.5)).unwrap_err();
    assert!(error.contains("momentum") && error.contains("1.5"), "{error}");
    let error = refusal(Purpose::Train, [2, 3, 4, 4], &|case| case.op.eps = f64::NAN).unwrap_err();
    assert!(error.contains("eps"), "{error}");
    let error = refusal(Purpose::Evaluate, [2, 3, 4, 4], &|case| case.input[1] = 5).unwrap_err();
    assert!(error.contains("running_mean") && error.contains("[3]") && error.contains("[5]"), "{error}");

    let mut tape = Tape::new(Purpose::Train);
    let image = tape.input("image", Spec::f32([2, 3, 4, 4])).unwrap();
    let error = BatchNorm2d::new(0).apply(&mut tape, "bn1", image).unwrap_err().to_string();
    assert!(error.contains("bn1") && error.contains("at least one channel"), "{error}");

    for purpose in [Purpose::Train, Purpose::Evaluate] {
        let mut tape = Tape::new(purpose);
        let input = tape.input("input", Spec::f32([2, 3])).unwrap();
        let error = tape.dropout("classifier.2", input, 1.5).unwrap_err().to_string();
        assert!(error.contains("classifier.2") && error.contains("1.5"), "{error}");
        let image = tape.input("image", Spec::f32([2, 3, 4, 4])).unwrap();
        let error = tape.adaptive_avg_pool2d("avgpool", image, [0, 1]).unwrap_err().to_string();
        assert!(error.contains("avgpool") && error.contains("output"), "{error}");
    }
}

#[test]
fn global_average_pooling() {
    for seed in 0..CASES as u64 {
        let (shape, _) = adaptive_case(seed, 5);
        check(&format!("seed {seed}: {shape:?} to one pixel"), &[random(shape, seed, "input")], |tape, ids| {
            vec![tape.adaptive_avg_pool2d("pool", ids[0], [1, 1]).unwrap()]
        });
    }
}

//! Operations that only plans make, over the ranges of their attributes: the loss with its gradient, and the gradient of max
//! pooling with that of the relu before it.

use tilegrad::graph::{Purpose, Spec, Tape};
use tilegrad::ops::fused::max_pool2d_grad_relu::MaxPool2dGradRelu;
use tilegrad::ops::fused::softmax_cross_entropy_both::SoftmaxCrossEntropyBoth;
use tilegrad::ops::max_pool2d::MaxPool2dGrad;
use tilegrad::twin::Value;

use crate::check::{Case, Tolerance, check_as_card, check_op, device};
use crate::common::cases;

#[test]
fn softmax_cross_entropy_with_its_gradient() {
    let Some(device) = device() else { return };
    for seed in 0..46 {
        // The last ones have more classes, so that several invocations own a row, and several rows follow one another.
        let [rows, classes] = if seed < 40 { [150, 12] } else { [60, 200] };
        let case = cases::cross_entropy_case(500 + seed, rows, classes);
        let [rows, classes] = case.logits;
        let mut tape = Tape::new(Purpose::Train);
        let mut ids = vec![
            tape.input("logits", Spec::f32(case.logits)).unwrap(),
            tape.input("target", Spec::i32([rows])).unwrap(),
        ];
        let logits = cases::uniform(seed, "logits", rows * classes).into_iter().map(|x| x * 4.0).collect();
        let mut inputs = vec![("logits", Value::Real(logits)), ("target", Value::Int(case.targets.clone()))];
        if case.weighted {
            ids.push(tape.input("weight", Spec::f32([classes])).unwrap());
            let weights = cases::uniform(seed, "weight", classes).into_iter().map(|x| x * 0.7 + 1.0).collect();
            inputs.push(("weight", Value::Real(weights)));
        }
        let made = tape.append("loss", SoftmaxCrossEntropyBoth(case.op), &ids, &[]).unwrap();
        let outputs = vec![
            (made[0], Tolerance::Rounding(32.0)),
            (made[2], Tolerance::Rounding(32.0 * rows as f64)),
            (made[3], Tolerance::Rounding(32.0)),
        ];
        let case = Case { label: format!("seed {seed}, {case:?}"), tape, inputs, outputs };
        check_as_card(device, &case);
        check_op(device, case);
    }
}

#[test]
fn max_pool2d_gradient_with_that_of_relu() {
    let Some(device) = device() else { return };
    for seed in 0..40 {
        let case = cases::max_pool_case(500 + seed, 9, 4);
        let mut tape = Tape::new(Purpose::Train);
        let x = tape.input("x", Spec::f32(case.input)).unwrap();
        let pooled = tape.append("pool", case.pool, &[x], &[]).unwrap();
        let shape = tape.shape(pooled[0]).clone();
        let grad_output = tape.input("grad_output", Spec::f32(shape.clone())).unwrap();
        let op = MaxPool2dGradRelu(MaxPool2dGrad { pool: case.pool, input: case.input.into() });
        let grad = tape.append("grad", op, &[grad_output, pooled[1], pooled[0]], &[]).unwrap()[0];
        // A relu's output: half of it 0, and once NaN.
        let mut values = cases::uniform(seed, "x", case.input.iter().product());
        values.iter_mut().for_each(|x| *x = x.max(0.0));
        values[0] = f32::NAN;
        let grads = cases::uniform(seed, "grad_output", shape.len());
        let inputs = vec![("x", Value::Real(values)), ("grad_output", Value::Real(grads))];
        let outputs = vec![(grad, Tolerance::Sum { depth: 16 })];
        check_op(device, Case { label: format!("seed {seed}, {case:?}"), tape, inputs, outputs });
    }
}

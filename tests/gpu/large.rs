//! A parameter and a data set larger than one binding.

use std::sync::Arc;

use tilegrad::gpu::{Session, SessionOptions, Store};
use tilegrad::graph::{Spec, Tape};
use tilegrad::ops::Choices;
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::optim::Sgd;
use tilegrad::plan::{ParameterLayout, Plan};
use tilegrad::rng::Init;
use tilegrad::shape::Layout;

use crate::cases;
use crate::check::device;

/// VGG-16's first fully connected layer: 411 MB, where lavapipe's bindings end at 128 MiB.
#[test]
fn a_linear_of_25088_by_4096_runs_forward_backward_and_update() {
    let Some(device) = device() else { return };
    let (batch, inputs, outputs) = (3, 25_088, 4_096);
    let mut caps = device.caps().clone();
    // Where bindings are larger, cut as if they were not.
    caps.max_binding = caps.max_binding.min(128 << 20);
    let sgd = Sgd::new(0.5).momentum(0.9).weight_decay(0.1);
    let mut tape = Tape::new(true);
    let input = tape.input("input", Spec::f32([batch, inputs])).unwrap();
    let target = tape.input("target", Spec::i32([batch])).unwrap();
    let weight = tape.parameter("weight", [outputs, inputs], Layout::RowMajor, Init::Constant(0.0)).unwrap();
    let bias = tape.parameter("bias", [outputs], Layout::RowMajor, Init::Constant(0.0)).unwrap();
    let logits = tape.linear("fc", input, weight, Some(bias)).unwrap();
    let loss = tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default()).unwrap();
    let grads = tape.gradients_of(&[], &[]).unwrap();
    assert!(grads.is_empty());
    tape.keep(logits);
    // The gradient of the input is wanted too, so that all three products meet the pieces.
    let seed = tape.constant(1.0);
    let grad_input = tape.gradients_of(&[(loss.loss, seed)], &[input]).unwrap()[&input];
    tape.keep(grad_input);
    sgd.minimize(&mut tape, loss.loss).unwrap();

    let layout = Arc::new(ParameterLayout::new(&tape, &caps).unwrap());
    assert!(layout.pieces(0).len() >= 4, "{:?}", layout.pieces(0));
    let store = Arc::new(Store::new(device, Arc::clone(&layout)).unwrap());
    let plan = Plan::new(Arc::new(tape), layout, &caps, &Choices::default()).unwrap();
    let mut session = Session::new(&store, Arc::new(plan), SessionOptions::default()).unwrap();

    // A weight of small integers over 64, so that a sum is nearly exact and a wrong row or piece cannot hide.
    let at = |row: usize, column: usize| ((row * 7 + column * 13) % 31) as f32 / 64.0 - 0.25;
    let values: Vec<f32> = (0..outputs * inputs).map(|i| at(i / inputs, i % inputs)).collect();
    let x: Vec<f32> = cases::coarse(1, "input", batch * inputs);
    let labels = [5, 2_000, 4_095];
    store.set_parameter("weight", &values).unwrap();
    store.set_parameter("bias", &cases::coarse(1, "bias", outputs)).unwrap();
    session.write_f32("input", &x).unwrap();
    session.write_i32("target", &labels).unwrap();
    for (name, hyper) in sgd.hyperparameters(&session.plan().tape, 0.5, 0.9, true) {
        session.write_f32(&name, &hyper).unwrap();
    }
    session.step().unwrap();

    let bias = cases::coarse(1, "bias", outputs);
    let actual = session.read_f32(logits).unwrap();
    let exact: Vec<f64> = (0..batch * outputs)
        .map(|i| {
            let (n, row) = (i / outputs, i % outputs);
            let product = |k: usize| f64::from(x[n * inputs + k]) * f64::from(values[row * inputs + k]);
            (0..inputs).map(product).sum::<f64>() + f64::from(bias[row])
        })
        .collect();
    for (i, (a, b)) in actual.iter().zip(&exact).enumerate() {
        assert!((f64::from(*a) - b).abs() < 0.05, "logit {i}: {a} and {b}");
    }
    // From here on with the device's own logits, so that their roundings are not counted twice.
    let grad_logits: Vec<f64> = (0..batch)
        .flat_map(|n| {
            let row = &actual[n * outputs..][..outputs];
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = row.iter().map(|v| f64::from(v - largest).exp()).sum();
            let hit = labels[n] as usize;
            let grad = move |(c, v): (usize, &f32)| {
                let p = f64::from(v - largest).exp() / sum;
                (p - f64::from(u8::from(c == hit))) / batch as f64
            };
            row.iter().enumerate().map(grad).collect::<Vec<_>>()
        })
        .collect();
    let back = session.read_f32(grad_input).unwrap();
    for (n, k) in [(0, 0), (1, 12_345), (2, inputs - 1), (2, 64)] {
        let exact: f64 = (0..outputs).map(|o| grad_logits[n * outputs + o] * f64::from(values[o * inputs + k])).sum();
        let actual = f64::from(back[n * inputs + k]);
        assert!((actual - exact).abs() < 1e-4, "grad_input[{n},{k}]: {actual} and {exact}");
    }
    let updated = store.parameter("weight").unwrap();
    // Rows on both sides of every cut, and the rows of the labels, whose gradient is large.
    let cut = (caps.max_binding as usize / (inputs * 4)) / 64 * 64;
    for row in [0, 5, cut - 1, cut, 2 * cut - 1, 2 * cut, 2_000, 3 * cut, outputs - 1] {
        for column in [0, 1, 9_999, inputs - 1] {
            let p = f64::from(values[row * inputs + column]);
            let grad: f64 =
                (0..batch).map(|n| grad_logits[n * outputs + row] * f64::from(x[n * inputs + column])).sum();
            let expected = p - 0.5 * (grad + 0.1 * p);
            let actual = f64::from(updated[row * inputs + column]);
            assert!((actual - expected).abs() < 1e-5, "weight[{row},{column}]: {actual} and {expected}");
        }
    }
}

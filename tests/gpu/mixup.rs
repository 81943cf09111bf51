//! Mixup on the device, against the twin.

use tilegrad::graph::{Purpose, Spec, Stage, Tape};
use tilegrad::ops::mixup::{LAMBDA, Mixup};
use tilegrad::rng::draw;
use tilegrad::train::{CpuEngine, Engine, GpuEngine};
use tilegrad::twin::Value;

use crate::check::{Case, Tolerance, check_op, device};
use crate::common::cases::{Draw, cross_entropy_case, uniform};

/// Mixed images and losses, their totals and gradients, over random shapes and shares.
#[test]
fn mixup_is_the_twins() {
    let Some(device) = device() else { return };
    for seed in 0..100 {
        let draw_case = Draw::new(seed, "mixup case");
        let mut case = cross_entropy_case(seed, 40, 12);
        let lambda = [0.0, 1.0, 0.5, 0.3, draw_case.between(0, 1000) as f32 / 1000.0][draw_case.between(0, 4)];
        let [rows, classes] = case.logits;
        let dims = [rows, draw_case.between(1, 5), draw_case.between(1, 4), draw_case.between(1, 4)];
        case.op.label_smoothing = 0.1;
        let mut tape = Tape::new(Purpose::Train);
        let x = tape.input("x", Spec::f32(dims)).unwrap();
        let logits = tape.input("logits", Spec::f32([rows, classes])).unwrap();
        let target = tape.input("target", Spec::i32([rows])).unwrap();
        let share = tape.mixup_lambda().unwrap();
        let mixed = tape.mixup("mixup", x, share).unwrap();
        let weight = case.weighted.then(|| tape.input("weight", Spec::f32([classes])).unwrap());
        let loss = tape.mixed_cross_entropy("loss", logits, target, weight, share, case.op).unwrap();
        let grad_loss = tape.input("grad_loss", Spec::f32([1])).unwrap();
        let grad_mixed = tape.input("grad_mixed", Spec::f32(dims)).unwrap();
        let grads = tape.gradients_of(&[(loss.loss, grad_loss), (mixed, grad_mixed)], &[x, logits]).unwrap();
        let reals = |name: &str, len: usize| Value::Real(uniform(seed, name, len));
        let len = dims.iter().product();
        let mut inputs = vec![
            ("x", reals("x", len)),
            ("logits", reals("logits", rows * classes)),
            ("target", Value::Int(case.targets.clone())),
            (LAMBDA, Value::Real(vec![lambda])),
            ("grad_loss", Value::Real(vec![1.5])),
            ("grad_mixed", reals("grad_mixed", len)),
        ];
        if case.weighted {
            inputs.push((
                "weight",
                Value::Real(uniform(seed, "weight", classes).iter().map(|w| w.abs() + 0.1).collect()),
            ));
        }
        let near = Tolerance::Rounding(32.0 * (rows * classes) as f64);
        let outputs = vec![
            (mixed, Tolerance::Sum { depth: 2 }),
            (loss.loss, near),
            (loss.totals, near),
            (grads[&x], Tolerance::Sum { depth: 2 }),
            (grads[&logits], Tolerance::Rounding(64.0)),
        ];
        let label = format!("mixup, seed {seed}, lambda {lambda}, {dims:?}, {case:?}");
        check_op(device, Case { label, tape, inputs, outputs });
    }
}

/// Where no product is rounded mixed images are equal to the bit, over 1,000 of them and a share that the host draws.
#[test]
fn a_thousand_mixed_images_are_the_twins_to_one_ulp() {
    let Some(device) = device() else { return };
    let dims = [1000, 3, 8, 9];
    let values = uniform(3, "images", dims.iter().product());
    for step in 0..3 {
        let lambda = Mixup { alpha: 0.4 }.lambda(&draw(1, step));
        let mut tape = Tape::new(Purpose::Train);
        let x = tape.input("x", Spec::f32(dims)).unwrap();
        let share = tape.mixup_lambda().unwrap();
        let mixed = tape.mixup("mixup", x, share).unwrap();
        tape.keep(mixed);
        let run = |engine: &mut dyn Engine| {
            engine.initialise(&tape, 1).unwrap();
            let program = engine.compile(tape.clone()).unwrap();
            engine.write(program, "x", (&values).into()).unwrap();
            engine.write(program, LAMBDA, (&[lambda]).into()).unwrap();
            engine.run(program, &[Stage::Forward]).unwrap();
            engine.read(program, mixed).unwrap()
        };
        let (twin, actual) = (run(&mut CpuEngine::new()), run(&mut GpuEngine::new(device.clone())));
        let row = dims[1..].iter().product::<usize>();
        for (i, (a, b)) in twin.iter().zip(&actual).enumerate() {
            // Of the larger of the two terms: a device that multiplies and adds in one go rounds once less.
            let other = values[(999 - i / row) * row + i % row];
            let largest = (lambda * values[i]).abs().max(((1.0 - lambda) * other).abs()).max(a.abs());
            assert!((a - b).abs() <= largest * f32::EPSILON, "element {i}: {a} and {b}");
        }
    }
}

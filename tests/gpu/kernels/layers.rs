//! batch_norm2d, dropout and adaptive_avg_pool2d against their twins, over random attributes.

use tilegrad::gpu::SessionOptions;
use tilegrad::graph::{Purpose, RANDOM, Spec, Tape};
use tilegrad::kernel::Choices;
use tilegrad::rng;
use tilegrad::twin::Value;

use crate::check::{Case, Tolerance, check_op, device, session};
use crate::common::cases::uniform;
use crate::common::families::CASES;
use crate::common::layers::{BatchNormCase, adaptive_case, batch_norm_case, dropout_case};

pub fn batch_norm(seed: u64, case: &BatchNormCase) -> Case {
    let mut tape = Tape::new(if case.training { Purpose::Train } else { Purpose::Evaluate });
    let input = tape.input("input", Spec::f32(case.input)).unwrap();
    let channels = case.input[1];
    let affine = case.affine.then(|| {
        let of = |tape: &mut Tape, name: &str| tape.input(name, Spec::f32([channels])).unwrap();
        (of(&mut tape, "weight"), of(&mut tape, "bias"))
    });
    let (output, running) = case.append(&mut tape, input, affine);
    let grad_output = tape.input("grad_output", Spec::f32(case.input)).unwrap();
    let wanted: Vec<_> = [input].into_iter().chain(affine.into_iter().flat_map(|(w, b)| [w, b])).collect();
    let grads = tape.gradients_of(&[(output, grad_output)], &wanted).unwrap();
    let len = case.input.iter().product();
    let real = |name: &str, len: usize| Value::Real(uniform(seed, name, len));
    // Far from 0, where a sum of squares alone would lose the variance.
    let values = uniform(seed, "input", len).into_iter().map(|x| x + (seed % 3) as f32 * 10.0).collect();
    let mut inputs = vec![("input", Value::Real(values)), ("grad_output", real("grad_output", len))];
    // A sum's error grows with the root of its terms.
    let sum = 100.0 * ((len / channels) as f64 / 1000.0).sqrt().max(1.0);
    let magnified = Tolerance::Rounding(sum * (1.0 + 10.0 * (seed % 3) as f64));
    let mut outputs = vec![(output, magnified), (grads[&input], magnified)];
    if let Some((weight, bias)) = affine {
        inputs.extend([("weight", real("weight", channels)), ("bias", real("bias", channels))]);
        outputs.extend([(grads[&weight], magnified), (grads[&bias], Tolerance::Rounding(sum))]);
    }
    if case.training {
        outputs.extend([(running.mean, Tolerance::Rounding(16.0)), (running.var, magnified)]);
        outputs.push((running.batches, Tolerance::Exact));
    }
    Case { label: format!("batch_norm2d, seed {seed}, {case:?}"), tape, inputs, outputs }
}

#[test]
fn batch_norm2d_random() {
    let Some(device) = device() else { return };
    for seed in 0..120 {
        check_op(device, batch_norm(seed, &batch_norm_case(seed, 20)));
    }
}

#[test]
fn batch_norm2d_over_many_rows() {
    let Some(device) = device() else { return };
    // Several chunks, the last one shorter, of four channels at a time and of one.
    for (seed, channels) in [(200, 8), (201, 3)] {
        let case =
            BatchNormCase { input: [5, channels, 23, 31], affine: true, training: true, ..batch_norm_case(seed, 8) };
        check_op(device, batch_norm(seed, &case));
    }
}

pub fn adaptive(seed: u64, shape: [usize; 4], size: [usize; 2]) -> Case {
    let mut tape = Tape::new(Purpose::Train);
    let input = tape.input("input", Spec::f32(shape)).unwrap();
    let output = tape.adaptive_avg_pool2d("pool", input, size).unwrap();
    let spec = Spec::like(tape.tensor(output));
    let len = spec.shape.len();
    let grad_output = tape.input("grad_output", spec).unwrap();
    let grads = tape.gradients_of(&[(output, grad_output)], &[input]).unwrap();
    let tolerance = Tolerance::Sum { depth: shape[2] * shape[3] };
    Case {
        label: format!("adaptive_avg_pool2d, seed {seed}, {shape:?} to {size:?}"),
        outputs: vec![(output, tolerance), (grads[&input], tolerance)],
        tape,
        inputs: vec![
            ("input", Value::Real(uniform(seed, "input", shape.iter().product()))),
            ("grad_output", Value::Real(uniform(seed, "grad_output", len))),
        ],
    }
}

#[test]
fn adaptive_avg_pool2d_random() {
    let Some(device) = device() else { return };
    for seed in 0..110 {
        let (shape, size) = adaptive_case(seed, 20);
        check_op(device, adaptive(seed, shape, size));
    }
}

#[test]
fn dropout_random() {
    let Some(device) = device() else { return };
    for seed in 0..110 {
        let (shape, p) = dropout_case(seed);
        let mut tape = Tape::new(Purpose::Train);
        let len = shape.iter().product();
        let spec = Spec::f32(tilegrad::shape::Shape::new(shape.clone()));
        let input = tape.input("input", spec.clone()).unwrap();
        let grad_output = tape.input("grad_output", spec).unwrap();
        let output = tape.dropout("drop", input, p).unwrap();
        let grads = tape.gradients_of(&[(output, grad_output)], &[input]).unwrap();
        // Exact zeros where an element is dropped, on both sides; the others are one product.
        check_op(
            device,
            Case {
                label: format!("dropout, seed {seed}, {shape:?}, p {p}"),
                outputs: vec![(output, Tolerance::Rounding(16.0)), (grads[&input], Tolerance::Rounding(16.0))],
                tape,
                inputs: vec![
                    ("input", Value::Real(uniform(seed, "input", len).into_iter().map(|x| x + 2.0).collect())),
                    ("grad_output", Value::Real(uniform(seed, "grad_output", len))),
                    (RANDOM, Value::Int(rng::draw(seed << 31, seed as u32).to_vec())),
                ],
            },
        );
    }
}

/// The share of zeros is p, another step drops others, and the same step of the same seed the same ones.
#[test]
fn dropout_draws_anew_each_step_and_repeats() {
    let Some(device) = device() else { return };
    let mut tape = Tape::new(Purpose::Train);
    let input = tape.input("input", Spec::f32([100, 100])).unwrap();
    let output = tape.dropout("drop", input, 0.3).unwrap();
    tape.keep(output);
    let mut session = session(device, tape, &Choices::default(), SessionOptions::default()).unwrap();
    session.write("input", &[1.0; 10_000]).unwrap();
    let mut run = |seed, step| {
        session.write(RANDOM, &rng::draw(seed, step)).unwrap();
        session.step().unwrap();
        session.read_f32(output).unwrap()
    };
    let first = run(1, 0);
    let zeros = first.iter().filter(|&&y| y == 0.0).count();
    assert!((2_800..3_200).contains(&zeros), "{zeros} of 10,000 dropped");
    assert!(first.iter().all(|&y| y == 0.0 || (y - 1.0 / 0.7).abs() < 1e-6));
    let differ = |other: &[f32]| first.iter().zip(other).filter(|(a, b)| a != b).count();
    assert!((3_800..4_600).contains(&differ(&run(1, 1))), "an independent mask differs in 2 p (1 - p)");
    assert!(differ(&run(2, 0)) > 3_800);
    assert_eq!(first, run(1, 0));
}

#[test]
fn batch_norm2d_in_training_and_in_evaluation() {
    let Some(device) = device() else { return };
    for training in [true, false] {
        // The seeds that the other test has not, of either kind.
        for seed in 300..300 + CASES as u64 {
            let case = BatchNormCase { training, ..batch_norm_case(seed, 12) };
            check_op(device, batch_norm(seed, &case));
        }
    }
}

#[test]
fn global_average_pooling() {
    let Some(device) = device() else { return };
    for seed in 0..CASES as u64 {
        let (shape, _) = adaptive_case(seed, 20);
        check_op(device, adaptive(seed, shape, [1, 1]));
    }
}

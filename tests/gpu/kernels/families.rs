//! The kernels of the operations beside convolution and pooling against their twins, over random attributes, and where
//! numbers are awkward.

use tilegrad::graph::{Purpose, Spec, Tape, TensorId};
use tilegrad::ops::activation::{Activation, Approximate};
use tilegrad::ops::nll_loss::NllLoss;
use tilegrad::ops::reduce::Dim;
use tilegrad::twin::Value;

use crate::check::{Case, Tolerance, check_op, device, session};
use crate::common::cases::uniform;
use crate::common::families::{EACH, FAMILIES, NAMES, Near, OpCase, each, for_each_family};

fn tolerance(near: Near) -> Tolerance {
    match near {
        Near::Exact => Tolerance::Exact,
        Near::Sum(depth) => Tolerance::Sum { depth },
        Near::Rounding(count) => Tolerance::Rounding(count),
    }
}

/// A case's output, and its gradients for a random gradient of the output.
pub fn differentiated(case: OpCase) -> Case {
    let mut tape = Tape::new(Purpose::Train);
    let (mut ids, mut wanted, mut inputs) = (Vec::new(), Vec::new(), Vec::new());
    for (operand, name) in case.operands.into_iter().zip(NAMES) {
        let id = tape.input(name, operand.spec).unwrap();
        ids.push(id);
        wanted.extend(operand.wanted.then_some(id));
        inputs.push((name, operand.value));
    }
    let output = (case.build)(&mut tape, &ids);
    let spec = Spec::like(tape.tensor(output));
    inputs.push(("grad_output", Value::Real(uniform(1, "grad_output", spec.shape.len()))));
    let seed = tape.input("grad_output", spec).unwrap();
    let grads = tape.gradients_of(&[(output, seed)], &wanted).unwrap();
    let [near, near_grad] = case.near.map(tolerance);
    let mut outputs = vec![(output, near)];
    outputs.extend(wanted.iter().map(|id| (grads[id], near_grad)));
    Case { label: case.label, tape, inputs, outputs }
}

/// 120 random cases of an operation.
fn family(name: &str) {
    let Some(device) = device() else { return };
    let (_, family) = FAMILIES.iter().find(|(family, _)| *family == name).unwrap();
    for seed in 0..120 {
        check_op(device, differentiated(family(seed)));
    }
}

macro_rules! tests {
    ($($name:ident),*) => {
        /// A test for each family, called after it.
        mod random {
            $(#[test]
            fn $name() {
                super::family(stringify!($name));
            })*
        }
    };
}
for_each_family!(tests);

/// An operation of one input, and its gradient for a random gradient of the output.
pub fn unary(
    label: &str,
    spec: Spec,
    values: Vec<f32>,
    near: [Near; 2],
    build: impl Fn(&mut Tape, TensorId) -> TensorId + 'static,
) -> Case {
    let operand = crate::common::families::Operand { spec, value: Value::Real(values), wanted: true };
    let build = Box::new(move |tape: &mut Tape, ids: &[TensorId]| build(tape, ids[0]));
    differentiated(OpCase { label: label.to_string(), operands: vec![operand], build, near })
}

#[test]
fn activations_of_awkward_numbers() {
    let Some(device) = device() else { return };
    let leaky = Activation::LeakyRelu { negative_slope: -0.5 };
    for activation in
        [leaky, Activation::Gelu(Approximate::None), Activation::Gelu(Approximate::Tanh), Activation::Silu]
    {
        // Lengths that four divides and does not.
        for len in [1001, 1004] {
            let scales = [1e-4, 0.1, 1.0, 10.0, 200.0, 1e15];
            let values = uniform(len as u64, "input", len).into_iter().enumerate();
            let mut values: Vec<f32> = values.map(|(i, x)| x * scales[i % scales.len()]).collect();
            let special = [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN];
            values[8..][..special.len()].copy_from_slice(&special);
            let label = format!("{activation:?} of {len}");
            check_op(
                device,
                unary(&label, Spec::f32([1, len]), values, [Near::Rounding(8.0); 2], move |tape, x| {
                    tape.activation("activation", activation, x).unwrap()
                }),
            );
        }
    }
}

#[test]
fn gelu_is_good_to_a_ten_millionth_below_zero() {
    let Some(device) = device() else { return };
    let mut tape = Tape::new(Purpose::Evaluate);
    let input = tape.input("input", Spec::f32([1, 2000])).unwrap();
    let output = tape.gelu("gelu", input, Approximate::None).unwrap();
    tape.keep(output);
    let values: Vec<f32> = (0..2000).map(|i| i as f32 * -0.004).collect();
    let mut session = session(device, tape, &Default::default(), Default::default()).unwrap();
    session.write("input", &values).unwrap();
    session.step().unwrap();
    let twin = |x: f32| {
        use tilegrad::twin::Real;
        let x = f64::from(x);
        x * 0.5 * (1.0 + Real::erf(x * std::f64::consts::FRAC_1_SQRT_2))
    };
    for (&x, y) in values.iter().zip(session.read_f32(output).unwrap()) {
        assert!((f64::from(y) - twin(x)).abs() <= 1.5e-7, "gelu({x}) = {y}, not {}", twin(x));
    }
}

#[test]
fn long_sums_are_near_and_repeat_to_the_bit() {
    let Some(device) = device() else { return };
    // Three passes: 300,000 terms, 1,172 and 5; then two along pixels, of channels that divide by 4 and do not.
    for (shape, dim) in [
        ([2, 3, 200, 250], Dim::All),
        ([2, 3, 100, 250], Dim::AllButBatch),
        ([2, 3, 40, 50], Dim::Spatial),
        ([1, 8, 40, 50], Dim::Spatial),
    ] {
        let len: usize = shape.iter().product();
        let values = uniform(1, "input", len);
        let near = [Near::Sum(len), Near::Rounding(2.0)];
        let label = format!("mean over {dim:?} of {shape:?}");
        let build = move |tape: &mut Tape, x| tape.mean("mean", x, dim).unwrap();
        check_op(device, unary(&label, Spec::f32(shape), values.clone(), near, build));

        let mut tape = Tape::new(Purpose::Evaluate);
        let input = tape.input("input", Spec::f32(shape)).unwrap();
        let output = tape.sum("sum", input, dim).unwrap();
        tape.keep(output);
        let mut session = session(device, tape, &Default::default(), Default::default()).unwrap();
        session.write("input", &values).unwrap();
        let mut run = || {
            session.step().unwrap();
            session.read_f32(output).unwrap().into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        assert_eq!(run(), run(), "{label}");
    }
}

#[test]
fn log_softmax_keeps_nan_and_bears_large_numbers() {
    let Some(device) = device() else { return };
    let values = [
        [f32::NAN, 1.0, 2.0],
        [1.0, f32::NAN, 2.0],
        [1.0, 2.0, f32::NAN],
        [f32::NEG_INFINITY, 1.0, 2.0],
        [f32::NEG_INFINITY; 3],
        [1.0, f32::INFINITY, 0.0],
        [1000.0, -1000.0, 999.0],
    ];
    let build = |tape: &mut Tape, x| tape.log_softmax("log_softmax", x).unwrap();
    let near = [Near::Rounding(8.0); 2];
    check_op(device, unary("log_softmax of awkward rows", Spec::f32([7, 3]), values.concat(), near, build));
}

#[test]
fn sums_and_padding_keep_nan() {
    let Some(device) = device() else { return };
    let mut values = uniform(1, "input", 2 * 4 * 30 * 30);
    values[5] = f32::NAN;
    values[4000] = f32::INFINITY;
    let spec = || Spec::f32([2, 4, 30, 30]);
    let sum = |tape: &mut Tape, x| tape.sum("sum", x, Dim::Spatial).unwrap();
    check_op(device, unary("sum", spec(), values.clone(), [Near::Sum(900), Near::Exact], sum));
    let pad = |tape: &mut Tape, x| tape.zero_pad2d("pad", x, [1, -1, 2, 0]).unwrap();
    check_op(device, unary("pad", spec(), values, [Near::Exact; 2], pad));
}

#[test]
fn a_label_that_is_no_class_makes_nll_loss_nan() {
    let Some(device) = device() else { return };
    for label in [-1, 4] {
        let mut tape = Tape::new(Purpose::Train);
        let log_probs = tape.input("log_probs", Spec::f32([3, 4])).unwrap();
        let target = tape.input("target", Spec::i32([3])).unwrap();
        let loss = tape.nll_loss("loss", log_probs, target, None, NllLoss::default()).unwrap();
        let one = tape.constant(1.0);
        let grads = tape.gradients_of(&[(loss.loss, one)], &[log_probs]).unwrap();
        check_op(
            device,
            Case {
                label: format!("label {label}"),
                outputs: vec![
                    (loss.loss, Tolerance::Exact),
                    (loss.totals, Tolerance::Exact),
                    (grads[&log_probs], Tolerance::Rounding(4.0)),
                ],
                tape,
                inputs: vec![
                    ("log_probs", Value::Real(uniform(1, "log_probs", 12))),
                    ("target", Value::Int(vec![0, label, 2])),
                ],
            },
        );
    }
}

#[test]
fn operations_that_share_a_family() {
    let Some(device) = device() else { return };
    EACH.into_iter().flat_map(each).for_each(|case| check_op(device, differentiated(case)));
}

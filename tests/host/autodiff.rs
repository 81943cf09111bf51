//! Which gradients the walk backward makes, beside their values: in which order, for whom, and where they lie.

use tilegrad::graph::{Purpose, Role, Spec, Tape, TensorId};
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::rng::Init;
use tilegrad::shape::{Layout, Shape};

fn parameter(tape: &mut Tape, name: &str, shape: impl Into<Shape>) -> TensorId {
    tape.parameter(name, shape, Layout::RowMajor, Init::Uniform(1.0)).unwrap()
}

fn loss(tape: &mut Tape, logits: TensorId) -> TensorId {
    let rows = tape.shape(logits).dims()[0];
    let target = tape.input("target", Spec::i32([rows])).unwrap();
    tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default()).unwrap().loss
}

#[test]
fn pairs_come_in_the_order_of_the_parameters_and_every_gradient_has_its_role() {
    let mut tape = Tape::new(Purpose::Train);
    let x = tape.input("x", Spec::f32([2, 3])).unwrap();
    let weight = parameter(&mut tape, "weight", [4, 3]);
    let frozen = parameter(&mut tape, "frozen", [4]);
    let bias = parameter(&mut tape, "bias", [4]);
    let unused = parameter(&mut tape, "unused", [4]);
    tape.freeze(frozen).unwrap();
    let y = tape.linear("a", x, weight, Some(bias)).unwrap();
    // The weight is read twice: its gradient is the sum of both.
    let z = tape.linear("b", x, weight, Some(frozen)).unwrap();
    let sum = tape.add("sum", y, z).unwrap();
    let loss = loss(&mut tape, sum);
    let pairs = tape.backward(loss).unwrap();
    assert_eq!(pairs.iter().map(|(of, _)| *of).collect::<Vec<_>>(), [weight, bias]);
    for &(of, gradient) in &pairs {
        let (parameter, gradient) = (tape.tensor(of), tape.tensor(gradient));
        assert_eq!(gradient.role, Role::Gradient { of });
        assert_eq!(gradient.name, format!("{}.grad", parameter.name));
        assert_eq!((&gradient.shape, gradient.layout), (&parameter.shape, parameter.layout));
    }
    assert!(tape.gradients().iter().all(|(of, _)| ![frozen, unused].contains(of)));
    let made = tape.nodes().iter().find(|node| node.outputs.contains(&pairs[0].1)).unwrap();
    assert_eq!(made.op.name(), "add");
}

/// The gradient of an operand of add is the gradient of its output, the very same tensor.
#[test]
fn parameters_that_are_added_have_a_gradient_each() {
    let mut tape = Tape::new(Purpose::Train);
    let (a, b) = (parameter(&mut tape, "a", [2, 3]), parameter(&mut tape, "b", [2, 3]));
    let sum = tape.add("sum", a, b).unwrap();
    let loss = loss(&mut tape, sum);
    let pairs = tape.backward(loss).unwrap();
    assert_eq!(pairs.len(), 2);
    assert_ne!(pairs[0].1, pairs[1].1, "one tensor cannot lie in two places of the flat buffer");
    assert_eq!(tape.gradients().len(), 2);
}

#[test]
fn a_gradient_that_others_read_too_is_no_part_of_the_flat_buffer() {
    let mut tape = Tape::new(Purpose::Train);
    let x = tape.input("x", Spec::f32([2, 5])).unwrap();
    let weight = parameter(&mut tape, "weight", [3, 5]);
    let shift = parameter(&mut tape, "shift", [2, 3]);
    let y = tape.linear("fc", x, weight, None).unwrap();
    let y = tape.add("add", y, shift).unwrap();
    let loss = loss(&mut tape, y);
    tape.backward(loss).unwrap();
    let read = |(_, gradient): &(TensorId, TensorId)| tape.nodes().iter().any(|node| node.inputs.contains(gradient));
    let gradients = tape.gradients();
    let reader = gradients.iter().find(|pair| read(pair));
    assert_eq!(reader, None, "its reader writes another part of the same buffer, which no device allows");
}

#[test]
fn a_loss_may_have_any_shape_with_one_element() {
    let mut tape = Tape::new(Purpose::Train);
    let x = tape.input("x", Spec::f32([1, 5])).unwrap();
    let weight = parameter(&mut tape, "weight", [1, 5]);
    let y = tape.linear("fc", x, weight, None).unwrap();
    let pairs = tape.backward(y).unwrap();
    assert_eq!(pairs.len(), 1);
}

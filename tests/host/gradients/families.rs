//! The gradient rules of the operations beside convolution and pooling against central differences.

use tilegrad::graph::Spec;
use tilegrad::ops::nll_loss::NllLoss;
use tilegrad::ops::reduce::Dim;
use tilegrad::ops::softmax_cross_entropy::Reduction;
use tilegrad::shape::Layout;
use tilegrad::twin::Value;

use crate::common::families::{EACH, FAMILIES, OpCase, Operand, each, for_each_family};
use crate::gradients::{self, check, labels, random, real};

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

#[test]
fn concat_of_one_tensor_twice() {
    check("x beside itself", &[random([2, 3, 2, 2], 1, "x")], |tape, ids| {
        vec![tape.concat("concat", &[ids[0], ids[0]]).unwrap()]
    });
}

#[test]
fn reduce_a_weight_and_a_vector() {
    let mut weight = random([4, 3, 2, 5], 1, "weight");
    weight.spec.layout = Layout::Hwio;
    check("the sum of a weight", &[weight], |tape, ids| vec![tape.sum("sum", ids[0], Dim::All).unwrap()]);
    check("the mean of a vector", &[random([7], 1, "x")], |tape, ids| {
        vec![tape.mean("mean", ids[0], Dim::All).unwrap()]
    });
}

#[test]
fn nll_loss_after_log_softmax_and_of_nothing() {
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

#[test]
fn operations_that_share_a_family() {
    EACH.into_iter().flat_map(each).for_each(differences);
}

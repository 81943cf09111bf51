//! The random cases of a family by operation, so that each operation has a hundred of its own.

#![allow(dead_code, reason = "each test binary that includes this file uses a part of it")]

use tilegrad::graph::Spec;
use tilegrad::shape::Shape;
use tilegrad::twin::Value;

use crate::cases::{Draw, uniform};
use crate::more_cases::{FAMILIES, Near, OpCase, Operand};

/// How many cases each operation has.
pub const CASES: usize = 100;

/// The family whose cases have an operation, and what their labels say then.
pub const EACH: [(&str, &str); 9] = [
    ("arithmetic", ": mul, scale "),
    ("arithmetic", ": sub, scale "),
    ("activation", ": LeakyRelu "),
    ("activation", ": Gelu(None) "),
    ("activation", ": Gelu(Tanh) "),
    ("activation", ": Silu "),
    ("reduce", ": sum over "),
    ("reduce", ": mean over "),
    ("add", ": add of "),
];

/// A hundred cases of the operation that labels call `word`.
pub fn cases((family, word): (&str, &str)) -> Vec<OpCase> {
    let family =
        FAMILIES.iter().find(|(name, _)| *name == family).map_or(add as fn(u64) -> OpCase, |(_, family)| *family);
    let found: Vec<OpCase> =
        (0..CASES as u64 * 20).map(family).filter(|case| case.label.contains(word)).take(CASES).collect();
    assert_eq!(found.len(), CASES, "cases of {word}");
    found
}

/// The sum of two tensors, or of one with itself, then a factor of 1: without it the gradient would be the output's own, which
/// no kernel reads.
fn add(seed: u64) -> OpCase {
    let draw = Draw::new(seed, "add case");
    let mut dims = vec![draw.between(1, 4), draw.between(1, 11)];
    if draw.coin() {
        dims.extend([draw.between(1, 7), draw.between(1, 7)]);
    }
    let same = draw.between(0, 4) == 0;
    let names = if same { vec!["a"] } else { vec!["a", "b"] };
    let operand = |name| {
        let spec = Spec::f32(Shape::new(dims.clone()));
        let value = Value::Real(uniform(seed, name, spec.shape.len()));
        Operand { spec, value, wanted: true }
    };
    OpCase {
        label: format!("seed {seed}: add of {dims:?}, same {same}"),
        operands: names.into_iter().map(operand).collect(),
        build: Box::new(|tape, ids| {
            let sum = tape.add("add", ids[0], ids[ids.len() - 1]).unwrap();
            tape.scale("one", sum, 1.0).unwrap()
        }),
        near: [Near::Rounding(2.0); 2],
    }
}

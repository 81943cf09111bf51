//! The zoo's tapes of the operations beside convolution and pooling.

use tilegrad::graph::{Purpose, Tape, TensorId};

use super::differentiated;
use crate::common::families::{FAMILIES, NAMES, OpCase};

/// A case's output and gradients.
fn tape(case: &OpCase) -> Tape {
    let mut tape = Tape::new(Purpose::Train);
    let declare = |(operand, name): (&crate::common::families::Operand, &&str)| {
        (tape.input(name, operand.spec.clone()).unwrap(), operand.wanted)
    };
    let operands: Vec<(TensorId, bool)> = case.operands.iter().zip(&NAMES).map(declare).collect();
    let ids: Vec<TensorId> = operands.iter().map(|(id, _)| *id).collect();
    let output = (case.build)(&mut tape, &ids);
    let wanted: Vec<TensorId> = operands.into_iter().filter(|(_, wanted)| *wanted).map(|(id, _)| id).collect();
    differentiated(tape, output, &wanted)
}

/// Twenty cases of each operation, in which all its kernels occur.
pub fn tapes() -> Vec<(String, Tape)> {
    let cases = FAMILIES.iter().flat_map(|(_, family)| (0..20).map(family));
    cases.map(|case| (case.label.clone(), tape(&case))).collect()
}

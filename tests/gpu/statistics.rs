//! Batch norm's statistics that a convolution makes on the way: by every candidate, over whole and broken chunks.

use std::sync::Arc;

use tilegrad::gpu::{Device, Session, SessionOptions, Store};
use tilegrad::graph::{Purpose, Tape, TensorId};
use tilegrad::kernel::Choices;
use tilegrad::ops::conv2d::Conv2dAttributes;
use tilegrad::plan::candidates;
use tilegrad::plan::{ParameterLayout, Plan};
use tilegrad::twin::Value;

use crate::check::{Case, Tolerance, check_op, device};
use crate::common::cases::{ConvCase, uniform};
use crate::common::layers::normalised_conv;

fn conv(input: [usize; 4], out: usize, kernel: usize, conv: Conv2dAttributes) -> ConvCase {
    let weight = [out, input[1] / conv.groups, kernel, kernel];
    ConvCase { input, weight, conv, bias: false }
}

/// Convolutions with rows about those of tiles, and channels that divide by four, by two and by none.
fn cases() -> Vec<ConvCase> {
    let same = Conv2dAttributes { padding: [1; 4], ..Conv2dAttributes::default() };
    let strided = Conv2dAttributes { stride: [2; 2], ..same };
    vec![
        conv([2, 8, 8, 16], 20, 3, same),
        conv([3, 8, 7, 13], 72, 3, same),
        conv([1, 6, 3, 11], 6, 3, same),
        conv([5, 3, 9, 9], 5, 3, strided),
        conv([2, 16, 12, 12], 36, 1, Conv2dAttributes::default()),
        conv([2, 8, 9, 5], 8, 3, Conv2dAttributes { groups: 8, ..same }),
        conv([4, 4, 6, 3], 1, 3, same),
    ]
}

/// The operands' values.
fn operands(case: &ConvCase, seed: u64) -> [(&'static str, Vec<f32>); 2] {
    [("input", case.input), ("weight", case.weight)]
        .map(|(name, shape)| (name, uniform(seed, name, shape.iter().product())))
}

/// The bits of the output and of the running statistics after two steps.
fn run(device: &Device, tape: &Tape, output: TensorId, case: &ConvCase, choices: &Choices) -> Vec<u32> {
    let layout = Arc::new(ParameterLayout::new(tape, device.caps()).unwrap());
    let store = Arc::new(Store::guarded(device, Arc::clone(&layout)).unwrap());
    store.initialise(tape, 1).unwrap();
    let plan = Plan::new(Arc::new(tape.clone()), layout, device.caps(), choices).unwrap();
    for name in ["Conv2dStatistics", "BatchNorm2dFromPartials"] {
        let joined = plan.tape.nodes().iter().any(|node| format!("{:?}", node.op).starts_with(name));
        assert_eq!(joined, choices.without_rules.is_empty(), "{name}");
    }
    let options = SessionOptions::default().guarded(true);
    let mut session = Session::new(&store, Arc::new(plan), options).unwrap();
    for (name, values) in operands(case, 1) {
        session.write(name, &values).unwrap();
    }
    session.step().unwrap();
    session.step().unwrap();
    assert_eq!(session.breach().unwrap(), None);
    let mut bits: Vec<u32> = session.read_f32(output).unwrap().into_iter().map(f32::to_bits).collect();
    for id in tape.buffers() {
        match store.buffer_values(tape.tensor(id)).unwrap() {
            Value::Real(values) => bits.extend(values.into_iter().map(f32::to_bits)),
            Value::Int(values) => assert_eq!(values, [4], "two batches after the two before"),
            Value::Bytes(_) => unreachable!("there are no such buffers"),
        }
    }
    bits
}

#[test]
fn every_candidate_gives_the_bits_of_a_pass_of_its_own() {
    let Some(device) = device() else { return };
    for case in cases() {
        let mut tape = Tape::new(Purpose::Train);
        let (output, _) = normalised_conv(&mut tape, &case);
        tape.keep(output);
        for choice in candidates(&tape, &tape.nodes()[0], device.caps()) {
            let joined = run(device, &tape, output, &case, &Choices::everywhere(choice.clone()));
            let without_rules = ["batch_norm_statistics".to_string()].into();
            let apart = Choices { without_rules, ..Choices::everywhere(choice.clone()) };
            assert_eq!(joined, run(device, &tape, output, &case, &apart), "{case:?} by {choice}");
        }
    }
}

#[test]
fn every_candidate_gives_what_the_twins_do() {
    let Some(device) = device() else { return };
    for (seed, case) in (0..).zip(cases()) {
        let mut tape = Tape::new(Purpose::Train);
        let (output, running) = normalised_conv(&mut tape, &case);
        let inputs = operands(&case, seed).map(|(name, values)| (name, Value::Real(values))).to_vec();
        let outputs = vec![
            (output, Tolerance::Rounding(200.0)),
            (running.mean, Tolerance::Rounding(16.0)),
            (running.var, Tolerance::Rounding(100.0)),
            (running.batches, Tolerance::Exact),
        ];
        check_op(device, Case { label: format!("{case:?}, normalised"), tape, inputs, outputs });
    }
}

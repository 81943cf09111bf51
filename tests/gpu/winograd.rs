//! Convolutions by Winograd's transforms: their kernels against the twin, how far they are from it beside the direct kernel,
//! and where they are taken.

use std::sync::Arc;

use tilegrad::gpu::SessionOptions;
use tilegrad::graph::{Operation, Purpose, Spec, Tape};
use tilegrad::kernel::{Caps, Choices, DeviceClass, Steps};
use tilegrad::ops::conv2d::{Conv2dAttributes, Conv2dGradInput};
use tilegrad::ops::fused::epilogue::WithEpilogue;
use tilegrad::plan::{ParameterLayout, Plan};
use tilegrad::reference::{HostStore, Program};
use tilegrad::shape::Layout;
use tilegrad::twin::Value;

use crate::check::{self, Case, Tolerance, algorithms, check_choices, device};
use crate::common::cases::{self, ConvCase, Draw};
use crate::kernels::conv;

/// A 3x3 convolution of `input` to `out` channels.
fn case(input: [usize; 4], out: usize, padding: [usize; 4]) -> ConvCase {
    ConvCase {
        input,
        weight: [out, input[1], 3, 3],
        conv: Conv2dAttributes { padding, ..Conv2dAttributes::default() },
        bias: !out.is_multiple_of(8),
    }
}

fn check(seed: u64, case: &ConvCase) {
    let Some(device) = device() else { return };
    assert_eq!(offers(case), [true; 2], "{case:?}");
    check_choices(device, conv(seed, case), &["winograd"], &[true, false]);
}

/// The algorithms of the forward node and of the input's gradient on a device with these capabilities.
fn names(case: &ConvCase, caps: &Caps) -> [Vec<String>; 2] {
    let tape = conv(0, case).tape;
    ["conv2d", "conv2d_grad_input"].map(|name| {
        let node = tape.nodes().iter().find(|node| node.op.name() == name).expect("the tape has it");
        algorithms(&tape, node, caps)
    })
}

/// Whether the kernels are among the algorithms of both.
fn offers(case: &ConvCase) -> [bool; 2] {
    names(case, &Caps::webgpu(DeviceClass::Software)).map(|of| of.iter().any(|name| name == "winograd"))
}

/// Random attributes for which the kernels are right, with at most 68 channels.
fn random(seed: u64) -> ConvCase {
    let draw = Draw::new(seed, "winograd case");
    let ([top, bottom], [left, right]) = (draw.pair(0, 2), draw.pair(0, 2));
    let extent = |padding: usize| 3_usize.saturating_sub(padding).max(1) + draw.between(0, 9);
    let (h, w) = (extent(top + bottom), extent(left + right));
    let [in_c, out_c] = draw.pair(1, 17);
    let mut case = case([draw.between(1, 3), 4 * in_c, h, w], 4 * out_c, [top, bottom, left, right]);
    case.bias = draw.coin();
    case
}

#[test]
fn conv2d_winograd_at_the_edges() {
    // Whole tiles, odd sizes, and the smallest: fewer results than a tile has.
    check(1, &case([1, 4, 6, 6], 4, [0; 4]));
    check(2, &case([2, 8, 5, 7], 12, [1; 4]));
    check(3, &case([1, 64, 3, 3], 68, [0; 4]));
    check(4, &case([3, 68, 1, 1], 64, [1; 4]));
    check(5, &case([2, 36, 1, 9], 20, [2, 0, 0, 1]));
    // Padding that differs on all sides, and as much as is allowed.
    check(6, &case([2, 12, 7, 4], 8, [0, 2, 1, 0]));
    check(7, &case([2, 12, 4, 7], 8, [2, 1, 0, 2]));
    check(8, &case([1, 4, 2, 3], 4, [2; 4]));
}

#[test]
fn conv2d_winograd_random() {
    let cases: Vec<ConvCase> = (0..24).map(random).collect();
    for (seed, case) in (0..).zip(&cases) {
        check(100 + seed, case);
    }
    let some = |what: &str, has: &dyn Fn(&ConvCase) -> bool| assert!(cases.iter().any(has), "{what}");
    some("sides that differ", &|case| case.conv.padding[0] != case.conv.padding[1]);
    some("more than 64 channels", &|case| case.input[1] > 64);
    some("few channels", &|case| case.weight[0] <= 8);
    some("one image", &|case| case.input[0] == 1);
    some("an odd height", &|case| case.input[2] % 2 == 1);
}

/// More tiles than are transformed at a time, their number no multiple of a chunk's.
#[test]
fn conv2d_winograd_in_chunks() {
    let case = case([3, 36, 131, 61], 28, [1, 0, 2, 1]);
    let Some(device) = device() else { return };
    let Case { mut tape, outputs, .. } = conv(0, &case);
    outputs.iter().for_each(|&(id, _)| tape.keep(id));
    let layout = Arc::new(ParameterLayout::new(&tape, device.caps()).unwrap());
    let plan = Plan::new(Arc::new(tape), layout, device.caps(), &Choices::everywhere("winograd")).unwrap();
    let chunks = |name| plan.steps.iter().filter(|step| step.kernel.name == name).count();
    assert!(chunks("conv2d/winograd_input") > 1 && chunks("conv2d_grad_input/winograd_output") > 1);
    check(200, &case);
}

#[test]
fn an_epilogue_is_what_the_twin_does() {
    let Some(device) = device() else { return };
    let (conv, input, output) =
        (Conv2dAttributes { padding: [1, 0, 2, 1], ..Conv2dAttributes::default() }, [2, 8, 6, 5], [2, 12, 5, 6]);
    let forward: Arc<dyn Operation> = Arc::new(conv);
    let grad_input: Arc<dyn Operation> = Arc::new(Conv2dGradInput { conv, input: input.into() });
    for (op, source, result) in [(forward, input, output), (grad_input, output, input)] {
        for steps in [Steps { add: true, relu: true, mask: true }, Steps { mask: true, ..Steps::default() }] {
            let mut tape = Tape::new(Purpose::Evaluate);
            let weight = Spec { layout: Layout::Hwio, ..Spec::f32([12, 8, 3, 3]) };
            let mut operands = vec![("source", Spec::f32(source)), ("weight", weight)];
            if op.name() == "conv2d" {
                operands.push(("bias", Spec::f32([12])));
            }
            let others = [(steps.add, "addend"), (steps.mask, "masking")];
            operands
                .extend(others.into_iter().filter(|(wanted, _)| *wanted).map(|(_, name)| (name, Spec::f32(result))));
            let values = |name, spec: &Spec| Value::Real(cases::uniform(7, name, spec.shape.len()));
            let inputs = operands.iter().map(|(name, spec)| (*name, values(name, spec))).collect();
            let ids: Vec<_> = operands.into_iter().map(|(name, spec)| tape.input(name, spec).unwrap()).collect();
            let fused = WithEpilogue { op: Arc::clone(&op), steps };
            let output = tape.append("fused", fused, &ids, &[]).unwrap()[0];
            let outputs = vec![(output, Tolerance::Sum { depth: 12 * 9 + 2 })];
            let case = Case { label: format!("{op:?}, {steps:?}"), tape, inputs, outputs };
            check_choices(device, case, &["winograd"], &[true, false]);
        }
    }
}

/// The root mean square of what each algorithm's output and input's gradient are off from the twin in f64.
fn errors(case: &ConvCase, algorithms: [&str; 2]) -> [[f64; 2]; 2] {
    let device = device().expect("the caller has asked");
    let mut case = conv(11, case);
    let wanted: Vec<_> = case.outputs.iter().take(2).map(|&(id, _)| id).collect();
    wanted.iter().for_each(|&id| case.tape.keep(id));
    let mut program = Program::<f64>::new(Arc::new(case.tape.clone()));
    for (name, value) in &case.inputs {
        let Value::Real(values) = value else { panic!("{name} is no f32") };
        program.write(name, Value::Real(values.iter().copied().map(f64::from).collect())).unwrap();
    }
    program.run(&mut HostStore::default(), &[case.tape.nodes()[0].stage, case.tape.nodes()[1].stage]).unwrap();
    algorithms.map(|algorithm| {
        let options = SessionOptions::default();
        let mut session = check::session(device, case.tape.clone(), &Choices::everywhere(algorithm), options).unwrap();
        for (name, value) in &case.inputs {
            check::write(&session, name, value).unwrap();
        }
        session.step().unwrap();
        [0, 1].map(|i| {
            let (found, expected) = (session.read_f32(wanted[i]).unwrap(), program.read(wanted[i]).unwrap());
            let off = |(&found, &expected): (&f32, &f64)| (f64::from(found) - expected).powi(2);
            (found.iter().zip(expected.real()).map(off).sum::<f64>() / found.len() as f64).sqrt()
        })
    })
}

#[test]
fn the_error_is_at_most_twice_the_direct_kernels() {
    if device().is_none() {
        return;
    }
    for (batch, channels, side) in [(2, 64, 16), (2, 128, 8), (2, 256, 4), (1, 512, 4)] {
        let case = case([batch, channels, side, side], channels, [1; 4]);
        let [direct, winograd] = errors(&case, ["direct", "winograd"]);
        for (i, what) in ["output", "grad_input"].into_iter().enumerate() {
            let times = winograd[i] / direct[i];
            eprintln!("{channels} channels, {what}: {:.2e}, {times:.2} times the direct kernel's", winograd[i]);
            assert!(times <= 2.0, "{channels} channels, {what}: {times} times the direct kernel's");
        }
    }
}

#[test]
fn winograd_is_offered_where_it_is_right() {
    let right = case([8, 64, 16, 16], 64, [1; 4]);
    assert_eq!(offers(&right), [true; 2]);
    let changed = |change: fn(&mut Conv2dAttributes)| {
        let mut case = right.clone();
        change(&mut case.conv);
        case
    };
    let mut grouped = case([2, 8, 8, 8], 8, [1; 4]);
    (grouped.weight[1], grouped.conv.groups) = (4, 2);
    let mut wide = right.clone();
    wide.weight[3] = 5;
    let wrong = [
        ("a stride", changed(|conv| conv.stride = [1, 2])),
        ("dilation", changed(|conv| conv.dilation = [2, 1])),
        ("more padding than the window reaches", changed(|conv| conv.padding = [1, 1, 3, 1])),
        ("groups", grouped),
        ("a wider window", wide),
        ("six input channels", case([2, 6, 8, 8], 8, [1; 4])),
        ("six output channels", case([2, 8, 8, 8], 6, [1; 4])),
        ("transformed weights beyond a binding", case([1, 2048, 4, 4], 2048, [1; 4])),
    ];
    for (what, case) in wrong {
        assert_eq!(offers(&case), [false; 2], "{what}");
    }
    let software = Caps::webgpu(DeviceClass::Software);
    assert!(names(&right, &software).iter().all(|of| of[0] == "winograd"));
    for few in [case([8, 8, 16, 16], 64, [1; 4]), case([1, 64, 4, 4], 64, [1; 4])] {
        assert!(names(&few, &software).iter().all(|of| of[0] != "winograd"), "{few:?}");
    }
    for of in names(&right, &Caps::webgpu(DeviceClass::Discrete)) {
        let (tiled, others) = of.split_at(2);
        assert!(tiled.iter().all(|name| ["pipelined", "workgroup"].contains(&name.as_str())), "{tiled:?}");
        assert_eq!(others, ["winograd", "direct"]);
    }
}

//! Plans as data: gradients only where they are wanted, tensors larger than a binding cut or refused, parameters shared by
//! tapes, and a printout with everything in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tilegrad::Error;
use tilegrad::graph::{Purpose, Spec, Stage, Tape};
use tilegrad::kernel::{Caps, Choices, DeviceClass, FlatBuffer, HeaderConstant};
use tilegrad::ops::conv2d::Conv2dAttributes;
use tilegrad::ops::max_pool2d::MaxPool2dAttributes;
use tilegrad::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use tilegrad::optim::{Optimizer, Sgd};
use tilegrad::plan::{Buffer, ParameterLayout, Plan, Step};
use tilegrad::rng::Init;
use tilegrad::shape::Layout;

use crate::zoo;

fn caps() -> Caps {
    Caps::webgpu(DeviceClass::Discrete)
}

fn plan(tape: &Tape) -> Plan {
    zoo::plan(tape, &caps(), &Choices::default()).unwrap()
}

/// The dispatches of the backward stage, as node (the first of those that were joined) and operation.
fn backward(plan: &Plan) -> Vec<(&str, &str)> {
    let of_stage = plan.steps.iter().filter(|step| step.stage == Stage::Backward);
    of_stage.map(|step| (step.node.split(" + ").next().unwrap(), step.operation)).collect()
}

#[test]
fn a_frozen_parameter_has_no_gradient_dispatch() {
    let frozen = &zoo::residual_block(1)[0];
    assert_eq!(frozen, "block1.conv1.weight");
    let whole = plan(&zoo::residual_net(&|_| false));
    assert!(backward(&whole).contains(&("block1.conv1", "conv2d_grad_weight")));
    assert!(!backward(&whole).contains(&("block0.conv1", "conv2d_grad_input")), "nobody wants the images' gradient");

    let tape = zoo::residual_net(&|name| name == frozen);
    let part = plan(&tape);
    let steps = backward(&part);
    assert!(!steps.contains(&("block1.conv1", "conv2d_grad_weight")));
    assert!(steps.contains(&("block1.conv1", "conv2d_grad_input")), "the gradient still passes through");
    assert_eq!(steps.iter().filter(|step| !backward(&whole).contains(step)).count(), 0);
    assert!(tape.gradients().iter().all(|(of, _)| tape.tensor(*of).name != *frozen));
    // It lies with the parameters that nothing updates, where there are no gradients and no momentum.
    let group = part.layout.placement(frozen).unwrap().group;
    assert!(!part.layout.updated(group));
    let updated = whole.layout.bytes(FlatBuffer::Gradient) - part.layout.bytes(FlatBuffer::Gradient);
    assert_eq!(updated, 8 * 8 * 3 * 3 * 4);
    assert_eq!(part.layout.bytes(FlatBuffer::Parameter), whole.layout.bytes(FlatBuffer::Parameter));
}

#[test]
fn frozen_layers_at_the_bottom_have_no_backward_at_all() {
    let tape = zoo::residual_net(&|name| name.starts_with("block0"));
    let plan = plan(&tape);
    let steps = backward(&plan);
    assert!(steps.iter().all(|(node, _)| !node.starts_with("block0")), "{steps:?}");
    assert!(!steps.contains(&("block1.conv1", "conv2d_grad_input")), "nobody below wants it: {steps:?}");
    assert!(steps.contains(&("block1.conv1", "conv2d_grad_weight")), "{steps:?}");

    let mut tape = Tape::new(Purpose::Train);
    let logits = tape.input("logits", Spec::f32([2, 3])).unwrap();
    let target = tape.input("target", Spec::i32([2])).unwrap();
    let loss = tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default()).unwrap();
    let error = Sgd::new(0.1).minimize(&mut tape, loss.loss).unwrap_err();
    assert_eq!(error.to_string(), "optimizer: the loss depends on no parameter that is to be trained");
}

#[test]
fn what_nobody_asks_for_is_not_run() {
    let mut tape = Tape::new(Purpose::Evaluate);
    let x = tape.input("x", Spec::f32([2, 3, 4, 4])).unwrap();
    let wanted = tape.relu("wanted", x).unwrap();
    tape.tanh("unwanted", wanted).unwrap();
    tape.keep(wanted);
    let plan = plan(&tape);
    assert_eq!(plan.steps.iter().map(|step| step.node.as_str()).collect::<Vec<_>>(), ["wanted"]);
}

#[test]
fn flat_buffers_are_aligned_and_fit_a_binding() {
    for max_binding in [128 << 20, 200_000, 110_000] {
        let (tape, caps) = (zoo::lenet(2), Caps { max_binding, ..caps() });
        let layout = ParameterLayout::new(&tape, &caps).unwrap();
        let mut taken: BTreeMap<(usize, usize), Vec<(u64, u64)>> = BTreeMap::new();
        for name in layout.names() {
            let placement = layout.placement(name).unwrap();
            let bytes: u64 = placement.chunks.iter().map(|(_, _, bytes)| bytes).sum();
            assert_eq!(bytes, 4 * placement.shape.len() as u64, "{name}");
            for &(piece, offset, bytes) in &placement.chunks {
                assert_eq!(offset % 256, 0, "{name}");
                assert!(offset + bytes <= layout.pieces(placement.group)[piece], "{name}");
                taken.entry((placement.group, piece)).or_default().push((offset, bytes));
            }
        }
        for spans in taken.values_mut() {
            spans.sort_unstable();
            assert!(spans.windows(2).all(|w| w[0].0 + w[0].1 <= w[1].0), "parameters overlap: {spans:?}");
        }
        let pieces: Vec<u64> = (0..layout.groups()).flat_map(|group| layout.pieces(group).to_vec()).collect();
        assert!(pieces.iter().all(|&bytes| bytes <= max_binding), "{pieces:?} of {max_binding}");
        let count = layout.placement("fc1.weight").unwrap().chunks.len();
        assert_eq!(count, if max_binding < 192_000 { 2 } else { 1 }, "fc1.weight has 192,000 bytes");
    }
}

/// A field of a step's params.
fn param(step: &Step, name: &str) -> u32 {
    let offset = step.kernel.params.iter().find(|field| field.name == name).unwrap().offset;
    u32::from_le_bytes(step.params[offset..offset + 4].try_into().unwrap())
}

/// Whether a step adds to what earlier pieces gave, as 0 or 1.
fn accumulates(step: &Step) -> u32 {
    u32::from(step.kernel.constants.contains(&("ACCUMULATE", HeaderConstant::Bool(true))))
}

/// The first classifier layer of VGG: 411 MB, where a binding has 128 MiB.
#[test]
fn a_weight_larger_than_a_binding_is_dispatched_in_pieces() {
    let mut tape = Tape::new(Purpose::Train);
    let x = tape.input("x", Spec::f32([2, 5])).unwrap();
    let target = tape.input("target", Spec::i32([2])).unwrap();
    // A layer below, so that the gradient by the input is wanted.
    let below = tape.parameter("below.weight", [25088, 5], Layout::RowMajor, Init::Constant(0.0)).unwrap();
    let x = tape.linear("below", x, below, None).unwrap();
    let weight = tape.parameter("fc.weight", [4096, 25088], Layout::RowMajor, Init::Constant(0.0)).unwrap();
    let bias = tape.parameter("fc.bias", [4096], Layout::RowMajor, Init::Constant(0.0)).unwrap();
    let logits = tape.linear("fc", x, weight, Some(bias)).unwrap();
    let loss = tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default()).unwrap();
    Sgd::new(0.1).momentum(0.9).minimize(&mut tape, loss.loss).unwrap();
    let plan = plan(&tape);
    let spans = plan.place(weight).unwrap();
    assert_eq!(spans.iter().map(|span| span.bytes / 4 / 25088).collect::<Vec<_>>(), [1280, 1280, 1280, 256]);
    assert!(spans.iter().all(|span| span.bytes <= caps().max_binding));

    // Forward, and the gradients by input and by weight: each piece once, with the rows that it has.
    let gradient = tape.gradients().into_iter().find(|(of, _)| *of == weight).unwrap().1;
    for (what, stage, id, binding, field) in [
        ("output", Stage::Forward, weight, "b", "n"),
        ("grad_input", Stage::Backward, weight, "b", "k"),
        ("grad_weight", Stage::Backward, gradient, "output", "m"),
    ] {
        let on_piece = |span| {
            let bound = (binding, span);
            let binds = |step: &&Step| step.stage == stage && step.bindings.contains(&bound);
            let steps: Vec<&Step> = plan.steps.iter().filter(binds).collect();
            assert_eq!(steps.len(), 1, "{what}: one dispatch a piece");
            param(steps[0], field)
        };
        let rows: Vec<u32> = plan.place(id).unwrap().iter().cloned().map(on_piece).collect();
        assert_eq!(rows, [1280, 1280, 1280, 256], "{what}");
    }
    // The gradient by the input is a sum over the pieces: the first sets it, the others add.
    let sums = plan.steps.iter().filter(|step| step.node == "fc" && step.stage == Stage::Backward);
    let sums: Vec<u32> = sums.filter(|step| step.kernel.name.starts_with("matmul")).map(accumulates).collect();
    assert_eq!(sums.iter().sum::<u32>(), 3, "{sums:?}");
    // The update runs over every piece of the flat buffers.
    let updated: BTreeSet<&Buffer> = (plan.steps.iter())
        .filter(|step| step.stage == Stage::Update)
        .flat_map(|step| step.bindings.iter().map(|(_, span)| &span.buffer))
        .collect();
    assert!(spans.iter().all(|span| updated.contains(&span.buffer)));
}

/// The error of a plan for `tape`.
fn refused(tape: &Tape) -> String {
    let error = zoo::plan(tape, &caps(), &Choices::default()).unwrap_err();
    assert!(matches!(error, Error::Limit { .. }), "{error}");
    error.to_string()
}

#[test]
fn what_fits_no_binding_is_refused_by_name() {
    let mut tape = Tape::new(Purpose::Evaluate);
    let x = tape.input("images", Spec::f32([64, 3, 224, 224])).unwrap();
    let spec = Spec { layout: Layout::Hwio, ..Spec::f32([64, 3, 3, 3]) };
    let weight = tape.input("weight", spec).unwrap();
    let same = Conv2dAttributes { padding: [1; 4], ..Conv2dAttributes::default() };
    let output = tape.conv2d("features.0", x, weight, None, same).unwrap();
    tape.keep(output);
    assert_eq!(
        refused(&tape),
        "tensor \"features.0\" [64,64,224,224] needs 822083584 bytes, the device allows 134217728 bytes in one binding; \
         use a smaller batch or layer"
    );

    let mut tape = Tape::new(Purpose::Evaluate);
    let x = tape.input("images", Spec::f32([256, 3, 224, 224])).unwrap();
    let output = tape.max_pool2d("pool", x, MaxPool2dAttributes::new([2, 2])).unwrap();
    tape.keep(output);
    assert!(
        refused(&tape).starts_with("tensor \"images\" [256,3,224,224] needs 154140672 bytes"),
        "{}",
        refused(&tape)
    );
}

/// A product could compute a result in pieces, but an activation has one slot.
#[test]
fn a_product_s_operand_that_fits_no_binding_is_refused_by_name() {
    let mut tape = Tape::new(Purpose::Evaluate);
    let x = tape.input("x", Spec::f32([40_000, 10])).unwrap();
    let weight = tape.parameter("fc.weight", [1000, 10], Layout::RowMajor, Init::Constant(0.0)).unwrap();
    let y = tape.linear("fc", x, weight, None).unwrap();
    tape.keep(y);
    assert!(refused(&tape).starts_with("tensor \"fc\" [40000,1000] needs 160000000 bytes"), "{}", refused(&tape));

    let mut tape = Tape::new(Purpose::Evaluate);
    let x = tape.input("x", Spec::f32([40_000, 1000])).unwrap();
    let weight = tape.parameter("fc.weight", [10, 1000], Layout::RowMajor, Init::Constant(0.0)).unwrap();
    let y = tape.linear("fc", x, weight, None).unwrap();
    tape.keep(y);
    assert!(refused(&tape).starts_with("tensor \"x\" [40000,1000] needs 160000000 bytes"), "{}", refused(&tape));
}

#[test]
fn tapes_that_share_parameters_must_agree_on_them() {
    let train = zoo::lenet(8);
    let layout = Arc::new(ParameterLayout::new(&train, &caps()).unwrap());
    let over = |tape: &Tape| Plan::new(Arc::new(tape.clone()), layout.clone(), &caps(), &Choices::default());
    assert!(over(&zoo::lenet(3)).is_ok(), "another batch size");

    let other = |name: &str, columns: usize| {
        let mut tape = Tape::new(Purpose::Evaluate);
        let x = tape.input("x", Spec::f32([2, columns])).unwrap();
        let weight = tape.parameter(name, [84, columns], Layout::RowMajor, Init::Constant(0.0)).unwrap();
        let y = tape.linear("fc2", x, weight, None).unwrap();
        tape.keep(y);
        over(&tape)
    };
    assert!(other("fc2.weight", 120).is_ok(), "a tape that only evaluates a part of the model");
    assert_eq!(
        other("fc2.weight", 100).unwrap_err().to_string(),
        "parameter \"fc2.weight\": the tape declares [84,100], the parameter store has [84,120]"
    );
    assert_eq!(
        other("fc9.weight", 100).unwrap_err().to_string(),
        "\"fc9.weight\": the parameter store has no parameter of that name"
    );
}

#[test]
fn a_choice_holds_for_its_operation_and_where_it_is_valid() {
    let kernels = |choices: &Choices| {
        let plan = zoo::plan(&zoo::lenet(4), &caps(), choices).unwrap();
        plan.kernels().into_iter().map(|kernel| kernel.name).collect::<BTreeSet<_>>()
    };
    let best = kernels(&Choices::default());
    let is_tiled = |name: &&str| name.ends_with("/workgroup") || name.ends_with("/pipelined");
    let tiled =
        |operation: &str, of: &BTreeSet<&str>| of.iter().any(|name| is_tiled(name) && name.starts_with(operation));
    assert!(tiled("conv2d_grad_weight/", &best), "{best:?}");
    let one = kernels(&Choices::default().operation("conv2d", "direct"));
    assert!(one.contains("conv2d/direct") && tiled("conv2d_grad_weight/", &one), "{one:?}");
    let all = kernels(&Choices::everywhere("direct"));
    assert!(!all.iter().any(is_tiled), "{all:?}");
    let invalid = kernels(&Choices::everywhere("subgroup8"));
    assert_eq!(invalid, best, "this device does not shuffle");
}

#[test]
fn the_printout_shows_dispatches_memory_and_both_peaks() {
    let plan = plan(&zoo::lenet(8));
    let (text, memory) = (plan.to_string(), plan.memory());
    let mut lines = text.lines();
    let first = lines.next().unwrap();
    let counts =
        format!("{} dispatches of {} kernels, {} slots;", plan.steps.len(), plan.kernels().len(), plan.slots.len());
    assert!(first.starts_with(&counts), "{first}");
    let peaks = format!("peak {} bytes with sharing, {} without", memory.total(), memory.total_unshared());
    assert_eq!(lines.next(), Some(peaks.as_str()));
    // 61,706 parameters and what aligns them; conv1.weight has 600 bytes, in 768.
    assert_eq!(memory.parameters, memory.gradients);
    assert_eq!(memory.parameters, memory.optimizer);
    assert!(memory.parameters > 4 * 61_706 && memory.parameters < 4 * 61_706 + 10 * 256);
    assert_eq!(memory.total(), memory.activations + 3 * memory.parameters + memory.data);
    assert!(memory.data >= 1000 * 28 * 28 + 1000 * 4, "the data set is counted: {memory}");

    let block = |node: &str| {
        let at = text.lines().position(|line| line.split_whitespace().nth(1) == Some(node)).unwrap();
        text.lines().skip(at).take(5).collect::<Vec<_>>().join("\n")
    };
    let conv = block("conv1");
    let slot = match plan.steps.iter().find(|step| step.node == "conv1 + act1").map(|step| &step.bindings[2].1.buffer) {
        Some(Buffer::Slot(slot)) => format!("slot {slot} "),
        other => panic!("{other:?}"),
    };
    for part in
        ["forward", "conv2d/direct", "[8,1,28,28]", "[6,1,5,5]", "[8,6,28,28]", "600 bytes", "150528 bytes", &slot]
    {
        assert!(conv.contains(part), "{part} in\n{conv}");
    }
    for part in [
        "gather",
        "backward",
        "update",
        "data set images[0]",
        "state train",
        "input optimizer.0",
        "optimizer(\"momentum_buffer\")[",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert_eq!(text.lines().count(), 2 + plan.steps.iter().map(|step| 1 + step.bindings.len()).sum::<usize>());
}

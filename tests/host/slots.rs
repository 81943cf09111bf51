//! Memory that tensors share over time: no two that live together, nothing overwritten before its last reader, and no
//! buffer bound twice where it is written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tilegrad::graph::{Node, Purpose, Role, Spec, Tape, TensorId};
use tilegrad::kernel::{Caps, Choices, DeviceClass, Kernel};
use tilegrad::plan::{Buffer, Step};

use crate::{shaders, zoo};

/// LeNet and a residual net, both in training.
fn networks() -> [(&'static str, Tape); 2] {
    [("lenet", zoo::lenet(8)), ("residual net", zoo::residual_net(&|_| false))]
}

/// The variables that kernels write, by kernel.
#[derive(Default)]
struct Writes(HashMap<Kernel, BTreeSet<String>>);

impl Writes {
    /// For each binding of `step` its buffer, and whether the kernel writes it.
    fn bindings<'a>(&mut self, step: &'a Step) -> Vec<(&'a Buffer, bool)> {
        let written = self.0.entry(step.kernel.clone()).or_insert_with(|| shaders::written(&step.kernel));
        step.bindings.iter().map(|(name, span)| (&span.buffer, written.contains(*name))).collect()
    }
}

/// The tensor whose memory `id` is: what a flatten that moves nothing looks at.
fn root(tape: &Tape, id: TensorId) -> TensorId {
    let made = tape.nodes().iter().find(|node| node.outputs.contains(&id));
    match made {
        Some(node) => {
            let inputs: Vec<_> = node.inputs.iter().map(|&id| tape.tensor(id)).collect();
            let view = node.op.is_view(&inputs) && tape.tensor(id).role == Role::Activation;
            if view { root(tape, node.inputs[0]) } else { id }
        }
        None => id,
    }
}

#[test]
fn no_two_live_tensors_share_a_slot() {
    for (name, tape) in networks() {
        let plan = zoo::plan(&tape, &Caps::webgpu(DeviceClass::Discrete), &Choices::default()).unwrap();
        assert!(plan.intervals.len() > 10, "{name}: {} tensors have slots", plan.intervals.len());
        for (i, (a, lives, slot)) in plan.intervals.iter().enumerate() {
            assert!(plan.slots[*slot] >= tape.tensor(*a).bytes(), "{name}: {} fits its slot", tape.tensor(*a).name);
            for (b, other, other_slot) in &plan.intervals[..i] {
                let (a, b) = (&tape.tensor(*a).name, &tape.tensor(*b).name);
                assert!(slot != other_slot || !lives.overlaps(other), "{name}: {a} and {b} share slot {slot}");
            }
        }
        // And the sharing is worth something.
        let memory = plan.memory();
        assert!(memory.activations * 4 < memory.activations_unshared * 3, "{name}: {memory}");
    }
}

/// The check above believes the plan's own intervals; this one follows the dispatches instead.
#[test]
fn what_a_dispatch_reads_was_last_written_by_the_node_that_made_it() {
    let mut writes = Writes::default();
    for (name, tape) in networks() {
        for (caps, choices) in zoo::devices().iter().flat_map(|caps| zoo::choices().into_iter().map(move |c| (caps, c)))
        {
            let plan = zoo::plan(&tape, caps, &choices).unwrap();
            // The plan has joined some nodes.
            let tape = &*plan.tape;
            let made: HashMap<TensorId, &str> = (tape.nodes().iter())
                .flat_map(|node| node.outputs.iter().map(|&id| (id, node.name.as_str())))
                .collect();
            let mut last: BTreeMap<&Buffer, &str> = BTreeMap::new();
            for step in &plan.steps {
                let of_step = |node: &&Node| node.name == step.node && node.op.name() == step.operation;
                let nodes: Vec<_> = tape.nodes().iter().filter(of_step).collect();
                let bindings = writes.bindings(step);
                for (buffer, _) in bindings.iter().filter(|(b, written)| matches!(b, Buffer::Slot(_)) && !written) {
                    let here = |id: &TensorId| plan.place(*id).is_some_and(|spans| spans[0].buffer == **buffer);
                    let makers: Vec<&str> = (nodes.iter())
                        .flat_map(|node| node.inputs.iter().filter(|id| here(id)))
                        .map(|&id| made[&root(tape, id)])
                        .collect();
                    let writer = last.get(*buffer).unwrap_or_else(|| panic!("{name}: {} reads nothing", step.node));
                    // A slot that holds no operand is the node's own scratch memory.
                    let good = if makers.is_empty() { *writer == step.node } else { makers.contains(writer) };
                    assert!(good, "{name}: {} reads {buffer:?}, last written by {writer}, not {makers:?}", step.node);
                }
                for (buffer, _) in bindings.into_iter().filter(|(_, written)| *written) {
                    last.insert(buffer, &step.node);
                }
            }
            for id in tape.kept() {
                let buffer = &plan.place(*id).expect("a kept tensor has memory")[0].buffer;
                assert_eq!(last[buffer], made[&root(tape, *id)], "{name}: a kept tensor is overwritten");
            }
        }
    }
}

/// A device sees whole buffers: one that is written may not be bound a second time in the same dispatch.
#[test]
fn a_buffer_that_a_dispatch_writes_is_bound_once() {
    let mut writes = Writes::default();
    for (name, tape) in zoo::tapes() {
        for (caps, choices) in zoo::devices().iter().flat_map(|caps| zoo::choices().into_iter().map(move |c| (caps, c)))
        {
            for step in &zoo::plan(&tape, caps, &choices).unwrap().steps {
                let bindings = writes.bindings(step);
                for (buffer, _) in bindings.iter().filter(|(_, written)| *written) {
                    let bound = bindings.iter().filter(|(other, _)| other == buffer).count();
                    assert_eq!(bound, 1, "{name}: {} {} binds {buffer:?}", step.node, step.kernel.name);
                }
            }
        }
    }
}

#[test]
fn what_is_kept_is_not_overwritten() {
    let build = |kept: bool| {
        let mut tape = Tape::new(Purpose::Evaluate);
        let x = tape.input("x", Spec::f32([2, 3, 4, 4])).unwrap();
        let first = tape.silu("0", x).unwrap();
        let last = (1..5).fold(first, |x, i| tape.silu(&i.to_string(), x).unwrap());
        tape.keep(last);
        if kept {
            tape.keep(first);
        }
        let plan = zoo::plan(&tape, &Caps::webgpu(DeviceClass::Discrete), &Choices::default()).unwrap();
        let place = plan.place(first).unwrap()[0].buffer.clone();
        plan.intervals.iter().filter(|(id, _, slot)| *id != first && Buffer::Slot(*slot) == place).count()
    };
    assert!(build(false) > 0, "the first of a chain makes room for others");
    assert_eq!(build(true), 0, "a kept one does not");
}

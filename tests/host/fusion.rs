//! The plan's rewrite rules: each joins something, what it joins computes what it did before, and a wrong name is an error.

use std::collections::BTreeSet;
use std::sync::Arc;

use tilegrad::graph::{Purpose, Spec, Stage, Tape};
use tilegrad::kernel::{Caps, Choices, DeviceClass};
use tilegrad::optim::Optimizer;
use tilegrad::plan::fuse::RULES;
use tilegrad::reference::{HostStore, Program};
use tilegrad::twin::Value;

use crate::common::{cases, fused};
use crate::zoo;

const ALL: [Stage; 3] = [Stage::Forward, Stage::Backward, Stage::Update];

/// All rules but those that `kept` accepts are left out.
fn only(kept: impl Fn(&str) -> bool) -> Choices {
    let names = RULES.iter().map(|rule| rule.name.to_string());
    Choices { without_rules: names.filter(|name| !kept(name)).collect(), ..Choices::default() }
}

/// The tape that the plan runs.
fn planned(tape: &Tape, choices: &Choices) -> Arc<Tape> {
    zoo::plan(tape, &Caps::webgpu(DeviceClass::Discrete), choices).unwrap().tape
}

/// The parameters after two steps on the reference executor.
fn trained(tape: &Arc<Tape>, shape: [usize; 4]) -> Vec<Vec<f32>> {
    let mut store = HostStore::new(tape, 1);
    let mut program = Program::<f32>::new(Arc::clone(tape));
    let images = cases::uniform(3, "images", shape.iter().product());
    program.write("input", Value::Real(images)).unwrap();
    program.write("target", Value::Int((0..shape[0] as i32).collect())).unwrap();
    for _ in 0..2 {
        let sgd = fused::sgd();
        for (name, values) in sgd.hyperparameters(tape, sgd.rates()) {
            program.write(&name, Value::Real(values.to_vec())).unwrap();
        }
        program.run(&mut store, &ALL).unwrap();
    }
    let parameters = tape.parameters().into_iter().map(|id| tape.tensor(id).name.clone());
    parameters.map(|name| store.get(&name).unwrap().real().to_vec()).collect()
}

#[test]
fn each_rule_joins_nodes_and_changes_no_bit_of_the_twins_results() {
    let mut used = BTreeSet::new();
    for (network, tape, shape, _) in fused::networks() {
        let plain = planned(&tape, &only(|_| false));
        let expected = trained(&plain, shape);
        for rule in RULES {
            let joined = planned(&tape, &only(|name| name == rule.name));
            // An activation in place stays a node.
            let operations = |tape: &Tape| tape.nodes().iter().map(|n| format!("{:?}", n.op)).collect::<Vec<_>>();
            if operations(&joined) != operations(&plain) {
                used.insert(rule.name);
                assert_eq!(trained(&joined, shape), expected, "{network}, {} alone", rule.name);
            }
        }
        let all = planned(&tape, &Choices::default());
        assert!(all.nodes().len() < plain.nodes().len(), "{network}: {} nodes", all.nodes().len());
        assert_eq!(trained(&all, shape), expected, "{network}, all rules");
    }
    assert_eq!(used.len(), RULES.len(), "only {used:?} joined anything");
}

#[test]
fn what_somebody_reads_is_not_joined_away() {
    let mut tape = Tape::new(Purpose::Evaluate);
    let x = tape.input("x", Spec::f32([1, 2, 4, 4])).unwrap();
    let sum = tape.add("sum", x, x).unwrap();
    let relu = tape.relu("relu", sum).unwrap();
    tape.keep(relu);
    assert_eq!(planned(&tape, &Choices::default()).nodes().len(), 1);
    tape.keep(sum);
    assert_eq!(planned(&tape, &Choices::default()).nodes().len(), 2, "the sum is kept");
}

#[test]
fn a_node_between_two_that_reads_the_first_ones_result_keeps_them_apart() {
    let mut tape = Tape::new(Purpose::Evaluate);
    let x = tape.input("x", Spec::f32([1, 2, 4, 4])).unwrap();
    let sum = tape.add("sum", x, x).unwrap();
    let half = tape.scale("half", sum, 0.5).unwrap();
    let relu = tape.relu("relu", sum).unwrap();
    tape.keep(half);
    tape.keep(relu);
    assert_eq!(planned(&tape, &Choices::default()).nodes().len(), 3);
}

#[test]
fn an_activation_of_what_nobody_else_reads_is_computed_in_its_memory() {
    let mut tape = Tape::new(Purpose::Evaluate);
    let x = tape.input("x", Spec::f32([1, 2, 4, 4])).unwrap();
    let half = tape.scale("half", x, 0.5).unwrap();
    let tanh = tape.tanh("tanh", half).unwrap();
    tape.keep(tanh);
    let in_place = |tape: &Tape, choices: &Choices| {
        planned(tape, choices).nodes().iter().filter(|node| node.op.is_in_place()).count()
    };
    assert_eq!(in_place(&tape, &Choices::default()), 1);
    assert_eq!(in_place(&tape, &only(|rule| rule != "activation_in_place")), 0, "the rule is left out");
    tape.keep(half);
    assert_eq!(in_place(&tape, &Choices::default()), 0, "the input is kept");
}

#[test]
fn an_unknown_rule_is_named_with_those_there_are() {
    let (_, tape, ..) = fused::networks().remove(0);
    let choices = Choices { without_rules: ["relo".to_string()].into(), ..Choices::default() };
    let error = zoo::plan(&tape, &Caps::webgpu(DeviceClass::Discrete), &choices).unwrap_err().to_string();
    assert!(error.contains("relo") && RULES.iter().all(|rule| error.contains(rule.name)), "{error}");
}

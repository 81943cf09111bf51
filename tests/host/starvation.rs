//! A plan that starves a card is found without one: no dispatch works long in a row with few invocations.

use std::collections::BTreeMap;

use tilegrad::gpu::reflect;
use tilegrad::graph::{Purpose, Spec, Tape};
use tilegrad::kernel::{Choices, Extent, Kernel, Serial};
use tilegrad::ops::conv2d::Conv2dAttributes;
use tilegrad::plan::Step;

use crate::common::cards;
use crate::zoo;

/// Steps in a row that are long: places of a product's K dimension, and elements of anything else.
const LONG: [u64; 2] = [1_024, 64];
/// Fewer invocations leave most of a card idle.
const FEW: u64 = 16_384;

/// How many invocations a dispatch has.
fn invocations(step: &Step, sizes: &mut BTreeMap<Kernel, u64>) -> u64 {
    match step.extent {
        Extent::Invocations(count) => count,
        Extent::Workgroups(count) => {
            let size = sizes.entry(step.kernel.clone()).or_insert_with(|| {
                reflect(&step.kernel).unwrap_or_else(|error| panic!("{error}")).workgroup_size.into()
            });
            count * *size
        }
    }
}

/// Whether so many invocations are too few for so many steps in a row.
fn starves(serial: Serial, invocations: u64) -> bool {
    let (steps, long) = match serial {
        Serial::KPlaces(places) => (places, LONG[0]),
        Serial::Elements(elements) => (elements, LONG[1]),
    };
    steps > long && invocations < FEW
}

#[test]
fn no_dispatch_works_long_with_few_invocations() {
    let (mut found, mut sizes) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::new());
    for card in cards::cards() {
        for (network, plan) in cards::plans(&card) {
            for step in &plan.steps {
                let what = format!("{} of {network} on {}, by {}", step.node, card.name, step.kernel.name);
                let serial = step.serial.unwrap_or_else(|| panic!("{what}: states no steps in a row"));
                let (Serial::KPlaces(steps) | Serial::Elements(steps)) = serial;
                let invocations = invocations(step, &mut sizes);
                if starves(serial, invocations) {
                    let line = format!("{network}; {}; {}; {steps}; {invocations}", step.node, step.kernel.name);
                    let cards = found.entry(line).or_default();
                    if !cards.contains(&card.name) {
                        cards.push(card.name);
                    }
                }
            }
        }
    }
    let found: Vec<String> = found.into_iter().map(|(line, cards)| format!("{line}; {}", cards.join(", "))).collect();
    assert!(
        found.is_empty(),
        "few invocations that each work long, in {} dispatches (network; node; kernel; steps in a row; invocations; cards):\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn long_and_few_are_what_starves() {
    assert!(starves(Serial::KPlaces(50_176), 150));
    assert!(!starves(Serial::KPlaces(1_024), 150) && !starves(Serial::KPlaces(50_176), 16_384));
    assert!(starves(Serial::Elements(65), 16_383) && !starves(Serial::Elements(64), 1));
}

/// Of every operation by every candidate, whether or not the networks above have it.
#[test]
fn every_dispatch_states_its_steps_in_a_row() {
    for (label, tape) in zoo::tapes() {
        for caps in zoo::devices() {
            for choices in zoo::choices() {
                let Ok(plan) = zoo::plan(&tape, &caps, &choices) else { continue };
                for step in &plan.steps {
                    let Some(Serial::KPlaces(count) | Serial::Elements(count)) = step.serial else {
                        panic!("{label}: {} of {} states no steps in a row", step.kernel.name, step.node)
                    };
                    assert!(count > 0, "{label}: {} of {}", step.kernel.name, step.node);
                }
            }
        }
    }
}

/// By any algorithm a node's multiply-adds are all there, on its products: what transforms their operands or adds up their parts has none.
#[test]
fn multiply_adds_are_those_of_products() {
    let tape = || {
        let mut tape = Tape::new(Purpose::Train);
        let input = tape.input("input", Spec::f32([4, 64, 16, 16])).unwrap();
        let weight = tape.input("weight", Spec::f32([64, 64, 3, 3])).unwrap();
        let conv = Conv2dAttributes { padding: [1; 4], ..Conv2dAttributes::default() };
        let output = tape.conv2d("conv", input, weight, None, conv).unwrap();
        zoo::differentiated(tape, output, &[input, weight])
    };
    let of_each = 4 * 16 * 16 * 64 * 64 * 9;
    for algorithm in ["direct", "workgroup", "winograd", "subgroup8"] {
        for caps in zoo::devices() {
            let plan = zoo::plan(&tape(), &caps, &Choices::everywhere(algorithm)).unwrap();
            let mut sums = BTreeMap::<_, u64>::new();
            for step in &plan.steps {
                let is_product = matches!(step.serial, Some(Serial::KPlaces(_)));
                assert_eq!(step.multiply_adds > 0, is_product, "{algorithm}: {}", step.kernel.name);
                *sums.entry(step.operation).or_default() += step.multiply_adds;
            }
            sums.retain(|operation, _| operation.starts_with("conv2d"));
            assert_eq!(sums.into_values().collect::<Vec<_>>(), [of_each; 3], "{algorithm}");
            let winograd = plan.steps.iter().filter(|step| step.kernel.name.contains("winograd"));
            assert!(algorithm != "winograd" || winograd.count() > 0);
        }
    }
}

//! Plans as text, to be compared between two versions of the library: `TILEGRAD_PLANS=FOLDER cargo test --test host dump`
//! writes a file for each reference device. Without the variable nothing is done.

use std::fmt::Write;

use tilegrad::plan::Plan;

use crate::common::cards::{Card, Network, cards, lavapipe, plan, plans};

/// Candidates and what is taken, dispatches with grids, params and memory, slots.
fn text(plan: &Plan) -> String {
    let mut text = String::new();
    for chosen in &plan.chosen {
        let _ = writeln!(
            text,
            "choice {} [{}] takes {} of {:?}",
            chosen.node.name,
            chosen.node.op.name(),
            chosen.taken,
            chosen.candidates.iter().map(ToString::to_string).collect::<Vec<_>>()
        );
    }
    for step in &plan.steps {
        let _ = writeln!(
            text,
            "step {:?} {} [{}] {} {:?} {:?}",
            step.stage, step.node, step.operation, step.kernel.name, step.extent, step.serial
        );
        let _ = writeln!(
            text,
            "  params {:?} {:02x?}",
            step.kernel.params.iter().map(|field| (field.name, field.offset)).collect::<Vec<_>>(),
            step.params
        );
        for (name, span) in &step.bindings {
            let _ = writeln!(text, "  {name} {span:?}");
        }
        let _ = writeln!(
            text,
            "  multiply_adds {} output {:?} subgroups {}",
            step.multiply_adds, step.output, step.kernel.subgroups
        );
        let _ = writeln!(text, "  constants {:?}", step.kernel.constants);
    }
    let _ = writeln!(text, "slots {:?}", plan.slots);
    text
}

#[test]
fn plans_are_written_where_a_folder_is_named() {
    let Some(folder) = std::env::var_os("TILEGRAD_PLANS") else { return };
    let folder = std::path::Path::new(&folder);
    std::fs::create_dir_all(folder).expect("the folder can be made");
    let write = |card: &Card, network: &str, plan: &Plan| {
        let file = format!("{}-{network}.txt", card.name).replace([' ', '/'], "_");
        std::fs::write(folder.join(file), text(plan)).expect("the plan can be written");
    };
    for card in cards() {
        plans(&card).into_iter().for_each(|(network, plan)| write(&card, network, &plan));
    }
    let mut plain = Card { name: "software", ..lavapipe() };
    plain.caps.subgroups = None;
    for card in [lavapipe(), plain] {
        for network in [Network::Lenet5, Network::Vgg11, Network::Resnet18] {
            write(&card, network.name(), &plan(&card, network, 16));
        }
    }
}

//! The kernels of plans, each once, with what needs them and what tells them apart.

use std::collections::{BTreeMap, BTreeSet};

use tilegrad::kernel::{HeaderConstant, Kernel, Serial};
use tilegrad::plan::Plan;

use crate::common::cards::{self, Card};

/// A kernel and what needs it.
pub struct Used {
    /// The kernel.
    pub kernel: Kernel,
    /// What tells it from the others of its name: constants, and files.
    pub constants: String,
    /// The first node that it computes, by network.
    pub node: String,
    /// The networks in whose plans it is.
    pub networks: Vec<&'static str>,
    /// The cards for which they are planned.
    pub cards: Vec<&'static str>,
    /// Whether its dispatches say that they are products.
    pub product: bool,
}

impl Used {
    /// Its name and what tells it from others of that name.
    pub fn label(&self) -> String {
        format!("{} {}", self.kernel.name, self.constants).trim_end().to_string()
    }

    /// The sums that an invocation owns, if it is a product that says it: another's are one.
    pub fn sums(&self) -> u32 {
        ["ROWS", "COLUMNS"].iter().filter_map(|name| number(&self.kernel, name)).product()
    }

    /// What a failure says of it.
    pub fn described(&self) -> String {
        format!("{} ({}; {})", self.label(), self.node, self.networks.join(", "))
    }
}

/// The kernels of the plans of every network for `cards`.
pub fn of(cards: &[Card]) -> Vec<Used> {
    let plans = |card: &Card| {
        let name = card.name;
        cards::plans(card).into_iter().map(move |(network, plan)| (name, network, plan))
    };
    of_plans(cards.iter().flat_map(plans))
}

/// The kernels of plans for (card, network), sorted, so that they have the same order in every process.
pub fn of_plans(plans: impl IntoIterator<Item = (&'static str, &'static str, Plan)>) -> Vec<Used> {
    let mut found: BTreeMap<Kernel, Used> = BTreeMap::new();
    for (card, network, plan) in plans {
        for step in &plan.steps {
            let used = found.entry(step.kernel.clone()).or_insert_with(|| Used {
                kernel: step.kernel.clone(),
                constants: String::new(),
                node: format!("{} of {network}, {}", step.node, format!("{:?}", step.stage).to_lowercase()),
                networks: Vec::new(),
                cards: Vec::new(),
                product: matches!(step.serial, Some(Serial::KPlaces(_))),
            });
            for (list, name) in [(&mut used.networks, network), (&mut used.cards, card)] {
                if !list.contains(&name) {
                    list.push(name);
                }
            }
        }
    }
    let mut found: Vec<Used> = found.into_values().collect();
    found.chunk_by_mut(|a, b| a.kernel.name == b.kernel.name).for_each(tell_apart);
    found
}

/// Gives kernels of one name the constants by which a reader tells them apart: tiles always, of the rest what it takes.
fn tell_apart(kernels: &mut [Used]) {
    let marks: Vec<BTreeMap<String, String>> = kernels.iter().map(|used| marks(&used.kernel)).collect();
    let mut names: Vec<&String> = marks.iter().flat_map(BTreeMap::keys).collect::<BTreeSet<_>>().into_iter().collect();
    let labels = |names: &[&String]| -> Vec<String> {
        let label = |marks: &BTreeMap<String, String>| {
            let texts = names.iter().filter_map(|name| marks.get(*name)).filter(|text| !text.is_empty());
            texts.cloned().collect::<Vec<_>>().join(" ")
        };
        marks.iter().map(label).collect()
    };
    let kinds = |labels: Vec<String>| labels.into_iter().collect::<BTreeSet<_>>().len();
    let all = kinds(labels(&names));
    // What says least first: widths of vectors, then whatever else is not needed.
    let mut dispensable: Vec<&String> = names.iter().copied().filter(|name| *name != "tile").collect();
    dispensable.sort_by_key(|name| !["E", "EA", "EB", "WG"].contains(&name.as_str()));
    for name in dispensable {
        let without: Vec<&String> = names.iter().copied().filter(|other| *other != name).collect();
        if kinds(labels(&without)) == all {
            names = without;
        }
    }
    for (used, constants) in kernels.iter_mut().zip(labels(&names)) {
        used.constants = constants;
    }
}

/// A constant of the kernel that is a number.
pub fn number(kernel: &Kernel, name: &str) -> Option<u32> {
    kernel.constants.iter().find_map(|(other, value)| match value {
        HeaderConstant::U32(value) if *other == name => Some(*value),
        _ => None,
    })
}

/// Everything that may tell a kernel from another: what it is called, and its text.
fn marks(kernel: &Kernel) -> BTreeMap<String, String> {
    const TILE: [&str; 5] = ["TILE_M", "TILE_N", "TILE_K", "ROWS", "COLUMNS"];
    let number = |name| number(kernel, name);
    let mut marks = BTreeMap::new();
    let tile = TILE.map(number);
    let tiled = tile.iter().all(Option::is_some);
    if let [Some(m), Some(n), Some(k), Some(rows), Some(columns)] = tile {
        marks.insert("tile".into(), format!("{m}x{n}x{k} of {rows}x{columns}"));
    }
    for (name, value) in kernel.constants.iter().filter(|(name, _)| !(tiled && TILE.contains(name))) {
        let text = match value {
            HeaderConstant::U32(value) => format!("{name}={value}"),
            HeaderConstant::Bool(true) => name.to_lowercase(),
            HeaderConstant::Bool(false) => String::new(),
            HeaderConstant::Elements(count) | HeaderConstant::Parts(count) => format!("{name}={count}"),
        };
        marks.insert(name.to_string(), text);
    }
    for source in &kernel.sources {
        let file = source.file.trim_end_matches(".wgsl").rsplit('/').next().unwrap_or_default();
        // What comes with every step of an epilogue says nothing of one.
        if ["nan", "epilogue", "epilogue_none"].contains(&file) {
            continue;
        }
        // A file that does nothing stands for one that does.
        let text = if file.ends_with("_none") { "" } else { file.trim_start_matches("product_workgroup_") };
        marks.insert(file.into(), text.into());
    }
    marks
}

#[test]
fn no_two_kernels_have_one_label() {
    let kernels = of(&cards::cards());
    let labels: BTreeSet<String> = kernels.iter().map(Used::label).collect();
    assert_eq!(labels.len(), kernels.len(), "{labels:?}");
}

//! The rules held against small trees that break them.

use super::circles::circles;
use super::imports::{Files, Imports};
use super::layers::upward;

/// The imports of a tree of these files, where no path is lost.
fn imports(files: &[(&str, &str)]) -> Imports {
    let imports =
        Imports::of(&files.iter().map(|(file, text)| (file.to_string(), text.to_string())).collect::<Files>());
    assert_eq!(imports.lost, Vec::<String>::new());
    imports
}

/// Which files import which.
fn edges(imports: &Imports) -> Vec<(&str, &str)> {
    imports.edges.keys().map(|(from, to)| (from.as_str(), to.as_str())).collect()
}

fn said(wrong: &[String], words: &[&str]) {
    let [wrong] = wrong else { panic!("one thing is wrong, not {wrong:?}") };
    words.iter().for_each(|word| assert!(wrong.contains(word), "{wrong:?} does not say {word}"));
}

#[test]
fn an_import_upward_is_told_by_both_names() {
    let tree = imports(&[
        ("lib.rs", "mod kernel; mod ops; pub mod shape;"),
        ("shape.rs", "pub struct Shape;"),
        ("kernel/mod.rs", "mod lowering; pub use lowering::Lowering;"),
        (
            "kernel/lowering.rs",
            "use crate::shape::Shape;\nuse crate::ops::conv::Conv;\npub struct Lowering(Shape, Conv);",
        ),
        ("ops/mod.rs", "pub mod conv;"),
        ("ops/conv.rs", "pub struct Conv;"),
    ]);
    said(&upward(&tree), &["src/kernel/lowering.rs must not know src/ops/conv.rs", "line 2"]);
    assert!(circles(&tree).is_empty());
}

#[test]
fn an_import_upward_through_a_reexport_names_the_file_that_defines() {
    let tree = imports(&[
        ("lib.rs", "mod error; mod nn; mod graph; pub use error::Error;"),
        ("error.rs", "pub struct Error;"),
        ("graph/mod.rs", "mod tape; pub use tape::Tape;"),
        ("graph/tape.rs", "pub struct Tape(crate::Error, crate::nn::Layer);"),
        ("nn/mod.rs", "mod layers; pub(crate) use self::layers::{Linear as Layer};"),
        ("nn/layers.rs", "pub struct Linear;"),
    ]);
    said(&upward(&tree), &["src/graph/tape.rs must not know src/nn/layers.rs"]);
    assert_eq!(
        edges(&tree),
        [("graph/tape.rs", "error.rs"), ("graph/tape.rs", "nn/layers.rs"), ("lib.rs", "error.rs")][..2]
    );
}

#[test]
fn plan_and_reference_are_strangers_and_so_are_gpu_and_the_operations() {
    let tree = |from: &str, to: &str| {
        let files = ["plan", "reference", "gpu", "ops", "nn"].map(|name| {
            let text = if name == from { format!("use crate::{to}::Thing;") } else { "pub struct Thing;".to_string() };
            (format!("{name}.rs"), text)
        });
        let root = ("lib.rs".to_string(), "mod plan; mod reference; mod gpu; mod ops; mod nn;".to_string());
        upward(&Imports::of(&files.into_iter().chain([root]).collect()))
    };
    for (from, to) in [("plan", "reference"), ("reference", "plan"), ("gpu", "ops"), ("nn", "gpu"), ("nn", "plan")] {
        said(&tree(from, to), &[&format!("src/{from}.rs must not know src/{to}.rs")]);
    }
    assert!(tree("gpu", "plan").is_empty() && tree("plan", "ops").is_empty());
}

#[test]
fn a_circle_of_two_files_is_told_by_both_names() {
    let tree = imports(&[
        ("lib.rs", "mod nn; mod train;"),
        ("nn/mod.rs", "pub struct Layer(crate::train::Card);"),
        ("train/mod.rs", "mod card; pub use card::Card;"),
        ("train/card.rs", "\nuse crate::nn;\npub struct Card; fn f(_: nn::Layer) {}"),
    ]);
    said(&circles(&tree), &["src/train/card.rs -> src/nn/mod.rs -> src/train/card.rs", "closed by src/nn/mod.rs:1"]);
}

#[test]
fn a_circle_of_three_files_is_told_by_all_names() {
    let tree = imports(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a/mod.rs", "pub mod x;"),
        ("a/x.rs", "pub const X: u32 = 1; fn f() { crate::b::y::g() }"),
        ("b/mod.rs", "pub mod y;"),
        ("b/y.rs", "pub fn g() { assert_eq!(crate::c::H, 1); }"),
        ("c.rs", "macro_rules! m { () => { $crate::a::x::X } } pub const H: u32 = 1;"),
    ]);
    said(&circles(&tree), &["src/a/x.rs", "src/b/y.rs", "src/c.rs", " -> "]);
}

#[test]
fn a_circle_through_a_reexport_is_told_by_the_files_that_define() {
    let tree = imports(&[
        ("lib.rs", "mod data; mod train;"),
        ("data/mod.rs", "mod source; pub use source::*;"),
        ("data/source.rs", "use crate::train::{self};\npub struct Source; fn f(_: train::Trainer) {}"),
        ("train/mod.rs", "mod trainer; pub use trainer::Trainer;"),
        ("train/trainer.rs", "use crate::data::Source; pub struct Trainer(Source);"),
    ]);
    said(&circles(&tree), &["src/data/source.rs", "src/train/trainer.rs"]);
}

#[test]
fn in_one_room_a_circle_may_pass_its_mod_file_only() {
    let through_mod = imports(&[
        ("lib.rs", "mod graph;"),
        ("graph/mod.rs", "mod tape; pub use tape::Tape; pub trait Operation { fn f(tape: &Tape); }"),
        ("graph/tape.rs", "use super::Operation; pub struct Tape(Box<dyn Operation>);"),
    ]);
    assert_eq!(edges(&through_mod), [("graph/mod.rs", "graph/tape.rs"), ("graph/tape.rs", "graph/mod.rs")]);
    assert!(circles(&through_mod).is_empty());

    let beside_it = imports(&[
        ("lib.rs", "mod graph;"),
        ("graph/mod.rs", "mod tape; mod node;"),
        ("graph/tape.rs", "pub struct Tape(super::node::Node);"),
        ("graph/node.rs", "use super::tape::Tape; pub struct Node(Tape);"),
    ]);
    said(&circles(&beside_it), &["src/graph/node.rs", "src/graph/tape.rs"]);

    let across = imports(&[
        ("lib.rs", "mod ops;"),
        (
            "ops/mod.rs",
            "mod conv; pub use conv::conv2d; use conv2d::Conv2dAttributes; pub fn arity(_: Conv2dAttributes) {}",
        ),
        ("ops/conv/mod.rs", "pub mod conv2d;"),
        ("ops/conv/conv2d.rs", "pub struct Conv2dAttributes; fn f() { crate::ops::arity(Conv2dAttributes) }"),
    ]);
    said(&circles(&across), &["src/ops/mod.rs", "src/ops/conv/conv2d.rs"]);
}

#[test]
fn a_module_that_only_shows_what_is_below_it_imports_nothing() {
    let tree = imports(&[
        ("lib.rs", "mod ops; pub use ops::add;"),
        ("ops/mod.rs", "mod elementwise; pub use elementwise::add; pub fn arity() {}"),
        ("ops/elementwise/mod.rs", "pub mod add;"),
        ("ops/elementwise/add.rs", "use crate::ops::arity; fn f() { arity() }"),
    ]);
    assert_eq!(edges(&tree), [("ops/elementwise/add.rs", "ops/mod.rs")]);
}

#[test]
fn an_exported_macro_and_what_a_macro_declares_are_found() {
    let tree = imports(&[
        ("lib.rs", "mod kernel; mod ops;"),
        ("kernel/mod.rs", "mod params;"),
        ("kernel/params.rs", "#[macro_export] macro_rules! params { ($name:ident) => { struct $name; } }"),
        ("ops/mod.rs", "mod add; mod sub;"),
        ("ops/add.rs", "use crate::params; params! { pub(crate) struct Params { len: u32 } }"),
        ("ops/sub.rs", "use super::add::Params;"),
    ]);
    assert_eq!(edges(&tree), [("ops/add.rs", "kernel/params.rs"), ("ops/sub.rs", "ops/add.rs")]);
}

#[test]
fn tests_and_visibilities_import_nothing_and_other_crates_are_told_apart() {
    let tree = imports(&[
        ("lib.rs", "mod a; mod b;"),
        ("b.rs", "pub struct B;"),
        (
            "a.rs",
            "pub(in crate::b) struct A(wgpu::Buffer);
             #[cfg(test)] mod tests { use crate::b::B; fn f() { println!(\"{:?}\", naga::x()) } }
             #[cfg(test)] fn g(_: crate::b::B) {}
             impl A { #[cfg(test)] fn h(_: crate::b::B) {} }
             fn k() { vec![serde_json::json!({})]; log::info!(\"{}\", self.crate_name); }",
        ),
    ]);
    assert!(edges(&tree).is_empty(), "{:?}", tree.edges);
    let facts = &tree.facts["a.rs"];
    assert_eq!(facts.outside.iter().collect::<Vec<_>>(), ["log", "serde_json", "wgpu"]);
    assert_eq!(facts.macros.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["info", "json", "vec"]);
}

#[test]
fn a_path_that_leads_nowhere_and_a_file_of_no_module_are_told() {
    let files = [("lib.rs", "mod a;"), ("a.rs", "use crate::b::B;"), ("c.rs", "")];
    let files: Files = files.map(|(file, text)| (file.to_string(), text.to_string())).into();
    assert_eq!(Imports::of(&files).lost, ["src/a.rs:1: crate::b::B leads nowhere", "src/c.rs belongs to no module"]);
}

//! The layers of src/ and the imports that go against them.

use super::imports::Imports;

/// The folders and files of src/ from the bottom: what stands on one line may use its own line and those above it.
pub const LAYERS: [&[&str]; 8] = [
    &["error", "shape", "tensor", "rng", "files"],
    &["twin"],
    &["kernel"],
    &["graph"],
    &["ops"],
    &["plan", "reference"],
    &["gpu"],
    &["nn", "optim", "data", "train", "report"],
];

/// Modules that may not know others although the layers would let them.
const STRANGERS: [(&str, &str); 5] = [
    // A plan and the executor that it is held against.
    ("plan", "reference"),
    ("reference", "plan"),
    // `nn` builds tapes and never sees a buffer; `gpu` executes plans and does not know what a convolution is for.
    ("nn", "plan"),
    ("nn", "gpu"),
    ("gpu", "ops"),
];

/// The module of the crate's root that a file of src/ belongs to.
pub fn module(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or_default()
}

fn layer(file: &str) -> usize {
    LAYERS
        .iter()
        .position(|layer| layer.contains(&module(file)))
        .unwrap_or_else(|| panic!("src/{file} belongs to no layer"))
}

/// The imports that go upward or between strangers.
pub fn upward(imports: &Imports) -> Vec<String> {
    imports
        .edges
        .iter()
        // The root says what there is and uses nothing of it.
        .filter(|((from, _), _)| from != "lib.rs")
        .filter(|((from, to), _)| layer(to) > layer(from) || STRANGERS.contains(&(module(from), module(to))))
        .map(|((from, to), line)| format!("src/{from} must not know src/{to} (line {line})"))
        .collect()
}

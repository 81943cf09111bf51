//! Which kernel of several computes a node: the candidates, the choices among them, and the file that keeps choices.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use crate::error::{Error, Result};
use crate::graph::{Node, Operation};
use crate::kernel::Caps;
use crate::tensor::Tensor;

/// What a choice is made for, as text that a person can read: the operation, its attributes and the shapes of its inputs,
/// in PyTorch's order.
///
/// The shapes are exact, the batch included: whether a kernel is valid, and what it costs, is a matter of the exact shape,
/// and so a file of choices repeats a run to the bit. A last batch that is smaller has keys of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// The key of `op` on these inputs.
    pub fn new(op: &dyn Operation, inputs: &[&Tensor]) -> Self {
        let shapes: Vec<String> = inputs.iter().map(|tensor| tensor.shape.to_string()).collect();
        Key(format!("{} {op:?} {}", op.name(), shapes.join(" ")))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Key(text.into())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which variant of which operation to take, and in which tile, where it is not the best first one: "direct", say, or, with
/// the tile after a colon, "vec4:32x16". What is not valid for a node is not taken there.
///
/// The exact shape goes before the operation, and the operation before what is wanted everywhere.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choices {
    /// Takes this variant wherever it is valid.
    pub everywhere: Option<String>,
    /// Takes this variant for the operation of that name, where valid.
    pub by_operation: BTreeMap<String, String>,
    /// Takes this variant for exactly this operation on exactly these shapes, where valid.
    pub by_shape: BTreeMap<Key, String>,
    /// The names of the rewrite rules of [`crate::plan::fuse`] that are not applied.
    pub without_rules: BTreeSet<String>,
}

/// The first line of a file of choices.
const FORMAT: &str = "tilegrad choices 1";

impl Choices {
    /// Takes `choice` wherever it is valid.
    pub fn everywhere(choice: impl Into<String>) -> Self {
        Choices { everywhere: Some(choice.into()), ..Choices::default() }
    }

    /// Takes `choice` for the operation of that name, where it is valid.
    pub fn operation(mut self, name: impl Into<String>, choice: impl Into<String>) -> Self {
        self.by_operation.insert(name.into(), choice.into());
        self
    }

    /// The choices that apply to `op` on these inputs, that which goes before the others first.
    pub(crate) fn of(&self, op: &dyn Operation, inputs: &[&Tensor]) -> impl Iterator<Item = &str> {
        // Most plans are made without choices by shape, and then nobody wants the text.
        let by_shape = if self.by_shape.is_empty() { None } else { self.by_shape.get(&Key::new(op, inputs)) };
        let found = [by_shape, self.by_operation.get(op.name()), self.everywhere.as_ref()];
        found.into_iter().flatten().map(String::as_str)
    }

    /// The choices as JSON, which [`Choices::from_json`] reads.
    pub fn to_json(&self) -> String {
        let by_shape: BTreeMap<&str, &String> =
            self.by_shape.iter().map(|(key, choice)| (key.as_str(), choice)).collect();
        let json = serde_json::json!({
            "format": FORMAT,
            "everywhere": self.everywhere,
            "by_operation": self.by_operation,
            "by_shape": by_shape,
            "without_rules": self.without_rules,
        });
        format!("{json:#}\n")
    }

    /// The choices that [`Choices::to_json`] has written; of its parts each may be missing. The error says what is wrong.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let json: serde_json::Value = serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
        let json = json.as_object().ok_or("is no JSON object")?;
        if json.get("format").and_then(serde_json::Value::as_str) != Some(FORMAT) {
            return Err(format!("is no file of choices: \"format\" must be \"{FORMAT}\""));
        }
        let mut choices = Choices::default();
        for (part, value) in json {
            match part.as_str() {
                "format" => {}
                "everywhere" if value.is_null() => {}
                "everywhere" => choices.everywhere = Some(string(part, value)?),
                "by_operation" | "by_shape" => {
                    let entries = value.as_object().ok_or_else(|| format!("\"{part}\" must be an object"))?;
                    for (key, value) in entries {
                        let choice = string(key, value)?;
                        match part.as_str() {
                            "by_shape" => choices.by_shape.insert(Key(key.clone()), choice),
                            _ => choices.by_operation.insert(key.clone(), choice),
                        };
                    }
                }
                "without_rules" => {
                    let names = value.as_array().ok_or_else(|| format!("\"{part}\" must be an array"))?;
                    choices.without_rules = names.iter().map(|name| string(part, name)).collect::<Result<_, _>>()?;
                }
                other => {
                    return Err(format!(
                        "\"{other}\" is none of \"format\", \"everywhere\", \"by_operation\", \"by_shape\" and \"without_rules\""
                    ));
                }
            }
        }
        Ok(choices)
    }

    /// Reads a file of choices.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::io(path, source))?;
        Choices::from_json(&text).map_err(|message| Error::data(path, message))
    }
}

fn string(key: &str, value: &serde_json::Value) -> Result<String, String> {
    value.as_str().map(str::to_string).ok_or_else(|| format!("\"{key}\": the choice must be a string, it is {value}"))
}

/// A node that several kernels can compute, and which does.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The node.
    pub node: Node,
    /// What it is as far as choices are concerned.
    pub key: Key,
    /// What it could be computed by, the one that is taken without a choice first.
    pub candidates: Vec<String>,
    /// What it is computed by, one of `candidates`.
    pub taken: String,
}

impl Chosen {
    /// Whether `choice` is one of the candidates, or a variant of one.
    pub fn offers(&self, choice: &str) -> bool {
        let variant = |candidate: &String| candidate.split_once(':').is_some_and(|(variant, _)| variant == choice);
        self.candidates.iter().any(|candidate| candidate == choice || variant(candidate))
    }
}

/// What `variant` is called as a choice in `tile`.
pub(crate) fn named(variant: &str, tile: Option<&str>) -> String {
    tile.map_or_else(|| variant.to_string(), |tile| format!("{variant}:{tile}"))
}

/// Everything that `op` can be computed by on these inputs, as choices: the one to take without a choice first.
pub fn candidates(op: &dyn Operation, inputs: &[&Tensor], caps: &Caps) -> Vec<String> {
    let mut found = Vec::new();
    for variant in op.variants(inputs, caps) {
        let tiles = op.tiles(variant, inputs, caps);
        match tiles.is_empty() {
            true => found.push(named(variant, None)),
            false => found.extend(tiles.into_iter().map(|tile| named(variant, Some(tile)))),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Tape;
    use crate::ops::matmul::Matmul;
    use crate::tensor::Spec;

    #[test]
    fn the_shape_goes_before_the_operation_and_that_before_everything() {
        let mut tape = Tape::new(false);
        let ids = [tape.input("a", Spec::f32([4, 8])).unwrap(), tape.input("b", Spec::f32([8, 6])).unwrap()];
        let inputs = ids.map(|id| tape.tensor(id));
        let op = Matmul { transpose_a: false, transpose_b: false };
        let key = Key::new(&op, &inputs);
        assert_eq!(key.as_str(), "matmul Matmul { transpose_a: false, transpose_b: false } [4,8] [8,6]");
        let mut choices = Choices::everywhere("a").operation("matmul", "b").operation("conv2d", "x");
        choices.by_shape.insert(key, "c".into());
        choices.by_shape.insert("matmul of something else".into(), "y".into());
        assert_eq!(choices.of(&op, &inputs).collect::<Vec<_>>(), ["c", "b", "a"]);
        assert_eq!(Choices::from_json(&choices.to_json()), Ok(choices));
        assert_eq!(Choices::default().of(&op, &inputs).count(), 0);
    }

    #[test]
    fn a_file_of_choices_says_what_is_wrong() {
        for (text, expected) in [
            ("", "is no JSON"),
            ("{\"format\": \"tilegrad choices 1\"", "is no JSON"),
            ("[]", "is no JSON object"),
            ("{}", "\"format\" must be"),
            (
                "{\"format\": \"tilegrad choices 1\", \"by_shape\": {\"conv2d\": 3}}",
                "\"conv2d\": the choice must be a string",
            ),
            ("{\"format\": \"tilegrad choices 1\", \"by_shape\": 1}", "\"by_shape\" must be an object"),
            ("{\"format\": \"tilegrad choices 1\", \"by_layer\": {}}", "\"by_layer\" is none of"),
        ] {
            let error = Choices::from_json(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert_eq!(Choices::from_json("{\"format\": \"tilegrad choices 1\"}"), Ok(Choices::default()));
    }
}

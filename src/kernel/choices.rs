//! Choices among candidates: their keys, their names, and the file that stores them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use crate::error::{Error, Result};
use crate::files::read_text;
use crate::shape::Shape;

/// Key of a choice, as readable text: the operation with its attributes, as the operation's [`key`] writes them, and
/// the shapes of its inputs in PyTorch's order.
///
/// The shapes are exact, including the batch. The validity and the cost of a kernel depend on the exact shape, and so a
/// file of choices repeats a run to the bit. A smaller last batch has separate keys.
///
/// [`key`]: crate::graph::Operation::key
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// Creates the key of `operation`, the operation's own part, on inputs of these shapes.
    pub fn new<'a>(operation: &str, shapes: impl IntoIterator<Item = &'a Shape>) -> Self {
        let shapes: Vec<String> = shapes.into_iter().map(Shape::to_string).collect();
        Key(format!("{operation} | {}", shapes.join(" ")))
    }

    /// The key as text.
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

/// Name of a candidate: its algorithm and, if that has tiles, a tile. As text the tile follows a colon:
/// "workgroup:64x64x16".
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Choice {
    /// The algorithm.
    pub name: String,
    /// The tile; without one, the algorithm's first tile is taken.
    pub tile: Option<String>,
}

impl Choice {
    /// Index of the candidate that it selects: an exact match, or else the first of its name if the tile is absent or
    /// unknown; `None` if the name is unknown.
    pub(crate) fn among(&self, candidates: &[Choice]) -> Option<usize> {
        let same_name = || candidates.iter().position(|candidate| candidate.name == self.name);
        candidates.iter().position(|candidate| candidate == self).or_else(same_name)
    }
}

/// Splits the text of a choice into name and tile.
fn parts(text: &str) -> (&str, Option<&str>) {
    text.split_once(':').map_or((text, None), |(name, tile)| (name, Some(tile)))
}

impl From<&str> for Choice {
    fn from(text: &str) -> Self {
        let (name, tile) = parts(text);
        Choice { name: name.into(), tile: tile.map(str::to_string) }
    }
}

impl From<String> for Choice {
    fn from(text: String) -> Self {
        Choice::from(text.as_str())
    }
}

impl PartialEq<&str> for Choice {
    fn eq(&self, other: &&str) -> bool {
        (self.name.as_str(), self.tile.as_deref()) == parts(other)
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tile {
            Some(tile) => write!(f, "{}:{tile}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Candidates to take in place of an operation's default. A choice that a node does not have is ignored there.
///
/// A choice for the exact shape takes precedence over one for the operation, and that over one for everywhere.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choices {
    /// Choice for every node that has a candidate of this name.
    pub everywhere: Option<Choice>,
    /// Choices by name of the operation.
    pub by_operation: BTreeMap<String, Choice>,
    /// Choices by exact operation and shapes.
    pub by_shape: BTreeMap<Key, Choice>,
    /// Names of the rewrite rules of [`crate::plan::fuse`] to disable.
    pub without_rules: BTreeSet<String>,
}

/// First line of a file of choices.
const FORMAT: &str = "tilegrad choices 2";
/// The previous format, whose keys were written in another form.
const OLD_FORMAT: &str = "tilegrad choices 1";

impl Choices {
    /// Takes `choice` wherever a node has a candidate of this name.
    pub fn everywhere(choice: impl Into<Choice>) -> Self {
        Choices { everywhere: Some(choice.into()), ..Choices::default() }
    }

    /// Takes `choice` for the operation called `name`.
    pub fn operation(mut self, name: impl Into<String>, choice: impl Into<Choice>) -> Self {
        self.by_operation.insert(name.into(), choice.into());
        self
    }

    /// The choices that apply to the operation called `name` under this key, in order of precedence.
    pub(crate) fn of(&self, name: &str, key: &Key) -> impl Iterator<Item = &Choice> {
        [self.by_shape.get(key), self.by_operation.get(name), self.everywhere.as_ref()].into_iter().flatten()
    }

    /// Formats the choices as JSON for [`Choices::from_json`].
    pub fn to_json(&self) -> String {
        let by_shape: BTreeMap<&str, String> =
            self.by_shape.iter().map(|(key, choice)| (key.as_str(), choice.to_string())).collect();
        let by_operation: BTreeMap<&String, String> =
            self.by_operation.iter().map(|(name, choice)| (name, choice.to_string())).collect();
        let json = serde_json::json!({
            "format": FORMAT,
            "everywhere": self.everywhere.as_ref().map(Choice::to_string),
            "by_operation": by_operation,
            "by_shape": by_shape,
            "without_rules": self.without_rules,
        });
        format!("{json:#}\n")
    }

    /// Parses the output of [`Choices::to_json`]; any part may be missing. The error describes the fault.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let json: serde_json::Value = serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
        let json = json.as_object().ok_or("is no JSON object")?;
        match json.get("format").and_then(serde_json::Value::as_str) {
            Some(FORMAT) => {}
            Some(OLD_FORMAT) => {
                return Err(format!(
                    "is a file of choices of an older version of tilegrad (\"{OLD_FORMAT}\"), whose names of operations and \
                     kernels have changed; make a new one with --tune"
                ));
            }
            _ => return Err(format!("is no file of choices: \"format\" must be \"{FORMAT}\"")),
        }
        let mut choices = Choices::default();
        for (part, value) in json {
            match part.as_str() {
                "format" => {}
                "everywhere" if value.is_null() => {}
                "everywhere" => choices.everywhere = Some(string(part, value)?.into()),
                "by_operation" | "by_shape" => {
                    let entries = value.as_object().ok_or_else(|| format!("\"{part}\" must be an object"))?;
                    for (key, value) in entries {
                        let choice = Choice::from(string(key, value)?);
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

    /// True if the text has an older version's format, which [`Choices::from_json`] refuses.
    pub(crate) fn is_old(text: &str) -> bool {
        let json = serde_json::from_str::<serde_json::Value>(text);
        json.is_ok_and(|json| json["format"] == OLD_FORMAT)
    }

    /// Reads a file of choices.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        Choices::from_json(&text).map_err(|message| Error::data(path, message))
    }
}

fn string(key: &str, value: &serde_json::Value) -> Result<String, String> {
    value.as_str().map(str::to_string).ok_or_else(|| format!("\"{key}\": the choice must be a string, it is {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_goes_before_the_operation_and_that_before_everything() {
        let key = Key::new("matmul", [&Shape::from([4, 8]), &Shape::from([8, 6])]);
        assert_eq!(key.as_str(), "matmul | [4,8] [8,6]");
        let mut choices = Choices::everywhere("a").operation("matmul", "b:64x64").operation("conv2d", "x");
        choices.by_shape.insert(key.clone(), "c".into());
        choices.by_shape.insert("matmul of something else".into(), "y".into());
        let found: Vec<String> = choices.of("matmul", &key).map(Choice::to_string).collect();
        assert_eq!(found, ["c", "b:64x64", "a"]);
        assert_eq!(Choices::from_json(&choices.to_json()), Ok(choices));
        assert_eq!(Choices::default().of("matmul", &key).count(), 0);
    }

    #[test]
    fn a_choice_takes_its_tile_or_the_first_of_its_name() {
        let candidates = ["winograd", "workgroup:a", "workgroup:b", "direct"].map(Choice::from);
        for (choice, taken) in [
            ("workgroup", Some(1)),
            ("workgroup:b", Some(2)),
            ("workgroup:c", Some(1)),
            ("direct:b", Some(3)),
            ("subgroup8:a", None),
        ] {
            assert_eq!(Choice::from(choice).among(&candidates), taken, "{choice}");
        }
    }

    #[test]
    fn a_file_of_choices_says_what_is_wrong() {
        for (text, expected) in [
            ("", "is no JSON"),
            ("{\"format\": \"tilegrad choices 2\"", "is no JSON"),
            ("[]", "is no JSON object"),
            ("{}", "\"format\" must be"),
            ("{\"format\": \"tilegrad choices 1\"}", "of an older version"),
            (
                "{\"format\": \"tilegrad choices 2\", \"by_shape\": {\"conv2d\": 3}}",
                "\"conv2d\": the choice must be a string",
            ),
            ("{\"format\": \"tilegrad choices 2\", \"by_shape\": 1}", "\"by_shape\" must be an object"),
            ("{\"format\": \"tilegrad choices 2\", \"by_layer\": {}}", "\"by_layer\" is none of"),
        ] {
            let error = Choices::from_json(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert_eq!(Choices::from_json("{\"format\": \"tilegrad choices 2\"}"), Ok(Choices::default()));
    }
}

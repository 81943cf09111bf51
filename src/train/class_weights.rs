//! Weights of classes in the loss, against training images that are many of one class and few of another.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::sampling::labels;
use crate::data::BatchSource;
use crate::error::{Error, Result};
use crate::files::read_text;

/// Weights of classes in the loss: the `weight` of torch.nn.CrossEntropyLoss. The mean of a batch divides by the sum of
/// the weights of its targets.
///
/// ```
/// use tilegrad::train::ClassWeights;
///
/// // Three images of class 0, one of class 1.
/// let weights = ClassWeights::balanced(&[0, 0, 1, 0], 2)?;
/// assert_eq!(weights.values(), [4.0 / (2.0 * 3.0), 4.0 / (2.0 * 1.0)]);
/// # Ok::<(), tilegrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ClassWeights {
    values: Arc<[f32]>,
}

/// The field that errors name.
const FIELD: &str = "class_weights";
/// Number of classes that a message names.
const NAMED: usize = 5;

fn refuse<T>(message: String) -> Result<T> {
    Err(Error::config(FIELD, message))
}

/// Number of images of each class. Negative labels are ignored, as in the loss.
fn counts(labels: &[i32], classes: usize, names: &[String]) -> Result<Vec<usize>> {
    let mut counts = vec![0_usize; classes];
    for class in labels.iter().filter_map(|&label| usize::try_from(label).ok()) {
        match counts.get_mut(class) {
            Some(count) => *count += 1,
            None => return refuse(format!("a training image has label {class}, there are {classes} classes")),
        }
    }
    let name = |class: usize| names.get(class).map_or_else(|| class.to_string(), |name| format!("\"{name}\""));
    let without: Vec<String> = (0..classes).filter(|&class| counts[class] == 0).map(name).collect();
    if !without.is_empty() {
        let (some, more) = listed(&without);
        return refuse(format!(
            "class {some}{more} has no training image, so that no weight follows from its number: give weights by a file, or leave the class out"
        ));
    }
    Ok(counts)
}

/// The first of these in words, and how many more there are.
fn listed<T: ToString>(all: &[T]) -> (String, String) {
    let some: Vec<String> = all.iter().take(NAMED).map(ToString::to_string).collect();
    let more = all.len() - some.len();
    (some.join(", "), if more > 0 { format!(" and {more} more") } else { String::new() })
}

impl ClassWeights {
    /// Creates the weights of the classes in order. [`Error::Config`] names a weight that is negative, infinite or NaN;
    /// one at least must be above 0.
    pub fn new(values: impl Into<Vec<f32>>) -> Result<Self> {
        let values: Vec<f32> = values.into();
        if let Some((class, value)) =
            values.iter().enumerate().find(|(_, value)| !(value.is_finite() && **value >= 0.0))
        {
            return refuse(format!("class {class} has weight {value}, must be a number of at least 0"));
        }
        if values.iter().all(|&value| value == 0.0) {
            return refuse("are all 0, at least one must be above".into());
        }
        Ok(ClassWeights { values: values.into() })
    }

    /// Weights by which all classes count alike: n / (classes n_c) for n images, n_c of them of class c. Source:
    /// scikit-learn's compute_class_weight("balanced").
    ///
    /// The mean weight of an image is 1. [`Error::Config`] names a class without an image.
    pub fn balanced(labels: &[i32], classes: usize) -> Result<Self> {
        Self::of_counts_balanced(&counts(labels, classes, &[])?)
    }

    fn of_counts_balanced(counts: &[usize]) -> Result<Self> {
        let classes = counts.len();
        let images: usize = counts.iter().sum();
        let weight = |&count: &usize| (images as f64 / (classes as f64 * count as f64)) as f32;
        Self::new(counts.iter().map(weight).collect::<Vec<_>>())
    }

    /// Weights half way to [`ClassWeights::balanced`]: the square roots of those, times the number that makes the mean
    /// weight of an image 1, which is n / (sqrt(n_c) S) with S the sum of the square roots of all n_c.
    ///
    /// [`Error::Config`] names a class without an image.
    pub fn sqrt(labels: &[i32], classes: usize) -> Result<Self> {
        Self::of_counts_sqrt(&counts(labels, classes, &[])?)
    }

    fn of_counts_sqrt(counts: &[usize]) -> Result<Self> {
        let images: usize = counts.iter().sum();
        let roots: f64 = counts.iter().map(|&count| (count as f64).sqrt()).sum();
        let weight = |&count: &usize| (images as f64 / ((count as f64).sqrt() * roots)) as f32;
        Self::new(counts.iter().map(weight).collect::<Vec<_>>())
    }

    /// The weights that `given` names, as on a command line: "balanced" or "sqrt", from the labels of `train`, or the
    /// file of weights at that path, for the classes called `names`. Errors are those of the three functions, and
    /// [`Error::Config`] if `train` doesn't know its labels.
    pub fn named(given: &str, train: &dyn BatchSource, names: &[String]) -> Result<Self> {
        match given {
            "balanced" => Self::of_counts_balanced(&counts(&labels(train, FIELD)?, names.len(), names)?),
            "sqrt" => Self::of_counts_sqrt(&counts(&labels(train, FIELD)?, names.len(), names)?),
            file => Self::read(Path::new(file), names),
        }
        .map_err(|error| match error {
            Error::Io { path, source } if source.kind() == std::io::ErrorKind::NotFound => Error::config(
                FIELD,
                format!("must be balanced, sqrt or a file of weights, and there is no file {}", path.display()),
            ),
            other => other,
        })
    }

    /// Reads the weights of the classes called `names` from the text file at `path`: a line `name,weight` for each
    /// class, in any order, or a weight a line in the order of the classes. Empty lines, lines that begin with `#`, and
    /// a first line without a number are passed over. A name may hold commas, and stand in double quotes.
    ///
    /// [`Error::Data`] names the file, and the line or the classes at fault: an unknown or repeated name, a missing
    /// class, a weight that is negative or no number.
    pub fn read(path: &Path, names: &[String]) -> Result<Self> {
        let text = read_text(path)?;
        let values = parse(&text, names).map_err(|message| Error::data(path, message))?;
        Self::new(values)
    }

    /// The weights of the classes in order.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// True if there are no classes.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// A line's name, empty if it has none, and the text of its weight.
fn fields(line: &str) -> (String, &str) {
    match line.rsplit_once(',') {
        Some((name, weight)) => {
            let name = name.trim();
            let quoted = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
            (quoted.map_or_else(|| name.to_string(), |name| name.replace("\"\"", "\"")), weight.trim())
        }
        None => (String::new(), line.trim()),
    }
}

/// Parses the text of a file of weights. The error is a message.
fn parse(text: &str, names: &[String]) -> Result<Vec<f32>, String> {
    let places: HashMap<&str, usize> = names.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    let mut values: Vec<Option<f32>> = vec![None; names.len()];
    let (mut in_order, mut by_name) = (0, 0);
    let text = text.trim_start_matches('\u{feff}');
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    for (first, (i, line)) in lines.enumerate() {
        let (name, weight) = fields(line);
        let number = i + 1;
        let Ok(value) = weight.parse::<f32>() else {
            if first == 0 {
                continue;
            }
            return Err(format!("line {number}: \"{weight}\" is no number"));
        };
        if !(value.is_finite() && value >= 0.0) {
            return Err(format!("line {number}: a weight must be a number of at least 0, it is {weight}"));
        }
        let place = if name.is_empty() {
            in_order += 1;
            in_order - 1
        } else {
            by_name += 1;
            match places.get(name.as_str()) {
                Some(&place) => place,
                None => return Err(format!("line {number}: there is no class \"{name}\"; {}", known(names))),
            }
        };
        if in_order > 0 && by_name > 0 {
            return Err(format!("line {number}: has a name where others have none, or none where others have one"));
        }
        match values.get_mut(place) {
            Some(found @ None) => *found = Some(value),
            Some(_) => return Err(format!("line {number}: class \"{name}\" has a weight already")),
            None => return Err(format!("has more than {} weights, there are {0} classes", names.len())),
        }
    }
    let missing: Vec<String> =
        values.iter().zip(names).filter(|(value, _)| value.is_none()).map(|(_, name)| format!("\"{name}\"")).collect();
    if !missing.is_empty() {
        let (some, more) = listed(&missing);
        return Err(format!("has no weight for class {some}{more}"));
    }
    Ok(values.into_iter().flatten().collect())
}

fn known(names: &[String]) -> String {
    let (some, more) = listed(names);
    format!("the classes are {some}{more}")
}

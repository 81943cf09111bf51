//! A description of a data set for people: its parts, its classes, what was left out, and what is odd.

use std::collections::HashMap;
use std::fmt;

use rayon::prelude::*;

use super::folder::PassedOver;
use super::split::{Split, SplitKind};
use super::{DataPart, Dataset};
use crate::error::{Result, printable};

/// Number of images below which a class is pointed out.
const FEW: usize = 10;
/// Ratio of the largest to the smallest class above which it is pointed out.
const IMBALANCE: usize = 10;
/// Number of classes that are all named; of more, the first and last few.
const ALL: usize = 12;
/// Width of the text, so that it fits into 80 columns behind a heading.
const WIDTH: usize = 71;

/// A space at which no line ends. Names have no control characters when they are printed.
const KEEP: char = '\u{1}';

/// Images of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassCount {
    /// Name of the class.
    pub name: String,
    /// Number of images to train on.
    pub train: usize,
    /// Number of images to validate with.
    pub validation: usize,
    /// Number of images to test with.
    pub test: usize,
}

impl ClassCount {
    /// Number of images in all parts.
    pub fn total(&self) -> usize {
        self.train + self.validation + self.test
    }
}

/// A description of a data set for people. Prints in lines of at most 71 characters: the first with the numbers of
/// images, then the way of the division, the classes, what was left out, and a line "note:" for each oddity.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Overview {
    /// Description of the images and their place.
    pub description: String,
    /// The classes with their images.
    pub classes: Vec<ClassCount>,
    /// Origin of the parts.
    pub split: Split,
    /// What the folder holds besides.
    pub passed: PassedOver,
    /// Number of files left out because they can't be read.
    pub skipped: usize,
    /// Number of images to validate or test with that are also among those to train on, and of images to test with that
    /// are also among those to validate with.
    pub duplicates: Vec<Duplicates>,
    /// Remarks of the reader of the files.
    pub notes: Vec<String>,
}

/// Images of a part whose content is also in another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicates {
    /// The part that they are in.
    pub part: DataPart,
    /// The part that has them too.
    pub also_in: DataPart,
    /// Number of images.
    pub count: usize,
    /// The first of them and its double, by file or by index.
    pub first: [String; 2],
}

impl Overview {
    /// Describes a data set of these parts: to train on, to validate with, to test with.
    ///
    /// Reads the contents of all images, to find those that are in two parts.
    pub fn new(description: impl Into<String>, parts: [&dyn Dataset; 3], split: Split) -> Result<Self> {
        let names = parts[0].class_names();
        let name = |class: usize| names.get(class).cloned().unwrap_or_else(|| class.to_string());
        let mut classes: Vec<ClassCount> = (0..parts[0].classes())
            .map(|class| ClassCount { name: name(class), train: 0, validation: 0, test: 0 })
            .collect();
        for (which, part) in parts.iter().enumerate() {
            for i in 0..part.len() {
                let Some(class) = classes.get_mut(part.label(i)? as usize) else { continue };
                *[&mut class.train, &mut class.validation, &mut class.test][which] += 1;
            }
        }
        Ok(Overview {
            description: description.into(),
            classes,
            split,
            passed: PassedOver::default(),
            skipped: 0,
            duplicates: duplicates(parts),
            notes: Vec::new(),
        })
    }

    /// Number of images to train on, to validate with and to test with.
    pub fn counts(&self) -> [usize; 3] {
        let sum = |of: fn(&ClassCount) -> usize| self.classes.iter().map(of).sum();
        [sum(|class| class.train), sum(|class| class.validation), sum(|class| class.test)]
    }

    /// The text, line by line.
    pub fn lines(&self) -> Vec<String> {
        let [train, validation, test] = self.counts();
        let mut texts = vec![
            format!("{}:", printable(&self.description)),
            format!("{train} to train, {validation} to validate, {test} to test"),
            self.split.to_string(),
            self.classes(),
        ];
        // One line, where it fits.
        if texts[0].chars().count() + 1 + texts[1].chars().count() <= WIDTH {
            let counts = texts.remove(1);
            texts[0] = format!("{} {counts}", texts[0]);
        }
        if !self.passed.is_empty() {
            texts.push(format!("passed over {}", self.passed));
        }
        if self.skipped > 0 {
            texts.push(format!("left out {} that can't be read", counted(self.skipped, "file")));
        }
        texts.extend(self.notes.iter().cloned().chain(self.odd()).map(|note| format!("note: {note}")));
        texts.iter().flat_map(|text| wrap(text)).map(|line| line.replace(KEEP, " ")).collect()
    }

    fn classes(&self) -> String {
        let one = |class: &ClassCount| format!("{}{KEEP}{}", short(&class.name), class.total());
        let all: Vec<String> = self.classes.iter().map(one).collect();
        let named = match all.len() {
            count if count <= ALL => all.join(", "),
            count => format!("{}, .., {}", all[..ALL / 2].join(", "), all[count - ALL / 3..].join(", ")),
        };
        format!("{}: {named}", counted(all.len(), "class"))
    }

    /// What deserves a look.
    fn odd(&self) -> Vec<String> {
        let mut odd = Vec::new();
        let [_, validation, test] = self.counts();
        for (name, count, kind) in [("validate", validation, self.split.validation), ("test", test, self.split.test)] {
            match kind {
                SplitKind::None => odd.push(format!("there are no images to {name} with")),
                SplitKind::HeldOut if count == 0 => {
                    odd.push(format!("too few images to {name} with any: each class keeps one to train on"));
                }
                _ => {}
            }
        }
        let few: Vec<&ClassCount> = self.classes.iter().filter(|class| class.total() < FEW).collect();
        if !few.is_empty() {
            let names = some(&few, |class| format!("{} has {}", short(&class.name), class.total()));
            odd.push(format!("fewer than {FEW} images: {names}"));
        }
        let (least, most) = (
            self.classes.iter().min_by_key(|class| class.total()),
            self.classes.iter().rev().max_by_key(|class| class.total()),
        );
        if let (Some(least), Some(most)) = (least, most)
            && most.total() > IMBALANCE * least.total().max(1)
        {
            let ratio = most.total() as f64 / least.total().max(1) as f64;
            odd.push(format!(
                "imbalance {} to 1: {} has {}, {} has {}",
                ratio.round(),
                short(&most.name),
                most.total(),
                short(&least.name),
                least.total()
            ));
        }
        for (name, count, of) in [
            ("validated", validation, (|class| class.validation) as fn(&ClassCount) -> usize),
            ("tested", test, |class| class.test),
        ] {
            let missing: Vec<&ClassCount> = self.classes.iter().filter(|class| of(class) == 0).collect();
            if count > 0 && !missing.is_empty() {
                odd.push(format!("never {name}, for lack of images: {}", some(&missing, |class| short(&class.name))));
            }
        }
        odd.extend(self.duplicates.iter().map(ToString::to_string));
        odd
    }
}

impl fmt::Display for Overview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

impl fmt::Display for Duplicates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |part| match part {
            DataPart::Train => "training",
            DataPart::Validation => "validation",
            DataPart::Test => "test",
        };
        let Duplicates { part, also_in, count, first: [one, other] } = self;
        let are = if *count == 1 { "is" } else { "are" };
        write!(
            f,
            "{} of the {} set {are} also in the {} set, for example {} is {}",
            counted(*count, "image"),
            name(*part),
            name(*also_in),
            printable(one),
            printable(other)
        )
    }
}

/// The images that are in two parts. Files that can't be read are no one's doubles.
fn duplicates(parts: [&dyn Dataset; 3]) -> Vec<Duplicates> {
    let digests: Vec<Vec<Option<u32>>> =
        parts.iter().map(|part| (0..part.len()).into_par_iter().map(|i| part.digest(i).ok()).collect()).collect();
    let mut found = Vec::new();
    for (part, also_in) in [
        (DataPart::Validation, DataPart::Train),
        (DataPart::Test, DataPart::Train),
        (DataPart::Test, DataPart::Validation),
    ] {
        let (here, there) = (part as usize, also_in as usize);
        let mut places: HashMap<u32, Vec<usize>> = HashMap::new();
        for (i, digest) in digests[there].iter().enumerate() {
            digest.iter().for_each(|&digest| places.entry(digest).or_default().push(i));
        }
        // Among many images, different ones have the same digest by chance.
        let double = |i: usize| {
            let others = places.get(&digests[here][i]?)?;
            others.iter().copied().find(|&other| same(parts[here], i, parts[there], other))
        };
        let doubles: Vec<(usize, usize)> =
            (0..digests[here].len()).into_par_iter().filter_map(|i| Some((i, double(i)?))).collect();
        if let Some(&(one, other)) = doubles.first() {
            let show = |dataset: &dyn Dataset, i: usize| match dataset.path(i) {
                Some(path) => printable(path),
                None => format!("image {i}"),
            };
            let first = [show(parts[here], one), show(parts[there], other)];
            found.push(Duplicates { part, also_in, count: doubles.len(), first });
        }
    }
    found
}

/// True if the two images are equal, pixel by pixel.
fn same(a: &dyn Dataset, i: usize, b: &dyn Dataset, j: usize) -> bool {
    matches!((a.get(i), b.get(j)), (Ok((a, _)), Ok((b, _))) if a == b)
}

fn counted(count: usize, name: &str) -> String {
    let plural = if name.ends_with('s') { "es" } else { "s" };
    format!("{count} {name}{}", if count == 1 { "" } else { plural })
}

/// The first few, each as `show` writes it.
fn some(classes: &[&ClassCount], show: impl Fn(&ClassCount) -> String) -> String {
    const SHOWN: usize = 5;
    let mut text = classes.iter().take(SHOWN).map(|class| show(class)).collect::<Vec<_>>().join(", ");
    if classes.len() > SHOWN {
        text += &format!(" and {} more", classes.len() - SHOWN);
    }
    text
}

/// A name for one line; of a long one, its beginning and its end.
fn short(name: &str) -> String {
    const LONG: usize = 40;
    let name: Vec<char> = printable(name).chars().collect();
    match name.len() {
        len if len > LONG => {
            let (head, tail) = (&name[..LONG / 2 - 1], &name[len - LONG / 2 + 1..]);
            head.iter().chain(&['.', '.']).chain(tail).collect()
        }
        _ => name.into_iter().collect(),
    }
}

/// Breaks a text into lines of at most [`WIDTH`] characters, at spaces where there are any. Further lines are indented.
fn wrap(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.trim().is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(std::mem::replace(&mut line, " ".into()));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

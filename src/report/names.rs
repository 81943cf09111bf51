//! Names in tables and pictures: their width, and short forms that stay apart.

use std::collections::HashMap;

use super::fonts::{Fonts, cells};
use crate::error::printable;

/// Number of cells that a text takes in a terminal or a picture.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(cells).sum()
}

/// Adds spaces in front of a text, up to `width` cells.
pub(super) fn right(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(self::width(text))))
}

/// Adds spaces behind a text, up to `width` cells.
pub(super) fn left(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(self::width(text))))
}

/// Shortens a text to at most `most` cells. Two dots in its middle mark an omission: many names differ in their end.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_string();
    }
    let (room, dots) = (most.saturating_sub(2), most.min(2));
    let (head, tail) = (room.div_ceil(2), room / 2);
    let taken = |letters: &mut dyn Iterator<Item = char>, most: usize| -> Vec<char> {
        let mut used = 0;
        let fits = |letter: &char| {
            used += cells(*letter);
            used <= most
        };
        letters.take_while(fits).collect()
    };
    let head = taken(&mut text.chars(), head);
    let tail = taken(&mut text.chars().rev(), tail);
    head.into_iter().chain(std::iter::repeat_n('.', dots)).chain(tail.into_iter().rev()).collect()
}

/// Short forms of the names of classes for tables: at most `most` cells, no two alike. Control characters are escaped,
/// and names that would look alike have their class's number in front.
pub(super) fn short_names<'a>(names: impl IntoIterator<Item = (usize, &'a String)>, most: usize) -> Vec<String> {
    apart(names.into_iter().map(|(class, name)| (class, Some(printable(name)))).collect(), most)
}

/// Like [`short_names`] for pictures, where a name that no font can write becomes its class's number.
pub(super) fn labels(names: &[String], most: usize, fonts: &Fonts) -> Vec<String> {
    let written = |name: &String| Some(printable(name)).filter(|name| fonts.write(name));
    apart(names.iter().map(written).enumerate().collect(), most)
}

/// The short forms of classes by number and name. A class without a name is its number.
fn apart(names: Vec<(usize, Option<String>)>, most: usize) -> Vec<String> {
    let plain = |(class, name): &(usize, Option<String>)| match name {
        Some(name) => shortened(name, most),
        None => class.to_string(),
    };
    let numbered = |class: usize, name: &str| {
        let number = class.to_string();
        format!("{number} {}", shortened(name, most.saturating_sub(number.len() + 1)))
    };
    let alike = |short: &[String]| -> Vec<bool> {
        let mut counts: HashMap<&String, usize> = HashMap::new();
        short.iter().for_each(|name| *counts.entry(name).or_default() += 1);
        short.iter().map(|name| counts[name] > 1).collect()
    };
    let mut short: Vec<String> = names.iter().map(plain).collect();
    // A name with its number can be what another class is called. Then all have their numbers.
    for all in [false, true] {
        let alike = alike(&short);
        if !alike.contains(&true) {
            break;
        }
        for (i, (class, name)) in names.iter().enumerate().filter(|(i, _)| all || alike[*i]) {
            if let Some(name) = name {
                short[i] = numbered(*class, name);
            }
        }
    }
    short
}

/// Number of cells of a class's name in a picture.
pub(super) const LABEL: usize = 16;

/// The classes that pictures show in another form than by their name, a line each with number and name. Empty if there
/// is none.
pub(super) fn legend(names: &[String], fonts: &Fonts) -> String {
    let lines: Vec<String> = (labels(names, LABEL, fonts).iter().zip(names).enumerate())
        .map(|(class, (label, name))| (class, label, printable(name)))
        .filter(|(_, label, name)| *label != name)
        .map(|(class, label, name)| format!("{}  class {class}, {name}\n", left(label, LABEL)))
        .collect();
    match lines.is_empty() {
        true => String::new(),
        false => format!(
            "\nIn pictures these classes are shortened, or numbers where no font has their letters:\n{}",
            lines.concat()
        ),
    }
}

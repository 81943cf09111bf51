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

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn long_names_stay_apart() {
        let same = "Chihuahua of the northern coast, ";
        let names = owned(&[&format!("{same}black"), &format!("{same}white"), "short"]);
        let short = short_names(names.iter().enumerate(), 16);
        assert!(short.iter().all(|name| width(name) <= 16), "{short:?}");
        assert_eq!(short[2], "short");
        assert_ne!(short[0], short[1]);
        // They differ in the middle alone, and one looks like what another becomes.
        let names = owned(&["a long name, one, end of it", "a long name, two, end of it", "0 a long .. of it"]);
        for most in [10, 12, 17] {
            let short = short_names(names.iter().enumerate(), most);
            assert!((0..3).all(|i| !short[..i].contains(&short[i])), "{short:?}");
            assert!(short[0].starts_with("0 ") && short[1].starts_with("1 "), "{short:?}");
        }
        // Names of one text are numbers apart; control characters are escaped.
        assert_eq!(short_names(owned(&["a", "a"]).iter().enumerate(), 9), ["0 a", "1 a"]);
        assert_eq!(short_names(owned(&["a\nb"]).iter().enumerate(), 9), ["a\\nb"]);
        assert_eq!(shortened("abcdef", 5), "ab..f");
        assert_eq!(["abc", "abc", "abc"].map(|name| shortened(name, 0)), ["", "", ""]);
    }

    #[test]
    fn wide_letters_take_two_cells() {
        assert_eq!((width("猫"), width("cat"), width("e\u{301}")), (2, 3, 1));
        assert_eq!(right("猫", 4), "  猫");
        assert_eq!(shortened("一二三四五六七", 8), "一..七");
    }

    #[test]
    fn a_name_that_no_font_writes_is_its_number() {
        let names = owned(&["ant", "猫", "犬", "1"]);
        let none = Fonts::default();
        assert_eq!(labels(&names, LABEL, &none), ["ant", "1", "2", "3 1"]);
        let text = legend(&names, &none);
        assert!(text.contains("class 1, 猫\n") && text.contains("class 2, 犬\n") && !text.contains("ant"), "{text}");
        assert_eq!(legend(&names[..1], &none), "");
    }

    #[cfg(feature = "curves")]
    #[test]
    fn letters_of_a_font_are_drawn() {
        let mut database = fontdb::Database::new();
        database.load_font_data(dejavu::sans::regular().to_vec());
        let (fonts, none) = (Fonts::of(database), Fonts::default());
        for name in ["кот", "γάτα", "հայ", "قط"] {
            assert!(fonts.write(name) && !none.write(name), "{name}");
            assert_eq!(labels(&owned(&[name]), LABEL, &fonts), [name]);
        }
        assert!(!fonts.write("猫"));
        let glyph = |letter| fonts.glyph(letter).unwrap();
        let ink = |letter| glyph(letter).iter().flat_map(|row| row.to_vec()).map(u64::from).sum::<u64>();
        assert!(glyph('Ж') != glyph('ш') && ink('Ж') > ink('г') && ink('г') > 500, "{} {}", ink('Ж'), ink('г'));
        // A picture of the name is not that of its question marks or number.
        let drawn = |fonts: &Fonts, text: &str| {
            let mut picture = crate::report::Picture::new(40, 16, [255; 3]).unwrap();
            picture.text([0, 0], text, [0; 3], fonts);
            picture
        };
        assert_ne!(drawn(&fonts, "кот"), drawn(&none, "кот"));
        assert_eq!(drawn(&none, "кот"), drawn(&none, "???"));
        assert_eq!(drawn(&fonts, "кот"), drawn(&fonts, "кот"));
    }
}

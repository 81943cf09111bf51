//! A confusion matrix as aligned text and as a picture: the number of images by true and predicted class.

use std::fmt::Write;
use std::path::Path;

use super::colour::{FAINT, INK, PAPER, RIGHT, WRONG, mix, on};
use super::fonts::{Fonts, LETTER};
use super::names::{LABEL, labels, left, legend, right, short_names, width};
use super::picture::text_width;
use super::{ClassReport, Picture};
use crate::error::{Error, Result, printable};
use crate::files::write_whole;
use crate::ops::confusion::{Confusion, MOST_CLASSES};

/// Largest number of classes for which [`text`] holds the whole matrix. More would make lines too long to compare.
pub const WRITTEN: usize = 20;
/// Number of the most frequent confusions that the text lists in place of a matrix.
const NAMED: usize = 15;
/// Number of characters of a name in the text, and in its header.
const LETTERS: [usize; 2] = [20, 10];

/// A checked confusion matrix.
struct Matrix<'a> {
    classes: usize,
    counts: &'a [u64],
    names: Vec<String>,
}

impl<'a> Matrix<'a> {
    fn new(classes: usize, counts: &'a [u64], names: &[String]) -> Result<Self> {
        if classes == 0 || classes.checked_mul(classes) != Some(counts.len()) {
            let message = format!("has {} counts, which are no square of {classes} classes", counts.len());
            return Err(Error::config("confusion matrix", message));
        }
        if !names.is_empty() && names.len() != classes {
            let message = format!("has {} names for {classes} classes; give each a name, or none", names.len());
            return Err(Error::config("confusion matrix", message).between(classes, names.len()));
        }
        let names = if names.is_empty() { (0..classes).map(|i| i.to_string()).collect() } else { names.to_vec() };
        Ok(Matrix { classes, counts, names })
    }

    fn at(&self, truth: usize, predicted: usize) -> u64 {
        self.counts[truth * self.classes + predicted]
    }

    /// Number of images with this true class.
    fn row(&self, class: usize) -> u64 {
        sum((0..self.classes).map(|other| self.at(class, other)))
    }

    /// Number of images with this predicted class.
    fn column(&self, class: usize) -> u64 {
        sum((0..self.classes).map(|other| self.at(other, class)))
    }

    fn right(&self) -> u64 {
        sum((0..self.classes).map(|class| self.at(class, class)))
    }

    fn total(&self) -> u64 {
        sum(self.counts.iter().copied())
    }

    /// The wrong predictions by count, true and predicted class: the most frequent first, among equals in order of class.
    fn confusions(&self) -> Vec<(u64, usize, usize)> {
        let mut confusions: Vec<(u64, usize, usize)> = (self.counts.iter().enumerate())
            .map(|(i, &count)| (count, i / self.classes, i % self.classes))
            .filter(|&(count, truth, predicted)| count > 0 && truth != predicted)
            .collect();
        confusions.sort_by_key(|&(count, truth, predicted)| (std::cmp::Reverse(count), truth, predicted));
        confusions
    }

    /// Formats the accuracy, such as "accuracy 0.981, 9810 of 10000 right".
    fn accuracy(&self) -> String {
        let (right, total) = (self.right(), self.total());
        format!("accuracy {}, {right} of {total} right", ratio(right, total))
    }
}

/// True if the counts are those of each class, since there are too many classes for a matrix.
fn is_by_class(classes: usize, counts: &[u64]) -> bool {
    classes > MOST_CLASSES && counts.len() == classes.saturating_mul(3)
}

/// Saturating sum.
fn sum(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

/// Formats a fraction with three decimals, or a dash if the whole is 0.
fn ratio(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_string() } else { format!("{:.3}", part as f64 / whole as f64) }
}

/// Formats the matrix as text, with a row for each true class and a column for each predicted class. Recall and
/// precision follow. Recall is the share of the class's images that were predicted as the class. Precision is the share
/// of the images predicted as the class that belong to it.
///
/// `counts` is \[true, predicted\]. Without names, classes are shown by number. From 21 classes on, the most frequent
/// confusions are listed in place of the matrix. From [`MOST_CLASSES`] on, where `counts` are those of each class
/// ([`Confusion::counts`]), the text is that of [`ClassReport`]. [`Error::Config`] if the counts or names don't fit the number of
/// classes.
pub fn text(classes: usize, counts: &[u64], names: &[String]) -> Result<String> {
    if is_by_class(classes, counts) {
        let found = Confusion { classes, counts: counts.to_vec(), ..Confusion::default() };
        let report = ClassReport::new(&found, names)?;
        return Ok(format!(
            "{report}\nThe confusion matrix is left out: it is counted for up to {MOST_CLASSES} classes, here are {classes}.\n"
        ));
    }
    let matrix = Matrix::new(classes, counts, names)?;
    let written = if classes <= WRITTEN { classes } else { 0 };
    let [names, heads] = LETTERS.map(|most| short_names(matrix.names.iter().enumerate(), most));
    let corner = if written > 0 { "true \\ predicted" } else { "class" };
    let first = names.iter().map(|name| width(name)).max().unwrap_or(0).max(corner.len());
    let digits = counts.iter().max().map_or(1, |count| count.to_string().len());
    let widths: Vec<usize> = heads.iter().map(|head| width(head).max(digits)).collect();
    let mut text = format!("{corner:<first$}");
    for i in 0..written {
        let _ = write!(text, "  {}", right(&heads[i], widths[i]));
    }
    text += "  targets  recall  precision\n";
    for (class, name) in names.iter().enumerate() {
        text += &left(name, first);
        for (i, width) in widths.iter().enumerate().take(written) {
            let _ = write!(text, "  {:>width$}", matrix.at(class, i));
        }
        let (right, row, column) = (matrix.at(class, class), matrix.row(class), matrix.column(class));
        let _ = writeln!(text, "  {row:>7}  {:>6}  {:>9}", ratio(right, row), ratio(right, column));
    }
    text += &matrix.accuracy();
    text.push('\n');
    if written == 0 {
        for (count, truth, predicted) in matrix.confusions().into_iter().take(NAMED) {
            let [truth, predicted] = [truth, predicted].map(|class| left(&names[class], first));
            let _ = writeln!(text, "{truth}  taken for {predicted}  {count:>7}");
        }
    }
    Ok(text)
}

/// Draws the matrix as a picture, with a row for each true class, shaded by the fraction of its images in each cell.
/// Correct predictions are blue, wrong ones orange. The shade is the square root of the fraction, so that a rare
/// confusion is visible.
///
/// Counts are written for up to 20 classes, and names beside the cells for up to 120. A name in a script that no font has
/// is shown as its class's number. Errors are those of [`text`], and
/// a picture that would be too large.
pub fn picture(classes: usize, counts: &[u64], names: &[String]) -> Result<Picture> {
    drawn(classes, counts, names, Fonts::system())
}

fn drawn(classes: usize, counts: &[u64], names: &[String], fonts: &Fonts) -> Result<Picture> {
    let matrix = Matrix::new(classes, counts, names)?;
    let cell = match classes {
        0..=12 => 56,
        13..=WRITTEN => 44,
        21..=120 => 16,
        _ => (2400 / classes).max(1),
    };
    let numbered = cell >= 44;
    let gap = usize::from(cell >= 8);
    let named = cell >= LETTER[1];
    let names = if named { labels(&matrix.names, LABEL, fonts) } else { vec![String::new(); classes] };
    let widest = names.iter().map(|name| text_width(name)).max().unwrap_or(0);
    let label = if named { widest + 8 } else { 0 };
    // Short names stand upright over their columns; long ones run upward.
    let upright = widest <= cell;
    let margin = 14;
    let title = format!("{}  (rows: true, columns: predicted)", matrix.accuracy());
    let head = margin + LETTER[1] + 12;
    let [left, top] = [margin + label, head + if upright && named { LETTER[1] + 8 } else { label }];
    let side = classes * cell;
    let width = (left + side).max(margin + text_width(&title)) + margin;
    let mut picture = Picture::new(width, top + side + margin, PAPER)?;
    picture.text([margin, margin], &title, INK, fonts);
    for (class, name) in names.iter().enumerate() {
        if named {
            // Text is centred in its row or column.
            let middle = (cell - LETTER[1]) / 2;
            picture.text([left - 8 - text_width(name), top + class * cell + middle], name, INK, fonts);
            if upright {
                let middle = (cell - text_width(name)) / 2;
                picture.text([left + class * cell + middle, top - 4 - LETTER[1]], name, INK, fonts);
            } else {
                picture.text_upward([left + class * cell + middle, top - 8], name, INK, fonts);
            }
        }
        let row = matrix.row(class);
        for predicted in 0..classes {
            let count = matrix.at(class, predicted);
            let part = if row == 0 { 0.0 } else { count as f64 / row as f64 };
            let full = if class == predicted { RIGHT } else { WRONG };
            let colour = mix([0xf4; 3], full, part.sqrt());
            let corner = [left + predicted * cell, top + class * cell];
            picture.rectangle(corner, [cell - gap; 2], colour);
            if numbered {
                let number = short(count);
                let x = corner[0] + (cell - gap).saturating_sub(text_width(&number)) / 2;
                let ink = if count == 0 { FAINT } else { on(colour) };
                picture.text([x, corner[1] + (cell - gap - LETTER[1]) / 2], &number, ink, fonts);
            }
        }
    }
    Ok(picture)
}

/// Lists the most frequent confusions in words, at most `most`: "12 of 40 images of cat were taken for dog".
///
/// The list is empty from [`MOST_CLASSES`] on, where `counts` are those of each class. Errors are those of [`text`].
pub fn most_confused(classes: usize, counts: &[u64], names: &[String], most: usize) -> Result<Vec<String>> {
    if is_by_class(classes, counts) {
        return Ok(Vec::new());
    }
    let matrix = Matrix::new(classes, counts, names)?;
    let confusions = matrix.confusions().into_iter().take(most);
    let sentence = |(count, truth, predicted): (u64, usize, usize)| {
        let [name, other] = [truth, predicted].map(|class| printable(&matrix.names[class]));
        let (row, were) = (matrix.row(truth), if count == 1 { "was" } else { "were" });
        let images = if row == 1 { "image" } else { "images" };
        format!("{count} of {row} {images} of {name} {were} taken for {other}")
    };
    Ok(confusions.map(sentence).collect())
}

/// Writes [`text`] and [`picture`] into the folder `dir`, as confusion.txt and confusion.png. The text also lists the
/// classes that pictures show by a number or a short form, with their names. The picture is left out for
/// more than [`MOST_CLASSES`] classes, as the text says. Errors are those of both,
/// and [`Error::Io`], which names the file that can't be written.
pub fn write(dir: &Path, classes: usize, counts: &[u64], names: &[String]) -> Result<()> {
    let text = text(classes, counts, names)? + &legend(names, Fonts::system());
    write_whole(&dir.join("confusion.txt"), text.as_bytes())?;
    if is_by_class(classes, counts) {
        return Ok(());
    }
    picture(classes, counts, names)?.save(&dir.join("confusion.png"))
}

/// Formats a count in at most five characters, so that it fits its cell.
fn short(count: u64) -> String {
    match count {
        0..100_000 => count.to_string(),
        100_000..10_000_000 => format!("{}k", count / 1_000),
        10_000_000..10_000_000_000 => format!("{}M", count / 1_000_000),
        _ => format!("{}G", count / 1_000_000_000),
    }
}

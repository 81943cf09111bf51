//! Numbers that stand for classes in a file, and the classes 0, 1, 2.. that they become.

/// The label numbers of a data set, sorted. The position of each is its class.
#[derive(Debug, PartialEq)]
pub(super) struct LabelMap(Vec<i64>);

impl LabelMap {
    /// A class for each of these numbers, of which some may occur often.
    pub fn new(numbers: impl IntoIterator<Item = i64>) -> Self {
        let mut numbers: Vec<i64> = numbers.into_iter().collect();
        numbers.sort_unstable();
        numbers.dedup();
        LabelMap(numbers)
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The class of a number.
    pub fn class(&self, number: i64) -> Option<i32> {
        self.0.binary_search(&number).ok().map(|class| class as i32)
    }

    /// Names of the classes: their numbers.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// The numbers, for people: "0..=9", or a list where some are missing.
    pub fn text(&self) -> String {
        match self.0.as_slice() {
            [first, .., last] if last.checked_sub(*first).is_some_and(|gap| gap as usize == self.0.len() - 1) => {
                format!("{first}..={last}")
            }
            numbers => {
                let some: Vec<String> = numbers.iter().take(12).map(ToString::to_string).collect();
                some.join(", ") + if numbers.len() > 12 { ", .." } else { "" }
            }
        }
    }
}

//! The division of a data set into images to train on, to validate with and to test with: by class, by shares, by a
//! seed.

use std::fmt;

use crate::error::{Error, Result};
use crate::rng::Rng;

/// Shares of the images that are held out. The others are trained on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// Share for validation, 0 to below 1.
    pub validation: f64,
    /// Share for the test, 0 to below 1.
    pub test: f64,
}

impl Shares {
    /// Checks that both shares are at least 0 and leave something to train on. [`Error::Config`] names the one at fault.
    pub fn check(self) -> Result<()> {
        for (name, share) in [("validation", self.validation), ("holdout", self.test)] {
            if !(0.0..1.0).contains(&share) {
                return Err(Error::config(name, format!("is a share of the images, 0 to below 1, not {share}")));
            }
        }
        if self.validation + self.test > 1.0 - LEAST {
            let message = format!(
                "{} for validation and {} for the test leave nothing to train on: both together must be below 1",
                self.validation, self.test
            );
            return Err(Error::config("holdout", message));
        }
        Ok(())
    }
}

/// Indices of the images of each part, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Division {
    /// Images to train on.
    pub train: Vec<u32>,
    /// Images to validate with.
    pub validation: Vec<u32>,
    /// Images to test with.
    pub test: Vec<u32>,
}

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DataPart {
    /// Images to train on.
    Train,
    /// Images to validate with.
    Validation,
    /// Images to test with.
    Test,
}

/// The origin of a part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitKind {
    /// The data set has the part, as a folder, file or column.
    Given,
    /// A share of the training images was held out.
    HeldOut,
    /// There is no such part.
    None,
}

/// The way in which a data set was divided. Prints as "validation held out by class (share 0.1, seed 1), test given".
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    /// Origin of the images to validate with.
    pub validation: SplitKind,
    /// Origin of the images to test with.
    pub test: SplitKind,
    /// Shares that were held out; 0 for a part that was not.
    pub shares: Shares,
    /// Seed of the choice.
    pub seed: u64,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Split { validation, test, shares, seed } = self;
        if (*validation, *test) == (SplitKind::HeldOut, SplitKind::HeldOut) {
            let Shares { validation, test } = shares;
            return write!(f, "validation and test held out by class (shares {validation} and {test}, seed {seed})");
        }
        let part = |kind: &SplitKind, share: f64| match kind {
            SplitKind::Given => "given".to_string(),
            SplitKind::HeldOut => format!("held out by class (share {share}, seed {seed})"),
            SplitKind::None => "none".to_string(),
        };
        write!(f, "validation {}, test {}", part(validation, shares.validation), part(test, shares.test))
    }
}

/// The choices of a division: a share for each part, or `None` for what is usual.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    pub validation: Option<f64>,
    pub test: Option<f64>,
    pub seed: u64,
    /// True if a share only says what to do where the data set has no such part.
    pub if_missing: bool,
}

/// Usual share for validation.
const VALIDATION: f64 = 0.1;
/// Usual share for the test.
const TEST: f64 = 0.2;
/// Differences below this are rounding errors of a product of a share and a count.
const EXACT: f64 = 1e-9;
/// Smallest share that is left for training.
const LEAST: f64 = 1e-6;

impl Wanted {
    /// Decides how a data set that has these parts (validation, test) is divided.
    ///
    /// What is given is used, and what is missing is held out. A data set that brings images to validate with but none
    /// to test with was divided by its makers, so no test is made up unless its share is asked for.
    fn split(self, has: [bool; 2]) -> Result<Split> {
        let one = |name, wanted: Option<f64>, given: bool, usual: f64| match (wanted, given) {
            (Some(_), true) if self.if_missing => Ok((SplitKind::Given, 0.0)),
            (Some(0.0), _) => Ok((SplitKind::None, 0.0)),
            (Some(share), true) => {
                let message = format!("is {share}, but the data set has images for this: leave it out, or 0 for none");
                Err(Error::config(name, message))
            }
            (None, true) => Ok((SplitKind::Given, 0.0)),
            (Some(share), false) => Ok((SplitKind::HeldOut, share)),
            (None, false) if usual > 0.0 => Ok((SplitKind::HeldOut, usual)),
            (None, false) => Ok((SplitKind::None, 0.0)),
        };
        let (validation, for_validation) = one("validation", self.validation, has[0], VALIDATION)?;
        let (test, for_test) = one("holdout", self.test, has[1], if has[0] { 0.0 } else { TEST })?;
        let shares = Shares { validation: for_validation, test: for_test };
        shares.check()?;
        Ok(Split { validation, test, shares, seed: self.seed })
    }

    /// Divides images with these labels and parts. `has` says which parts (validation, test) the data set has, here or
    /// elsewhere.
    pub fn divide(self, labels: &[i32], parts: &[DataPart], has: [bool; 2]) -> Result<(Division, Split)> {
        let split = self.split(has)?;
        let of = |part: DataPart| (0..labels.len() as u32).filter(move |&i| parts[i as usize] == part);
        let train: Vec<u32> = of(DataPart::Train).collect();
        let of_train: Vec<i32> = train.iter().map(|&i| labels[i as usize]).collect();
        let inner = split_by_class(&of_train, split.shares, self.seed)?;
        let outer = |indices: Vec<u32>| indices.into_iter().map(|i| train[i as usize]).collect::<Vec<u32>>();
        let take = |kind: SplitKind, held: Vec<u32>, part: DataPart| match kind {
            SplitKind::Given => of(part).collect(),
            SplitKind::HeldOut => outer(held),
            SplitKind::None => Vec::new(),
        };
        let division = Division {
            validation: take(split.validation, inner.validation, DataPart::Validation),
            test: take(split.test, inner.test, DataPart::Test),
            train: outer(inner.train),
        };
        Ok((division, split))
    }
}

/// Holds out a share of the images with these labels for validation, which must not come out empty.
pub(super) fn held_out(labels: &[i32], share: f64, seed: u64) -> Result<(Vec<u32>, Vec<u32>)> {
    if !(share > 0.0 && share < 1.0) {
        return Err(Error::config("validation share", format!("is {share}, must be above 0 and below 1")));
    }
    let Division { train, validation, .. } = split_by_class(labels, Shares { validation: share, test: 0.0 }, seed)?;
    if validation.is_empty() {
        let message = format!("{share} of {} images, of which each class trains on one, holds out none", labels.len());
        return Err(Error::config("validation share", message));
    }
    Ok((train, validation))
}

/// Divides images with these labels by class: of every class the shares are held out, chosen by `seed`.
///
/// Counts are rounded by largest remainders, so that each share is right to one image in each class and in all. Every
/// class keeps at least one image to train on; only where very many classes have a single image can this cost more than
/// one image of all. The result depends on the order of the labels, so images should be sorted by name.
/// ```
/// use tilegrad::data::{Shares, split_by_class};
///
/// let labels = [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2];
/// let division = split_by_class(&labels, Shares { validation: 0.2, test: 0.2 }, 1)?;
/// assert_eq!((division.train.len(), division.validation.len(), division.test.len()), (7, 2, 2));
/// assert!(division.train.contains(&10));
/// # Ok::<(), tilegrad::Error>(())
/// ```
pub fn split_by_class(labels: &[i32], shares: Shares, seed: u64) -> Result<Division> {
    shares.check()?;
    let mut classes: Vec<(i32, Vec<u32>)> = Vec::new();
    let mut order: Vec<u32> = (0..labels.len() as u32).collect();
    order.sort_by_key(|&i| labels[i as usize]);
    for i in order {
        let label = labels[i as usize];
        match classes.last_mut() {
            Some((last, members)) if *last == label => members.push(i),
            _ => classes.push((label, vec![i])),
        }
    }
    let sizes: Vec<usize> = classes.iter().map(|(_, members)| members.len()).collect();
    let counts = counts(&sizes, shares);
    let mut division = Division::default();
    for ((label, members), [_, validation, test]) in classes.into_iter().zip(counts) {
        let chosen = Rng::new(seed, &format!("split of class {label}")).permutation(members.len());
        for (rank, at) in chosen.into_iter().enumerate() {
            let part = match rank {
                rank if rank < test => &mut division.test,
                rank if rank < test + validation => &mut division.validation,
                _ => &mut division.train,
            };
            part.push(members[at as usize]);
        }
    }
    for part in [&mut division.train, &mut division.validation, &mut division.test] {
        part.sort_unstable();
    }
    Ok(division)
}

/// A class whose counts for training, validation and test are being rounded: whole parts, and fractions to decide on.
struct Row {
    whole: [usize; 3],
    rest: [f64; 3],
}

/// Number of images of each class for training, validation and test.
///
/// Source of the method: controlled rounding (Cox, "A constructive procedure for unbiased controlled rounding", 1987).
/// Fractions move between pairs of classes, which keeps the sums of the parts, until they are whole.
fn counts(sizes: &[usize], shares: Shares) -> Vec<[usize; 3]> {
    let mut owed = [0.0; 2];
    let mut rows: Vec<Row> = sizes.iter().map(|&size| Row::new(size, shares, &mut owed)).collect();
    // What classes with a single image to train on did not give, others give instead, as far as one image allows.
    for (part, owed) in owed.iter_mut().enumerate() {
        for Row { rest, .. } in &mut rows {
            let given = owed.min(rest[0]).min(if rest[part + 1] > 0.0 { 1.0 - rest[part + 1] } else { 0.0 });
            *owed -= given;
            rest[0] -= given;
            rest[part + 1] += given;
        }
    }
    rows.iter_mut().for_each(Row::settle);
    for pair in [[0, 1], [0, 2], [1, 2]] {
        trade(&mut rows, pair);
    }
    finish(&mut rows);
    rows.into_iter().map(|row| row.whole).collect()
}

impl Row {
    /// The exact counts of a class of `size`. A class that would keep less than one image keeps one; `owed` gets what
    /// this takes from validation and test.
    fn new(size: usize, shares: Shares, owed: &mut [f64; 2]) -> Self {
        let [validation, test] = [shares.validation, shares.test].map(|share| size as f64 * share);
        let mut row = Row { whole: [0; 3], rest: [size as f64 - validation - test, validation, test] };
        row.settle();
        if row.whole[0] == 0 && size > 0 {
            let [train, validation, test] = row.rest;
            let missing = 1.0 - train;
            // The fractions of validation and test sum up to either this or one more.
            let left = validation + test - missing;
            let total = (validation + test).max(EXACT);
            let new = [validation, test].map(|rest| rest * (left / total).max(0.0));
            owed[0] += validation - new[0];
            owed[1] += test - new[1];
            row.whole[0] = 1;
            row.rest = [0.0, new[0], new[1]];
            row.settle();
        }
        row
    }

    /// Moves whole units from the fractions to the counts.
    fn settle(&mut self) {
        for (whole, rest) in self.whole.iter_mut().zip(&mut self.rest) {
            let units = (*rest + EXACT).floor();
            *whole += units as usize;
            *rest = if *rest - units < EXACT { 0.0 } else { *rest - units };
        }
    }

    /// Moves `amount` from the part `from` to the part `to`.
    fn shift(&mut self, from: usize, to: usize, amount: f64) {
        self.rest[from] -= amount;
        self.rest[to] += amount;
        self.settle();
    }
}

/// Lets classes with fractions in both parts trade them, until at most one such class remains. The largest remainder
/// grows and the smallest shrinks.
fn trade(rows: &mut [Row], [a, b]: [usize; 2]) {
    let open = |row: &Row| row.rest[a] > 0.0 && row.rest[b] > 0.0;
    let mut order: Vec<usize> = (0..rows.len()).filter(|&i| open(&rows[i])).collect();
    order.sort_by(|&i, &j| rows[i].rest[b].total_cmp(&rows[j].rest[b]));
    let (mut low, mut high) = (0, order.len().saturating_sub(1));
    while low < high {
        let (small, large) = (order[low], order[high]);
        // `large` takes from its part a and gives to b, `small` the other way round.
        let [up, down] = [&rows[large], &rows[small]].map(|row| row.rest);
        let amount = up[a].min(1.0 - up[b]).min(down[b]).min(1.0 - down[a]);
        rows[large].shift(a, b, amount);
        rows[small].shift(b, a, amount);
        if !open(&rows[large]) {
            high -= 1;
        }
        if !open(&rows[small]) {
            low += 1;
        }
    }
}

/// Rounds the few classes that could not trade, so that the sums stay right to one image.
fn finish(rows: &mut [Row]) {
    // Sum of what each part has received beyond its exact share.
    let mut over = [0.0_f64; 3];
    for row in rows.iter_mut() {
        let missing = row.rest.iter().sum::<f64>().round() as usize;
        let mut order = [0, 1, 2];
        order.sort_by(|&i, &j| (row.rest[j] - over[j]).total_cmp(&(row.rest[i] - over[i])));
        let mut left = missing;
        for part in order {
            let rest = row.rest[part];
            let takes = left > 0 && rest > 0.0;
            over[part] += if takes { 1.0 - rest } else { -rest };
            row.whole[part] += usize::from(takes);
            left -= usize::from(takes);
            row.rest[part] = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn random(seed: u64, at: u64, bound: u32) -> u32 {
        Rng::new(seed, "random folders").below(at, bound)
    }

    /// Shares in hundredths, also 0, together below 1.
    fn shares(seed: u64) -> Shares {
        let validation = if random(seed, 1, 5) == 0 { 0 } else { random(seed, 2, 60) };
        let test = if random(seed, 3, 5) == 0 { 0 } else { random(seed, 4, 99 - validation) };
        Shares { validation: f64::from(validation) / 100.0, test: f64::from(test) / 100.0 }
    }

    fn labels(seed: u64) -> Vec<i32> {
        let classes = 1 + random(seed, 5, 50);
        (0..classes)
            .flat_map(|class| vec![class as i32; 1 + random(seed, 6 + u64::from(class), 200) as usize])
            .collect()
    }

    fn by_class(labels: &[i32], indices: &[u32]) -> BTreeMap<i32, usize> {
        let mut counts = BTreeMap::new();
        indices.iter().for_each(|&i| *counts.entry(labels[i as usize]).or_default() += 1);
        counts
    }

    #[test]
    fn a_thousand_random_folders_are_divided_by_class() {
        for seed in 0..1_000 {
            let (labels, shares) = (labels(seed), shares(seed));
            let division = split_by_class(&labels, shares, seed).unwrap();
            let Division { train, validation, test } = &division;
            let mut all = [train.as_slice(), validation, test].concat();
            all.sort_unstable();
            assert!(all.iter().enumerate().all(|(i, &index)| i == index as usize), "{seed}: each image once");
            assert_eq!(all.len(), labels.len());
            let whole = by_class(&labels, &all);
            for (part, share) in
                [(train, 1.0 - shares.validation - shares.test), (validation, shares.validation), (test, shares.test)]
            {
                let counts = by_class(&labels, part);
                for (class, &size) in &whole {
                    let count = counts.get(class).copied().unwrap_or(0);
                    let exact = size as f64 * share;
                    let off = (count as f64 - exact).abs();
                    assert!(off < 1.0 + 1e-6, "{seed}: {shares:?} class {class}: {count} of {size}, {exact}");
                    assert!(share > 0.0 || count == 0);
                }
                let exact = labels.len() as f64 * share;
                assert!((part.len() as f64 - exact).abs() < 1.0 + 1e-6, "{seed}: {shares:?} {} {exact}", part.len());
            }
            assert_eq!(by_class(&labels, train).len(), whole.len(), "{seed}: every class is trained on");
            assert_eq!(split_by_class(&labels, shares, seed).unwrap(), division);
            if validation.len() + test.len() > 3 && train.len() > 3 {
                assert_ne!(split_by_class(&labels, shares, seed + 1).unwrap(), division, "{seed}");
            }
        }
    }

    #[test]
    fn classes_of_one_image_are_trained_on_and_others_make_up_for_them() {
        let shares = Shares { validation: 0.0, test: 0.5 };
        let ones: Vec<i32> = (0..40).collect();
        assert_eq!(split_by_class(&ones, shares, 1).unwrap().train.len(), 40);
        // Two classes of one and four of three: 7 of 14 are to be held out, and no class of three gives more than two.
        let labels = [0, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5];
        assert_eq!(split_by_class(&labels, shares, 1).unwrap().test.len(), 7);
    }

    #[test]
    fn shares_that_leave_nothing_are_refused() {
        for (validation, test) in [(1.0, 0.0), (0.5, 0.5), (-0.1, 0.0), (0.0, f64::NAN), (0.0, 1.5)] {
            let refused = split_by_class(&[0, 1], Shares { validation, test }, 1);
            assert!(matches!(refused, Err(Error::Config { .. })), "{validation} and {test} gave {refused:?}");
        }
    }

    #[test]
    fn what_is_given_is_used_and_what_is_missing_is_held_out() {
        let labels = [0; 30].map(|_: i32| 0);
        let mut parts = [DataPart::Train; 30];
        parts[20..25].fill(DataPart::Validation);
        parts[25..].fill(DataPart::Test);
        let divide = |wanted: Wanted, parts: &[DataPart], has| {
            wanted.divide(&labels[..parts.len()], parts, has).map(|(division, split)| {
                ([division.train.len(), division.validation.len(), division.test.len()], split.to_string())
            })
        };
        let wanted = Wanted { seed: 7, ..Wanted::default() };
        let all = divide(wanted, &parts, [true, true]).unwrap();
        assert_eq!(all, ([20, 5, 5], "validation given, test given".into()));
        let (counts, text) = divide(wanted, &parts[..20], [false, true]).unwrap();
        assert_eq!(counts, [18, 2, 0]);
        assert_eq!(text, "validation held out by class (share 0.1, seed 7), test given");
        // Makers who divided the data made no test.
        assert_eq!(divide(wanted, &parts[..25], [true, false]).unwrap().1, "validation given, test none");
        let (counts, text) = divide(wanted, &parts[..20], [false, false]).unwrap();
        assert_eq!(counts, [14, 2, 4]);
        assert_eq!(text, "validation and test held out by class (shares 0.1 and 0.2, seed 7)");
        let asked = Wanted { test: Some(0.5), ..wanted };
        assert_eq!(divide(asked, &parts[..25], [true, false]).unwrap().0, [10, 5, 10]);
        assert!(divide(asked, &parts, [true, true]).unwrap_err().to_string().starts_with("holdout: is 0.5"));
        let none = Wanted { test: Some(0.0), validation: Some(0.0), ..wanted };
        assert_eq!(divide(none, &parts, [true, true]).unwrap(), ([20, 0, 0], "validation none, test none".into()));
    }
}

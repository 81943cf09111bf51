//! Precision, recall and F1 of each class as a table: scikit-learn's classification_report.

use std::fmt;

use super::names::{right, short_names, width};
use crate::error::{Error, Result};
use crate::ops::confusion::{ClassCounts, Confusion};

/// Largest number of classes that the text shows all of.
const SHOWN: usize = 30;
/// Number of first classes, and of classes of the lowest F1, that the text shows of more.
const FIRST: usize = 5;
const LOWEST: usize = 20;
/// Number of characters of a name, which leaves lines of 80.
const LETTERS: usize = 38;

/// The figures of each class and their means, under scikit-learn's names. Its text is that of scikit-learn's
/// classification_report with three digits, where a share of nothing is 0.
///
/// ```
/// use tilegrad::ops::confusion::Confusion;
/// use tilegrad::report::ClassReport;
///
/// let found = Confusion { classes: 2, counts: vec![8, 2, 1, 4], ..Confusion::default() };
/// let report = ClassReport::new(&found, &["cat".into(), "dog".into()])?;
/// assert_eq!(report.balanced_accuracy, Some(0.8));
/// println!("{report}");
/// # Ok::<(), tilegrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ClassReport {
    /// The classes in order, without those that are neither a target nor predicted.
    pub classes: Vec<ReportedClass>,
    /// Fraction of correct predictions; `None` if nothing was counted.
    pub accuracy: Option<f64>,
    /// Mean recall of the classes with targets: balanced_accuracy_score.
    pub balanced_accuracy: Option<f64>,
    /// Means over the classes: f1_score and its like with average="macro".
    pub macro_avg: Averages,
    /// Means over the classes, weighted by their support: average="weighted".
    pub weighted_avg: Averages,
    /// Number of counted targets.
    pub support: u64,
}

/// A class and its figures.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportedClass {
    /// Index of the class.
    pub class: usize,
    /// Name of the class, or its number.
    pub name: String,
    /// Its counts, from which precision, recall and F1 follow.
    pub counts: ClassCounts,
}

/// Means of the figures of classes, in which a share of nothing is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Averages {
    /// Mean precision.
    pub precision: f64,
    /// Mean recall.
    pub recall: f64,
    /// Mean F1.
    pub f1: f64,
}

/// Precision, recall and F1, 0 where there is none.
fn figures(counts: &ClassCounts) -> [f64; 3] {
    [counts.precision(), counts.recall(), counts.f1()].map(Option::unwrap_or_default)
}

/// Means weighted by `weight`.
fn averages(classes: &[ReportedClass], weight: impl Fn(&ClassCounts) -> f64) -> Averages {
    let total: f64 = classes.iter().map(|class| weight(&class.counts)).sum();
    let mean = |i: usize| {
        let sum: f64 = classes.iter().map(|class| weight(&class.counts) * figures(&class.counts)[i]).sum();
        if total > 0.0 { sum / total } else { 0.0 }
    };
    Averages { precision: mean(0), recall: mean(1), f1: mean(2) }
}

impl ClassReport {
    /// Reports `found`. Without `names`, classes are shown by number. [`Error::Config`] unless there is a name for each
    /// class, or none.
    pub fn new(found: &Confusion, names: &[String]) -> Result<Self> {
        if !names.is_empty() && names.len() != found.classes {
            let message = format!("has {} names for {} classes; give each a name, or none", names.len(), found.classes);
            return Err(Error::config("class report", message).between(found.classes, names.len()));
        }
        let name = |class: usize| names.get(class).cloned().unwrap_or_else(|| class.to_string());
        let counted = found.by_class().into_iter().enumerate().filter(|(_, of)| of.support > 0 || of.predicted > 0);
        let classes: Vec<_> =
            counted.map(|(class, counts)| ReportedClass { class, name: name(class), counts }).collect();
        Ok(ClassReport {
            accuracy: found.accuracy(),
            balanced_accuracy: found.balanced_accuracy(),
            macro_avg: averages(&classes, |_| 1.0),
            weighted_avg: averages(&classes, |counts| counts.support as f64),
            support: found.count(),
            classes,
        })
    }

    /// The figures by name, as scikit-learn's classification_report with output_dict, for a JSON file.
    pub fn to_json(&self) -> serde_json::Value {
        let averages = |of: &Averages| serde_json::json!({ "precision": of.precision, "recall": of.recall, "f1-score": of.f1, "support": self.support });
        let class = |of: &ReportedClass| {
            let [precision, recall, f1] = figures(&of.counts);
            serde_json::json!({
                "name": of.name, "precision": precision, "recall": recall, "f1-score": f1, "support": of.counts.support
            })
        };
        serde_json::json!({
            "accuracy": self.accuracy,
            "balanced_accuracy": self.balanced_accuracy,
            "macro avg": averages(&self.macro_avg),
            "weighted avg": averages(&self.weighted_avg),
            "classes": self.classes.iter().map(class).collect::<Vec<_>>(),
        })
    }

    /// The classes that the text shows, in order, as positions; of many the first and those of the lowest F1.
    fn shown(&self) -> Vec<usize> {
        if self.classes.len() <= SHOWN {
            return (0..self.classes.len()).collect();
        }
        let mut rest: Vec<usize> = (FIRST..self.classes.len()).collect();
        let f1 = |place: &usize| figures(&self.classes[*place].counts)[2];
        // Of equal classes the larger comes first: its recall of 0 weighs more.
        let support = |place: &usize| self.classes[*place].counts.support;
        rest.sort_by(|a, b| f1(a).total_cmp(&f1(b)).then(support(b).cmp(&support(a))));
        rest.truncate(LOWEST);
        rest.sort_unstable();
        (0..FIRST).chain(rest).collect()
    }
}

impl fmt::Display for ClassReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.shown();
        let all = short_names(self.classes.iter().map(|of| (of.class, &of.name)), LETTERS);
        let names: Vec<&String> = shown.iter().map(|&place| &all[place]).collect();
        let width = names.iter().map(|name| width(name)).max().unwrap_or(0).max("weighted avg".len());
        let row = |f: &mut fmt::Formatter<'_>, name: &str, [precision, recall, f1]: [f64; 3], support: u64| {
            let name = right(name, width);
            writeln!(f, "{name}  {precision:>9.3} {recall:>9.3} {f1:>9.3} {support:>9}")
        };
        writeln!(f, "{:>width$}  {:>9} {:>9} {:>9} {:>9}\n", "", "precision", "recall", "f1-score", "support")?;
        for (i, (&place, name)) in shown.iter().zip(&names).enumerate() {
            let counts = &self.classes[place].counts;
            row(f, name, figures(counts), counts.support)?;
            if i + 1 == FIRST && shown.len() < self.classes.len() {
                writeln!(f, "and of the {} others those of the lowest F1:", self.classes.len() - FIRST)?;
            }
        }
        let Averages { precision, recall, f1 } = self.macro_avg;
        writeln!(
            f,
            "\n{:>width$}  {:>9} {:>9} {:>9.3} {:>9}",
            "accuracy",
            "",
            "",
            self.accuracy.unwrap_or(0.0),
            self.support
        )?;
        row(f, "macro avg", [precision, recall, f1], self.support)?;
        let Averages { precision, recall, f1 } = self.weighted_avg;
        row(f, "weighted avg", [precision, recall, f1], self.support)
    }
}

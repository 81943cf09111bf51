//! Diagnosis of a run as underfitted, overfitted or well fitted, with the numbers behind it and advice.
//!
//! A run is judged by the ends of its curves: the median of the last fifth of the epochs, at least three, so that a
//! single outlier decides nothing (for one or two epochs, the last). The first rule that holds decides:
//!
//! 1. **Diverged**: a loss is not finite, or the training loss ends above its start after having been much lower.
//! 2. **Overfitted**: training accuracy ends more than 0.05 above validation accuracy; or the validation loss ends more
//!    than 25%, and more than 0.05, above its minimum while the training loss kept falling.
//! 3. **Still improving**: over the last third of the epochs, by least-squares lines, training and validation loss
//!    fall, the former by more than 5%, and validation accuracy rises by more than 0.01. Each change exceeds twice the
//!    standard error of its line. The learning rate has not been brought to zero; after that, more epochs would change
//!    nothing.
//! 4. **Underfitted**: neither training nor validation reaches 0.9 of the way from guessing to all correct. The rule
//!    uses the training images because a network that is large enough and trained long enough memorises any of them,
//!    for any number of classes and even with random labels (Zhang et al., "Understanding deep learning requires
//!    rethinking generalization", 2017). Low training accuracy without a gap to validation is therefore a fault of the
//!    network or its training, while on new images a hard data set may allow less. Below 0.1 of the way, the model is
//!    reported to guess.
//! 5. **Well fitted**.
//!
//! Without validation images only the first rule is asked, and the fit is otherwise **not judged**.
//!
//! With the counts of the validation images ([`Diagnosis::validated`]), every verdict names the classes of recall 0, and
//! says how many images it is from if they are few.
//!
//! The way from guessing to all correct is `(accuracy - 1 / classes) / (1 - 1 / classes)`, Cohen's kappa for classes of
//! equal size. If the number of classes is unknown, it is the accuracy itself. The limits are rules of thumb. Training
//! accuracy is measured while the weights change, under augmentation and dropout, so it is lower than it would be
//! afterwards. A gap is therefore real, and a training accuracy below validation accuracy is no fault. Source of the
//! terms: Dive into Deep Learning, chapter 3.6.

use std::fmt;

use super::Epoch;
use crate::ops::confusion::Confusion;

/// Part of the way from guessing to all correct below which a run that does not overfit is called underfitted.
const POOR: f64 = 0.9;
/// Part of that way below which it is reported to guess.
const GUESSING: f64 = 0.1;
/// Difference between training and validation accuracy above which a run is called overfitted.
const GAP: f64 = 0.05;
/// Relative rise of the validation loss above its minimum that counts as overfitting.
const RISE: f64 = 0.25;
/// Absolute rise that it also needs: a rise among tiny losses is chance.
const RISE_AT_LEAST: f64 = 0.05;
/// Relative fall of the training loss over the last third of the epochs that makes more epochs worthwhile.
const FALL: f64 = 0.05;
/// Rise of validation accuracy that this also needs.
const GAIN: f64 = 0.01;
/// Factor over its minimum above which the training loss of a run that ends at its start counts as diverged.
const LOST: f64 = 1.2;
/// Part of the highest learning rate below which a schedule counts as finished.
const ANNEALED: f64 = 0.01;

/// Number of validation images below which a verdict says how few they were. The standard error of an accuracy of so
/// many is up to 0.05, the limit of a gap.
const FEW: u64 = 100;
/// Number of classes that a verdict names.
const NAMED: usize = 5;

/// The quality of a model's fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Poor on the training data.
    Under,
    /// Much better on the training data than on the validation data.
    Over,
    /// Neither underfitted nor overfitted.
    Well,
    /// Not finished: training and validation still improve.
    Improving,
    /// The losses are not finite, or have returned to their start.
    Diverged,
    /// Unknown, for lack of validation images.
    Unjudged,
}

/// The quality of a model's fit, the numbers behind it, and advice. It is made after a run and does not affect it.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnosis {
    /// The verdict.
    pub fit: Fit,
    /// The numbers and their limits.
    pub reason: String,
    /// The advice, most promising first.
    pub advice: Vec<String>,
}

impl Diagnosis {
    /// Diagnoses the epochs of a run. `None` if there are none. The accuracy of guessing is unknown here; see
    /// [`Diagnosis::of_classes`].
    pub fn new(epochs: &[Epoch]) -> Option<Self> {
        Self::judge(epochs, 0.0)
    }

    /// Diagnoses like [`Diagnosis::new`], with accuracy measured against guessing among `classes` classes.
    pub fn of_classes(epochs: &[Epoch], classes: usize) -> Option<Self> {
        // With a single class there is nothing to learn, and no way from guessing to all correct.
        Self::judge(epochs, if classes > 1 { 1.0 / classes as f64 } else { 0.0 })
    }

    /// Adds what the counts of the validation images tell: the classes of recall 0, those without an image, and how
    /// many images there were, if they are too few for a verdict. Without `names`, classes are named by number.
    pub fn validated(mut self, found: &Confusion, names: &[String]) -> Self {
        let counts = found.by_class();
        let missing = (0..found.classes).filter(|&class| counts[class].support == 0).collect();
        let images = found.count();
        if images == 0 {
            self.reason += "; but no validation image has a class";
            return self;
        }
        if let Some(classes) = listed(found.never_right(), names) {
            self.reason += &format!("; but recall is 0 for {classes}: no validation image of it was predicted right");
            self.advice.insert(
                0,
                "more images of the classes of recall 0, or class weights or balanced sampling if they are rare".into(),
            );
        }
        if let Some(classes) = listed(missing, names) {
            self.reason += &format!("; no validation image shows {classes}");
        }
        if images < FEW {
            let error = 0.5 / (images as f64).sqrt();
            self.reason += &format!(
                "; but there are only {images} validation images, whose accuracy may be {error:.2} off by chance"
            );
        }
        self
    }

    fn judge(epochs: &[Epoch], chance: f64) -> Option<Self> {
        let curves = Curves::new(epochs)?;
        if !epochs.iter().any(Epoch::is_validated) {
            return Some(diverged(&curves, chance).unwrap_or_else(|| unjudged(&curves)));
        }
        let rules = [diverged, overfitted, improving, underfitted];
        Some(rules.iter().find_map(|rule| rule(&curves, chance)).unwrap_or_else(|| well_fitted(&curves)))
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fit = match self.fit {
            Fit::Under => "underfitted",
            Fit::Over => "overfitted",
            Fit::Well => "well fitted",
            Fit::Improving => "still improving",
            Fit::Diverged => "diverged",
            Fit::Unjudged => "not judged",
        };
        write!(f, "{fit}: {}", self.reason)
    }
}

/// The four curves of a run and their ends. Each epoch's value is the median of it and some epochs before it.
struct Curves<'a> {
    epochs: &'a [Epoch],
    train_loss: Vec<f64>,
    validation_loss: Vec<f64>,
    /// The ends of the curves.
    train: f64,
    validation: f64,
    loss: f64,
}

impl<'a> Curves<'a> {
    fn new(epochs: &'a [Epoch]) -> Option<Self> {
        // A median of two would be their mean, which a single outlier moves.
        let window = if epochs.len() < 3 { 1 } else { (epochs.len() / 5).clamp(3, 10) };
        let smooth = |value: fn(&Epoch) -> f64| -> Vec<f64> {
            let raw: Vec<f64> = epochs.iter().map(value).collect();
            (1..=raw.len()).map(|end| median(&raw[end.saturating_sub(window)..end])).collect()
        };
        let (train_loss, validation_loss) = (smooth(|e| e.train_loss), smooth(|e| e.validation_loss));
        Some(Curves {
            epochs,
            train: *smooth(|e| e.train_accuracy).last()?,
            validation: *smooth(|e| e.validation_accuracy).last()?,
            loss: *validation_loss.last()?,
            train_loss,
            validation_loss,
        })
    }

    /// Index of the lowest validation loss.
    fn best(&self) -> usize {
        let losses = &self.validation_loss;
        (0..losses.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b])).unwrap_or(0)
    }

    /// The line through the last third of the epochs, at least three. `None` for fewer.
    fn trend(&self, value: fn(&Epoch) -> f64) -> Option<Trend> {
        let count = (self.epochs.len() / 3).max(3);
        let last = &self.epochs[self.epochs.len().checked_sub(count)?..];
        Some(Trend::new(&last.iter().map(value).collect::<Vec<_>>()))
    }
}

/// The median; for an even count, the mean of the middle two.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0
}

/// The rise of a least-squares line from the first value to the last.
struct Trend {
    /// The line's value at the first.
    from: f64,
    rise: f64,
    /// Standard error of the rise.
    error: f64,
}

impl Trend {
    /// Fits the line to at least three values.
    fn new(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let (mean_x, mean_y) = ((count - 1.0) / 2.0, values.iter().sum::<f64>() / count);
        let points = || values.iter().enumerate().map(|(i, &y)| (i as f64 - mean_x, y - mean_y));
        let spread: f64 = points().map(|(x, _)| x * x).sum();
        let slope = points().map(|(x, y)| x * y).sum::<f64>() / spread;
        let residual: f64 = points().map(|(x, y)| (y - slope * x).powi(2)).sum();
        let error = (residual / (count - 2.0) / spread).sqrt();
        Trend { from: mean_y - slope * mean_x, rise: slope * (count - 1.0), error: error * (count - 1.0) }
    }

    /// True if it rises by more than `limit`, and by more than chance explains.
    fn rises(&self, limit: f64) -> bool {
        self.rise > limit && self.rise > 2.0 * self.error
    }

    fn falls(&self, limit: f64) -> bool {
        -self.rise > limit && -self.rise > 2.0 * self.error
    }
}

/// The first of these classes by name, and the number of the others. `None` if there are none.
fn listed(classes: Vec<usize>, names: &[String]) -> Option<String> {
    let name = |class: &usize| names.get(*class).map_or_else(|| class.to_string(), |name| format!("\"{name}\""));
    let first: Vec<String> = classes.iter().take(NAMED).map(name).collect();
    let kind = if classes.len() == 1 { "class" } else { "classes" };
    let more = match classes.len() - first.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!first.is_empty()).then(|| format!("{kind} {}{more}", first.join(", ")))
}

/// The advice as an owned list.
fn list<const N: usize>(advice: [&str; N]) -> Vec<String> {
    advice.map(String::from).to_vec()
}

fn diverged(curves: &Curves<'_>, _: f64) -> Option<Diagnosis> {
    let advice = || {
        list([
            "a learning rate ten times smaller, or one that warms up over the first epochs",
            "gradients clipped to a norm of 1 or so",
            "a look at the images and labels: normalised, and every label the class of its image",
        ])
    };
    for epoch in curves.epochs {
        for (name, loss) in [("training", epoch.train_loss), ("validation", epoch.validation_loss)] {
            if !loss.is_finite() && (name == "training" || epoch.is_validated()) {
                let reason = format!("{name} loss is {loss} in epoch {}", epoch.epoch);
                return Some(Diagnosis { fit: Fit::Diverged, reason, advice: advice() });
            }
        }
    }
    let losses = &curves.train_loss;
    let (first, last) = (*losses.first()?, *losses.last()?);
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let lost = last >= first && last > LOST * best;
    lost.then(|| Diagnosis {
        fit: Fit::Diverged,
        reason: format!("training loss was {first:.4} at first, fell to {best:.4}, and is {last:.4} at the end"),
        advice: advice(),
    })
}

fn overfitted(curves: &Curves<'_>, _: f64) -> Option<Diagnosis> {
    let Curves { train, validation, loss, .. } = *curves;
    let best = curves.best();
    let (lowest, of) = (curves.validation_loss[best], curves.epochs[best].epoch);
    let rise = loss / lowest - 1.0;
    let fell = curves.train_loss.last()?;
    let reason = if train - validation > GAP {
        format!(
            "training accuracy {train:.3} is {:.3} above validation accuracy {validation:.3} (limit {GAP})",
            train - validation
        )
    } else if rise > RISE && loss - lowest > RISE_AT_LEAST && *fell < curves.train_loss[best] {
        format!(
            "validation loss {loss:.4} has risen {:.0}% above its best, {lowest:.4} in epoch {of} (limit {:.0}%), while training loss fell to {fell:.4}",
            rise * 100.0,
            RISE * 100.0,
        )
    } else {
        return None;
    };
    let mut advice = list([
        "more training images, or augmentation of those there are: crops, flips, cutout",
        "more weight decay, by three to ten times: large weights are what fits single images",
        "dropout of 0.2 to 0.5 before the last layers",
        "an L1 penalty, which brings weights that matter little to zero",
        "a smaller network: fewer channels, then fewer layers",
    ]);
    if best + 1 < curves.epochs.len() {
        advice.push(format!("fewer epochs: validation loss was lowest about epoch {of} of {}", curves.epochs.len()));
    }
    Some(Diagnosis { fit: Fit::Over, reason, advice })
}

fn improving(curves: &Curves<'_>, _: f64) -> Option<Diagnosis> {
    let train = curves.trend(|e| e.train_loss)?;
    let loss = curves.trend(|e| e.validation_loss)?;
    let accuracy = curves.trend(|e| e.validation_accuracy)?;
    let highest = curves.epochs.iter().map(|e| e.lr).fold(0.0, f64::max);
    let annealed = curves.epochs.last()?.lr < ANNEALED * highest;
    let improves = train.falls(FALL * train.from) && loss.falls(0.0) && accuracy.rises(GAIN);
    (improves && !annealed).then(|| Diagnosis {
        fit: Fit::Improving,
        reason: format!(
            "in the last {} epochs training loss fell by {:.4} to {:.4}, and validation accuracy rose by {:.3} to {:.3}",
            (curves.epochs.len() / 3).max(3),
            -train.rise,
            train.from + train.rise,
            accuracy.rise,
            accuracy.from + accuracy.rise,
        ),
        advice: list([
            "more epochs, half as many again, with the schedule of the learning rate made longer too",
            "a learning rate two to three times larger, if the losses fall smoothly",
        ]),
    })
}

fn underfitted(curves: &Curves<'_>, chance: f64) -> Option<Diagnosis> {
    let Curves { train, validation, .. } = *curves;
    let way = |accuracy: f64| (accuracy - chance) / (1.0 - chance);
    let (better, epochs) = (train.max(validation), curves.epochs.len());
    if way(better) >= POOR {
        return None;
    }
    let guess = if chance > 0.0 { format!(", where guessing gives {chance:.3}") } else { String::new() };
    if chance > 0.0 && way(train) < GUESSING {
        return Some(Diagnosis {
            fit: Fit::Under,
            reason: format!("training accuracy {train:.3} is hardly better than guessing, {chance:.3}"),
            advice: list([
                "a learning rate ten times smaller, then one ten times larger",
                "ten images alone: a network that can't learn those by heart has a fault, in itself or in its labels",
                "images normalised to mean 0 and standard deviation 1, and batch norm in deep networks",
                "smaller penalties and less dropout, and more epochs",
            ]),
        });
    }
    let limit = chance + POOR * (1.0 - chance);
    let advice = [
        "a larger network: more channels, then more layers",
        "another learning rate, three times larger or smaller, or a schedule that lowers it to the end",
        "less weight decay, L1 and dropout, and milder augmentation",
        "more epochs, which with so few decides most",
    ];
    let mut advice = list(advice);
    // A short run may only need more time; a longer one has had its trend checked.
    if epochs < 3 {
        advice.rotate_right(1);
    } else {
        advice[3] = "more epochs, though the last ones brought little".to_string();
    }
    Some(Diagnosis {
        fit: Fit::Under,
        reason: format!(
            "training accuracy {train:.3} and validation accuracy {validation:.3} are below {limit:.3} and close together{guess}"
        ),
        advice,
    })
}

/// Training alone can't tell what was learnt from what was learnt by heart.
fn unjudged(curves: &Curves<'_>) -> Diagnosis {
    Diagnosis {
        fit: Fit::Unjudged,
        reason: format!("training accuracy is {:.3}, and there were no images to validate with", curves.train),
        advice: list(["a share of the images held out for validation, or more images where each class has one"]),
    }
}

fn well_fitted(curves: &Curves<'_>) -> Diagnosis {
    let Curves { train, validation, loss, .. } = *curves;
    let lowest = curves.validation_loss[curves.best()];
    Diagnosis {
        fit: Fit::Well,
        reason: format!(
            "training accuracy {train:.3} is not more than {GAP} above validation accuracy {validation:.3}, and validation loss {loss:.4} is near its best, {lowest:.4}"
        ),
        advice: list(["for more, a larger network together with more images, augmentation or weight decay"]),
    }
}

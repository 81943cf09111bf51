//! The confusion matrix, or counts by class where it would be too large, and the count of top-k correct predictions. They
//! stay on the device until they are read.

use crate::error::Result;
use crate::graph::{Misfit, Operation, Tape};
use crate::kernel::{Lowering, source};
use crate::ops::arity;
use crate::ops::loss::rows::of_rows;
use crate::params;
use crate::shape::DType;
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// Counts a step's predictions into a kept state. Operands are logits [N, classes] and target \[N\]; the state is
/// updated in place.
///
/// The predicted class is the same as for the accuracy of
/// [`SoftmaxCrossEntropy`](crate::ops::softmax_cross_entropy::SoftmaxCrossEntropy): the first of the largest logits,
/// where NaN counts as the largest only for the first class. A target is among the top k if fewer than k logits are
/// greater than its own, as in torch.topk; ties count for the target. A NaN logit is greater than any number, as
/// torch.topk sorts it, but a target whose own logit is NaN is not among the top k, so that the counts show that a
/// network has diverged.
///
/// The confusion matrix is counted for up to [`MOST_CLASSES`] classes. For more, the counts of each class take its place:
/// correct predictions, targets, predictions. Every figure but those of pairs of classes follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AccumulateConfusion {
    /// Number k of largest logits that the target may be among. With k equal to the number of classes every target is.
    pub top_k: usize,
    /// Target value to ignore; negative targets are ignored too.
    pub ignore_index: i32,
}

impl Default for AccumulateConfusion {
    /// Top-5, and PyTorch's ignore_index.
    fn default() -> Self {
        AccumulateConfusion { top_k: 5, ignore_index: -100 }
    }
}

/// Number of words before the counts: top-k correct predictions, k, targets that are no class, and the number of classes
/// if there is no matrix.
pub(crate) const HEADER: usize = 4;
/// Largest number of classes whose confusion matrix is counted. It fits into a binding of 128 MiB, which every device
/// of WebGPU allows, so that a run measures the same on all of them.
pub const MOST_CLASSES: usize = 5_791;

/// Number of counts of so many classes.
pub(crate) fn count_of(classes: usize) -> usize {
    if has_matrix(classes) { classes * classes } else { classes.saturating_mul(3) }
}

fn has_matrix(classes: usize) -> bool {
    classes <= MOST_CLASSES
}

params! {
    /// Extents and attributes.
    pub(crate) struct Params { rows: u32, classes: u32, ignore_index: i32, top_k: u32 }
}

impl Tape {
    /// Adds each step's predictions to the state called `state`, which [`Confusion::from_state`] reads.
    ///
    /// `logits` are [N, classes], `target` \[N\] class indices as i32. There must be at least one row and one class,
    /// and k must be at least 1.
    pub fn accumulate_confusion(
        &mut self,
        state: &str,
        logits: TensorId,
        target: TensorId,
        op: AccumulateConfusion,
    ) -> Result<()> {
        let classes = self.shape(logits).dims().get(1).copied().unwrap_or(0);
        let id = self.state(state, [HEADER.saturating_add(count_of(classes))]);
        self.append(state, op, &[logits, target], &[id])?;
        Ok(())
    }
}

impl Operation for AccumulateConfusion {
    fn name(&self) -> &'static str {
        "confusion"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[2])?;
        if self.top_k == 0 || u32::try_from(self.top_k).is_err() {
            return Err(Misfit::Attribute(format!("top_k must be 1 to 2^32 - 1, it is {}", self.top_k)));
        }
        let (logits, target) = (inputs[0], inputs[1]);
        match *logits.shape.dims() {
            [n, classes] if n * classes > 0 && logits.dtype == DType::F32 => {
                if target.shape.dims() == [n] && target.dtype == DType::I32 {
                    return Ok(Vec::new());
                }
                Err(Misfit::Shape(format!(
                    "target must be [N] of i32 for logits [N,classes]; logits {}, target {} of {:?}",
                    logits.shape, target.shape, target.dtype
                )))
            }
            _ => Err(Misfit::Shape(format!("logits must be f32 [N,classes], they are {}", logits.shape))),
        }
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let [rows, classes, ..] = lowering.input_dims(0);
        let params = Params { rows, classes, ignore_index: self.ignore_index, top_k: self.top_k as u32 };
        let (logits, target, state) = (lowering.input(0), lowering.input(1), lowering.update(0));
        let counts = match has_matrix(classes as usize) {
            true => source!("count/confusion_matrix.wgsl"),
            false => source!("count/confusion_by_class.wgsl"),
        };
        let files = [source!("count/confusion.wgsl"), counts, source!("lib/row.wgsl")];
        lowering.push(
            of_rows(lowering.caps(), ("confusion", &files), [rows, classes], [1, 1], &params)
                .bind("logits", logits)
                .bind("targets", target)
                .bind("state", state),
        );
        Ok(())
    }
}

/// Counts of predictions over everything since the state was cleared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confusion {
    /// Number of classes.
    pub classes: usize,
    /// Counts [classes, classes], a row per true class, a column per predicted class: scikit-learn's confusion_matrix.
    /// For more than [`MOST_CLASSES`] classes [3, classes]: the correct predictions of each class, its targets, its
    /// predictions.
    pub counts: Vec<u64>,
    /// The k of `top_k_right`; 0 if nothing has been counted yet.
    pub top_k: usize,
    /// Number of targets among the k largest logits.
    pub top_k_right: u64,
    /// Number of non-negative targets that are no class. They are in no other count, and their loss is NaN.
    pub unknown: u64,
}

/// The counts of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassCounts {
    /// Number of its targets that were predicted as the class.
    pub correct: u64,
    /// Number of its targets: scikit-learn's support.
    pub support: u64,
    /// Number of predictions of the class.
    pub predicted: u64,
}

impl ClassCounts {
    /// Fraction of the predictions that are correct; `None` if there are none, for which scikit-learn returns 0 with a
    /// warning.
    pub fn precision(&self) -> Option<f64> {
        ratio(self.correct, self.predicted)
    }

    /// Fraction of the targets that were predicted; `None` if there are none, for which scikit-learn returns 0 with a
    /// warning.
    pub fn recall(&self) -> Option<f64> {
        ratio(self.correct, self.support)
    }

    /// Harmonic mean of precision and recall, 2 correct / (targets + predictions). `None` if the class was neither a
    /// target nor predicted, and 0 if it was only one of the two.
    pub fn f1(&self) -> Option<f64> {
        ratio(self.correct.saturating_mul(2), self.support.saturating_add(self.predicted))
    }
}

/// A pair of a true class and a wrong prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The true class.
    pub actual: usize,
    /// The predicted class.
    pub predicted: usize,
    /// Number of times.
    pub count: u64,
}

impl Confusion {
    /// Reads the state's words, which are u32 values in the bits of f32.
    pub fn from_state(state: &[f32]) -> Self {
        let word = |i: usize| state.get(i).map_or(0, |bits| u64::from(bits.to_bits()));
        let len = state.len().saturating_sub(HEADER);
        let classes = if word(3) > 0 { len / 3 } else { len.isqrt() };
        Confusion {
            classes,
            counts: (0..count_of(classes).min(len)).map(|i| word(HEADER + i)).collect(),
            top_k: word(1) as usize,
            top_k_right: word(0),
            unknown: word(2),
        }
    }

    /// True if the confusion matrix was counted, and not only the counts of each class.
    pub fn has_matrix(&self) -> bool {
        has_matrix(self.classes)
    }

    /// Number of predictions of class `predicted` for targets of class `actual`; 0 if either is no class, or without a
    /// [matrix](Self::has_matrix).
    pub fn get(&self, actual: usize, predicted: usize) -> u64 {
        if predicted >= self.classes || !self.has_matrix() {
            return 0;
        }
        self.counts.get(actual * self.classes + predicted).copied().unwrap_or(0)
    }

    /// The counts of every class.
    pub fn by_class(&self) -> Vec<ClassCounts> {
        let mut found = vec![ClassCounts::default(); self.classes];
        if !self.has_matrix() {
            let count = |row: usize, class: usize| self.counts.get(row * self.classes + class).copied().unwrap_or(0);
            for (class, of) in found.iter_mut().enumerate() {
                *of = ClassCounts { correct: count(0, class), support: count(1, class), predicted: count(2, class) };
            }
            return found;
        }
        for (actual, row) in self.counts.chunks(self.classes.max(1)).enumerate().take(self.classes) {
            for (predicted, &count) in row.iter().enumerate() {
                found[actual].support = found[actual].support.saturating_add(count);
                found[predicted].predicted = found[predicted].predicted.saturating_add(count);
            }
            found[actual].correct = row.get(actual).copied().unwrap_or(0);
        }
        found
    }

    /// The counts of one class; zeros if it is no class.
    fn of_class(&self, class: usize) -> ClassCounts {
        if class >= self.classes || !self.has_matrix() {
            return self.by_class().get(class).copied().unwrap_or_default();
        }
        let sum = |counts: &mut dyn Iterator<Item = u64>| counts.fold(0, u64::saturating_add);
        ClassCounts {
            correct: self.get(class, class),
            support: sum(&mut (0..self.classes).map(|other| self.get(class, other))),
            predicted: sum(&mut (0..self.classes).map(|other| self.get(other, class))),
        }
    }

    /// Number of counted targets.
    pub fn count(&self) -> u64 {
        self.by_class().iter().fold(0, |sum, of| sum.saturating_add(of.support))
    }

    /// Number of correct predictions.
    pub fn right(&self) -> u64 {
        self.by_class().iter().fold(0, |sum, of| sum.saturating_add(of.correct))
    }

    /// Number of targets of `class`: scikit-learn's support.
    pub fn support(&self, class: usize) -> u64 {
        self.of_class(class).support
    }

    /// Number of predictions of `class`.
    pub fn predicted(&self, class: usize) -> u64 {
        self.of_class(class).predicted
    }

    /// Fraction of correct predictions, 0 to 1; `None` if nothing was counted.
    pub fn accuracy(&self) -> Option<f64> {
        ratio(self.right(), self.count())
    }

    /// Fraction of targets among the k largest logits, 0 to 1; `None` if nothing was counted.
    pub fn top_k_accuracy(&self) -> Option<f64> {
        ratio(self.top_k_right, self.count())
    }

    /// The [precision](ClassCounts::precision) of `class`.
    pub fn precision(&self, class: usize) -> Option<f64> {
        self.of_class(class).precision()
    }

    /// The [recall](ClassCounts::recall) of `class`.
    pub fn recall(&self, class: usize) -> Option<f64> {
        self.of_class(class).recall()
    }

    /// The [F1](ClassCounts::f1) of `class`.
    pub fn f1(&self, class: usize) -> Option<f64> {
        self.of_class(class).f1()
    }

    /// Mean [`f1`](Self::f1) of the classes that have one: scikit-learn's f1_score with average="macro".
    pub fn macro_f1(&self) -> Option<f64> {
        self.mean(ClassCounts::f1)
    }

    /// Mean [`recall`](Self::recall) of the classes that have one: scikit-learn's balanced_accuracy_score.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        self.mean(ClassCounts::recall)
    }

    fn mean(&self, of_class: impl Fn(&ClassCounts) -> Option<f64>) -> Option<f64> {
        let values: Vec<f64> = self.by_class().iter().filter_map(of_class).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// The classes with targets, none of which was predicted right: those of recall 0.
    pub fn never_right(&self) -> Vec<usize> {
        let counts = self.by_class().into_iter().enumerate();
        counts.filter(|(_, of)| of.support > 0 && of.correct == 0).map(|(class, _)| class).collect()
    }

    /// Returns up to `most` mistakes that occurred, the most frequent first; ties are in order of the classes. None
    /// without a [matrix](Self::has_matrix).
    pub fn most_confused(&self, most: usize) -> Vec<Mistake> {
        let matrix = if self.has_matrix() { &self.counts[..] } else { &[] };
        let counted = matrix.iter().enumerate().filter(|(_, count)| **count > 0);
        let mut mistakes: Vec<Mistake> = counted
            .map(|(i, &count)| Mistake { actual: i / self.classes, predicted: i % self.classes, count })
            .filter(|mistake| mistake.actual != mistake.predicted)
            .collect();
        mistakes.sort_by_key(|mistake| std::cmp::Reverse(mistake.count));
        mistakes.truncate(most);
        mistakes
    }
}

fn ratio(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

impl Twin for AccumulateConfusion {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let classes = inputs.dims(0)[1];
        let state = outputs.update(0);
        // A word of the state is a u32 in the bits of an f32, which f64 also holds exactly.
        let word = |x: R| (x.to_f64() as f32).to_bits();
        let real = |word: u32| R::of(f64::from(f32::from_bits(word)));
        let count = |place: &mut R| *place = real(word(*place).wrapping_add(1));
        state[1] = real(self.top_k as u32);
        if !has_matrix(classes) {
            state[3] = real(classes as u32);
        }
        for (logits, &target) in inputs.real(0).chunks(classes).zip(inputs.ints(1)) {
            let Ok(class) = usize::try_from(target) else { continue };
            if target == self.ignore_index {
                continue;
            }
            let Some(&own) = logits.get(class) else {
                count(&mut state[2]);
                continue;
            };
            let mut best = 0;
            for (c, &x) in logits.iter().enumerate() {
                if x > logits[best] {
                    best = c;
                }
            }
            if has_matrix(classes) {
                count(&mut state[HEADER + class * classes + best]);
            } else {
                if class == best {
                    count(&mut state[HEADER + class]);
                }
                count(&mut state[HEADER + classes + class]);
                count(&mut state[HEADER + 2 * classes + best]);
            }
            let is_nan = |x: R| x.to_f64().is_nan();
            let greater = logits.iter().filter(|&&x| is_nan(x) || x > own).count();
            if !is_nan(own) && greater < self.top_k {
                count(&mut state[0]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows are cat, dog, bird, fish. Bird is never predicted, and there is no fish.
    fn animals() -> Confusion {
        let words = [12_u32, 2, 0, 0, 5, 1, 0, 0, 2, 4, 0, 1, 0, 3, 0, 0, 0, 0, 0, 0];
        let state: Vec<f32> = words.iter().map(|&word| f32::from_bits(word)).collect();
        Confusion::from_state(&state)
    }

    /// Computed by hand, and by scikit-learn's precision_recall_fscore_support with zero_division=nan.
    #[test]
    fn shares_are_scikit_learns() {
        let confusion = animals();
        assert_eq!((confusion.classes, confusion.count(), confusion.top_k), (4, 16, 2));
        assert_eq!(confusion.accuracy(), Some(9.0 / 16.0));
        assert_eq!(confusion.top_k_accuracy(), Some(0.75));
        let all = |of: fn(&Confusion, usize) -> Option<f64>| [0, 1, 2, 3].map(|class| of(&confusion, class));
        assert_eq!(all(Confusion::precision), [Some(5.0 / 7.0), Some(0.5), None, Some(0.0)]);
        assert_eq!(all(Confusion::recall), [Some(5.0 / 6.0), Some(4.0 / 7.0), Some(0.0), None]);
        assert_eq!(all(Confusion::f1), [Some(10.0 / 13.0), Some(8.0 / 15.0), Some(0.0), Some(0.0)]);
        assert_eq!([0, 1, 2, 3].map(|class| confusion.support(class)), [6, 7, 3, 0]);
        assert_eq!([0, 1, 2, 3].map(|class| confusion.predicted(class)), [7, 8, 0, 1]);
        assert_eq!(confusion.macro_f1(), Some((10.0 / 13.0 + 8.0 / 15.0) / 4.0));
        assert_eq!(confusion.balanced_accuracy(), Some((5.0 / 6.0 + 4.0 / 7.0) / 3.0));
    }

    #[test]
    fn mistakes_come_by_their_number_and_then_by_class() {
        let found: Vec<_> = animals().most_confused(3).iter().map(|m| (m.actual, m.predicted, m.count)).collect();
        assert_eq!(found, [(2, 1, 3), (1, 0, 2), (0, 1, 1)]);
        assert_eq!(animals().most_confused(9).len(), 4);
        assert_eq!(animals().get(4, 0) + animals().get(0, 4), 0, "what is no class");
    }

    #[test]
    fn nothing_counted_has_no_share() {
        for state in [vec![], vec![0.0; HEADER], vec![0.0; HEADER + 9]] {
            let confusion = Confusion::from_state(&state);
            assert_eq!((confusion.accuracy(), confusion.top_k_accuracy(), confusion.f1(0)), (None, None, None));
            assert_eq!((confusion.macro_f1(), confusion.most_confused(5)), (None, Vec::new()));
        }
    }

    /// What follows from the counts of each class is what follows from the matrix.
    #[test]
    fn without_a_matrix_the_figures_of_classes_remain() {
        let classes = MOST_CLASSES + 1;
        let mut state = vec![0.0; HEADER + 3 * classes];
        let mut set = |i: usize, word: usize| state[i] = f32::from_bits(word as u32);
        set(3, classes);
        for (class, of) in animals().by_class().into_iter().enumerate() {
            for (row, count) in [of.correct, of.support, of.predicted].into_iter().enumerate() {
                set(HEADER + row * classes + class, count as usize);
            }
        }
        let (many, matrix) = (Confusion::from_state(&state), animals());
        assert_eq!((many.classes, many.has_matrix(), matrix.has_matrix()), (classes, false, true));
        assert_eq!((many.accuracy(), many.macro_f1()), (matrix.accuracy(), matrix.macro_f1()));
        assert_eq!((many.balanced_accuracy(), many.count()), (matrix.balanced_accuracy(), 16));
        assert_eq!(
            (many.recall(1), many.precision(1), many.f1(2)),
            (matrix.recall(1), matrix.precision(1), matrix.f1(2))
        );
        assert_eq!((many.never_right(), matrix.never_right()), (vec![2], vec![2]));
        assert_eq!((many.get(0, 0), many.most_confused(3)), (0, Vec::new()));
    }

    #[test]
    fn counts_are_whole_words() {
        let state: Vec<f32> = [1, 1, 0, 0, u32::MAX].map(f32::from_bits).to_vec();
        assert_eq!(Confusion::from_state(&state).counts, [u64::from(u32::MAX)]);
    }
}

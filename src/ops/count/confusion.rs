//! The confusion matrix and the count of top-k correct predictions, which stay on the device until they are read.

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

/// Number of words before the matrix: top-k correct predictions, k, targets that are no class, one unused.
pub(crate) const HEADER: usize = 4;

params! {
    /// Extents and attributes.
    pub(crate) struct Params { rows: u32, classes: u32, ignore_index: i32, top_k: u32 }
}

impl Tape {
    /// Adds each step's predictions to the state called `state`, which [`Confusion::from_state`] converts to a matrix.
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
        let id = self.state(state, [HEADER + classes.saturating_mul(classes)]);
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
        let files = [source!("count/confusion.wgsl"), source!("lib/row.wgsl")];
        lowering.push(
            of_rows(lowering.caps(), ("confusion", &files), [rows, classes], [1, 1], &params)
                .bind("logits", logits)
                .bind("targets", target)
                .bind("state", state),
        );
        Ok(())
    }
}

/// Confusion matrix over everything since the state was cleared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confusion {
    /// Number of classes.
    pub classes: usize,
    /// Counts [classes, classes], a row per true class, a column per predicted class: scikit-learn's confusion_matrix.
    pub counts: Vec<u64>,
    /// The k of `top_k_right`; 0 if nothing has been counted yet.
    pub top_k: usize,
    /// Number of targets among the k largest logits.
    pub top_k_right: u64,
    /// Number of non-negative targets that are no class. They are in no other count, and their loss is NaN.
    pub unknown: u64,
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
        let classes = state.len().saturating_sub(HEADER).isqrt();
        Confusion {
            classes,
            counts: (0..classes * classes).map(|i| word(HEADER + i)).collect(),
            top_k: word(1) as usize,
            top_k_right: word(0),
            unknown: word(2),
        }
    }

    /// Number of predictions of class `predicted` for targets of class `actual`; 0 if either is no class.
    pub fn get(&self, actual: usize, predicted: usize) -> u64 {
        if predicted >= self.classes {
            return 0;
        }
        self.counts.get(actual * self.classes + predicted).copied().unwrap_or(0)
    }

    /// Number of counted targets.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Number of targets of `class`: scikit-learn's support.
    pub fn support(&self, class: usize) -> u64 {
        (0..self.classes).map(|predicted| self.get(class, predicted)).sum()
    }

    /// Number of predictions of `class`.
    pub fn predicted(&self, class: usize) -> u64 {
        (0..self.classes).map(|actual| self.get(actual, class)).sum()
    }

    /// Fraction of correct predictions, 0 to 1; `None` if nothing was counted.
    pub fn accuracy(&self) -> Option<f64> {
        ratio((0..self.classes).map(|class| self.get(class, class)).sum(), self.count())
    }

    /// Fraction of targets among the k largest logits, 0 to 1; `None` if nothing was counted.
    pub fn top_k_accuracy(&self) -> Option<f64> {
        ratio(self.top_k_right, self.count())
    }

    /// Fraction of the predictions of `class` that are correct; `None` if it was never predicted, for which
    /// scikit-learn returns 0 with a warning.
    pub fn precision(&self, class: usize) -> Option<f64> {
        ratio(self.get(class, class), self.predicted(class))
    }

    /// Fraction of the targets of `class` that were predicted; `None` if it has no targets, for which scikit-learn
    /// returns 0 with a warning.
    pub fn recall(&self, class: usize) -> Option<f64> {
        ratio(self.get(class, class), self.support(class))
    }

    /// Harmonic mean of precision and recall, 2 correct / (targets + predictions). `None` if `class` was neither a
    /// target nor predicted, and 0 if it was only one of the two.
    pub fn f1(&self, class: usize) -> Option<f64> {
        ratio(2 * self.get(class, class), self.support(class) + self.predicted(class))
    }

    /// Mean [`f1`](Self::f1) of the classes that have one: scikit-learn's f1_score with average="macro".
    pub fn macro_f1(&self) -> Option<f64> {
        self.mean(|class| self.f1(class))
    }

    /// Mean [`recall`](Self::recall) of the classes that have one: scikit-learn's balanced_accuracy_score.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        self.mean(|class| self.recall(class))
    }

    fn mean(&self, of_class: impl Fn(usize) -> Option<f64>) -> Option<f64> {
        let values: Vec<f64> = (0..self.classes).filter_map(of_class).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// Returns up to `most` mistakes that occurred, the most frequent first; ties are in order of the classes.
    pub fn most_confused(&self, most: usize) -> Vec<Mistake> {
        let pairs = (0..self.classes).flat_map(|actual| (0..self.classes).map(move |predicted| (actual, predicted)));
        let mut mistakes: Vec<Mistake> = pairs
            .filter(|(actual, predicted)| actual != predicted)
            .map(|(actual, predicted)| Mistake { actual, predicted, count: self.get(actual, predicted) })
            .filter(|mistake| mistake.count > 0)
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
            count(&mut state[HEADER + class * classes + best]);
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

    #[test]
    fn counts_are_whole_words() {
        let state: Vec<f32> = [1, 1, 0, 0, u32::MAX].map(f32::from_bits).to_vec();
        assert_eq!(Confusion::from_state(&state).counts, [u64::from(u32::MAX)]);
    }
}

//! Predictions for labelled images, one by one: their order by loss and by confidence, and their CSV file.

use std::cmp::Ordering;
use std::path::Path;

use crate::data::Dataset;
use crate::error::{Error, Result, printable};
use crate::files::write_whole;

/// What a network predicts for one labelled image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// Index of the image in its data set.
    pub image: usize,
    /// The true class.
    pub truth: usize,
    /// The most probable class, the first among equals.
    pub predicted: usize,
    /// Probability of the predicted class.
    pub probability: f64,
    /// Cross-entropy of the true class, as `torch.nn.functional.cross_entropy` defines it.
    pub loss: f64,
}

impl Prediction {
    /// Computes the prediction for image `image` from its logits, in f64.
    ///
    /// The loss comes from the logits and not from a probability, which may be too small for a number. It is infinite
    /// only where the logit of the true class is. [`Error::Config`] if there is no class `truth`, or if the softmax of
    /// the logits is NaN.
    pub fn of(image: usize, truth: usize, logits: &[f32]) -> Result<Self> {
        let wrong = |message: String| Err(Error::config("logits", message));
        let Some(&target) = logits.get(truth) else {
            return wrong(format!("of image {image} are {}, there is no class {truth}", logits.len()));
        };
        let Some(log_sum) = log_sum_exp(logits) else {
            return wrong(format!(
                "of image {image} have no softmax: {} of {} are NaN or infinite",
                odd(logits),
                logits.len()
            ));
        };
        let best = |best: usize, class: usize| if logits[class] > logits[best] { class } else { best };
        let predicted = (0..logits.len()).reduce(best).unwrap_or(0);
        let probability = (f64::from(logits[predicted]) - log_sum).exp();
        // Rounding must not make a loss negative.
        let loss = (log_sum - f64::from(target)).max(0.0);
        Ok(Prediction { image, truth, predicted, probability, loss })
    }

    /// True if the predicted class is the true one.
    pub fn is_right(&self) -> bool {
        self.predicted == self.truth
    }
}

/// Number of values that are NaN or infinite.
fn odd(logits: &[f32]) -> usize {
    logits.iter().filter(|logit| !logit.is_finite()).count()
}

/// Logarithm of the sum of exp(x). `None` if there is no softmax: a logit is NaN or infinity, or all are minus infinity.
pub(crate) fn log_sum_exp(logits: &[f32]) -> Option<f64> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if !most.is_finite() || logits.iter().any(|logit| logit.is_nan()) {
        return None;
    }
    let most = f64::from(most);
    Some(most + logits.iter().map(|&x| (f64::from(x) - most).exp()).sum::<f64>().ln())
}

/// Sorts by `order`, and equal ones by image.
fn sorted(
    predictions: impl Iterator<Item = Prediction>,
    order: fn(&Prediction, &Prediction) -> Ordering,
) -> Vec<Prediction> {
    let mut sorted: Vec<Prediction> = predictions.collect();
    sorted.sort_by(|a, b| order(a, b).then(a.image.cmp(&b.image)));
    sorted
}

/// Sorts by loss, largest first.
pub fn by_loss(predictions: &[Prediction]) -> Vec<Prediction> {
    sorted(predictions.iter().copied(), |a, b| b.loss.total_cmp(&a.loss))
}

/// Returns the wrong predictions, most confident first.
pub fn mistakes(predictions: &[Prediction]) -> Vec<Prediction> {
    let wrong = predictions.iter().copied().filter(|prediction| !prediction.is_right());
    sorted(wrong, |a, b| b.probability.total_cmp(&a.probability))
}

/// Formats predictions as CSV, a line an image in the given order: path, truth, prediction, probability, loss.
///
/// An image without a file has its index for a path, and a class without a name in `names` its number. Control
/// characters of names are escaped ([`printable`]), so that an image is a line.
pub fn to_csv(predictions: &[Prediction], images: &dyn Dataset, names: &[String]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: &dyn std::fmt::Display| Error::config("predictions", format!("cannot be written: {error}"));
    writer.write_record(["path", "truth", "prediction", "probability", "loss"]).map_err(|error| failed(&error))?;
    let class = |class: usize| names.get(class).map_or(class.to_string(), printable);
    for Prediction { image, truth, predicted, probability, loss } in predictions {
        let path = images.path(*image).map_or(image.to_string(), printable);
        // The shortest texts from which f32 is restored.
        let [probability, loss] = [probability, loss].map(|value| format!("{:?}", *value as f32));
        let record = [path, class(*truth), class(*predicted), probability, loss];
        writer.write_record(record).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}

/// Writes [`to_csv`] to the file at `path`, completely or not at all.
pub fn write_csv(path: &Path, predictions: &[Prediction], images: &dyn Dataset, names: &[String]) -> Result<()> {
    write_whole(path, to_csv(predictions, images, names)?.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_comes_from_the_logits() {
        let of = |truth, logits: &[f32]| Prediction::of(7, truth, logits).unwrap();
        // The probability of the true class is too small for a number, its loss is not.
        let found = of(1, &[1e4, -1e4]);
        assert_eq!((found.predicted, found.probability, found.loss), (0, 1.0, 2e4));
        // F.cross_entropy of [2, -inf, 0] and its like.
        assert!((of(0, &[2.0, f32::NEG_INFINITY, 0.0]).loss - 0.126_928_011_042_972_6).abs() < 1e-12);
        assert_eq!(of(1, &[2.0, f32::NEG_INFINITY, 0.0]).loss, f64::INFINITY);
        assert_eq!(of(0, &[3e38, -3e38, 0.0]).loss, 0.0);
        assert_eq!(of(2, &[1.0; 3]).predicted, 0, "the first among equals");
        for logits in [[f32::NAN, 0.0], [f32::INFINITY, 0.0], [f32::NEG_INFINITY; 2]] {
            assert!(Prediction::of(7, 0, &logits).unwrap_err().to_string().contains("image 7"));
        }
        assert!(Prediction::of(7, 2, &[0.0; 2]).unwrap_err().to_string().contains("no class 2"));
    }
}

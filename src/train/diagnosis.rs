//! Whether a run looks underfitted, overfitted or well fitted, and from which numbers.
//!
//! Underfitted: training and validation are both poor and close together, so the model or its training is too weak.
//! Overfitted: training is much better than validation, or the validation loss has turned upward while the training loss
//! still falls. Source of the terms: Dive into Deep Learning, chapter 3.6.

use std::fmt;

use super::Epoch;

/// Validation accuracy below which a run that does not overfit is called underfitted.
const POOR: f64 = 0.9;
/// Distance of training and validation accuracy above which a run is called overfitted.
const GAP: f64 = 0.05;
/// How much the validation loss may rise above its best, as a part of it ..
const RISE: f64 = 0.25;
/// .. and at all: a rise among tiny losses is chance.
const RISE_AT_LEAST: f64 = 0.05;

/// How a model fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Poor on what it was trained on.
    Under,
    /// Much better on what it was trained on than on the rest.
    Over,
    /// Neither.
    Well,
}

/// How a model fits, and the numbers that say so.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnosis {
    /// The verdict.
    pub fit: Fit,
    /// The numbers, and what they are held against.
    pub reason: String,
}

impl Diagnosis {
    /// Of a run's epochs; `None` if there are none.
    pub fn new(epochs: &[Epoch]) -> Option<Self> {
        let last = epochs.last()?;
        let (train, validation) = (last.train_accuracy, last.validation_accuracy);
        let best = epochs.iter().min_by(|a, b| a.validation_loss.total_cmp(&b.validation_loss))?;
        let rise = last.validation_loss / best.validation_loss - 1.0;
        let diagnosis = if train - validation > GAP {
            Diagnosis {
                fit: Fit::Over,
                reason: format!(
                    "training accuracy {train:.3} is {:.3} above validation accuracy {validation:.3} (limit {GAP})",
                    train - validation
                ),
            }
        } else if rise > RISE
            && last.validation_loss - best.validation_loss > RISE_AT_LEAST
            && last.train_loss < best.train_loss
        {
            Diagnosis {
                fit: Fit::Over,
                reason: format!(
                    "validation loss {:.4} has risen {:.0}% above its best, {:.4} in epoch {} (limit {:.0}%), while training loss fell to {:.4}",
                    last.validation_loss,
                    rise * 100.0,
                    best.validation_loss,
                    best.epoch,
                    RISE * 100.0,
                    last.train_loss
                ),
            }
        } else if validation < POOR {
            Diagnosis {
                fit: Fit::Under,
                reason: format!(
                    "validation accuracy {validation:.3} is below {POOR} and training accuracy {train:.3} not much better"
                ),
            }
        } else {
            Diagnosis {
                fit: Fit::Well,
                reason: format!(
                    "training accuracy {train:.3} is not more than {GAP} above validation accuracy {validation:.3}, and validation loss {:.4} is near its best, {:.4}",
                    last.validation_loss, best.validation_loss
                ),
            }
        };
        Some(diagnosis)
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fit = match self.fit {
            Fit::Under => "underfitted",
            Fit::Over => "overfitted",
            Fit::Well => "well fitted",
        };
        write!(f, "{fit}: {}", self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(epoch: usize, train: (f64, f64), validation: (f64, f64)) -> Epoch {
        Epoch {
            epoch,
            train_loss: train.0,
            train_accuracy: train.1,
            validation_loss: validation.0,
            validation_accuracy: validation.1,
            lr: 0.1,
            seconds: 1.0,
            images_per_second: 1.0,
        }
    }

    #[test]
    fn each_verdict_has_its_numbers() {
        let of = |epochs: &[Epoch]| Diagnosis::new(epochs).map(|d| (d.fit, d.to_string()));
        let (fit, text) = of(&[epoch(1, (1.2, 0.55), (1.25, 0.54))]).unwrap();
        assert_eq!(fit, Fit::Under);
        assert!(text.starts_with("underfitted: validation accuracy 0.540"), "{text}");
        let (fit, text) = of(&[epoch(1, (0.01, 0.999), (0.4, 0.9))]).unwrap();
        assert_eq!(fit, Fit::Over);
        assert!(text.contains("0.099"), "{text}");
        let turned = [epoch(1, (0.2, 0.95), (0.1, 0.97)), epoch(2, (0.05, 0.99), (0.2, 0.96))];
        let (fit, text) = of(&turned).unwrap();
        assert_eq!(fit, Fit::Over);
        assert!(text.contains("100%") && text.contains("epoch 1"), "{text}");
        assert_eq!(of(&[epoch(1, (0.05, 0.985), (0.06, 0.98))]).unwrap().0, Fit::Well);
        let tiny = [epoch(1, (0.02, 0.995), (0.009, 0.998)), epoch(2, (0.01, 0.997), (0.014, 0.997))];
        assert_eq!(of(&tiny).unwrap().0, Fit::Well);
        assert_eq!(of(&[]), None);
    }
}

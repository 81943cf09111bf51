//! The history of a run: a record for each epoch, and times.

use crate::plan::Memory;

/// One pass over the training images and the validation after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Epoch {
    /// The epoch's number, from 1.
    pub epoch: usize,
    /// Mean loss over the epoch's training steps, while the weights changed.
    pub train_loss: f64,
    /// Share of correct predictions in those steps, 0 to 1; NaN for a loss without classes.
    pub train_accuracy: f64,
    /// Mean loss over the validation images, with the weights at the epoch's end.
    pub validation_loss: f64,
    /// Share of correct predictions over the validation images, 0 to 1; NaN for a loss without classes.
    pub validation_accuracy: f64,
    /// The learning rate of the epoch's last step.
    pub lr: f64,
    /// Seconds for training and validation.
    pub seconds: f64,
    /// Images per second of training alone.
    pub images_per_second: f64,
    /// The metrics of the loss, by name.
    pub metrics: Vec<Measured>,
}

impl Epoch {
    /// True unless there were no images to validate with.
    pub fn is_validated(&self) -> bool {
        !(self.validation_loss.is_nan() && self.validation_accuracy.is_nan())
    }
}

/// A metric's means over an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The metric's name, from [`super::Loss::metrics`].
    pub name: String,
    /// Mean over the training steps, while the weights changed.
    pub train: f64,
    /// Mean over the validation images, with the weights at the epoch's end.
    pub validation: f64,
}

/// A whole run.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The epochs in order.
    pub epochs: Vec<Epoch>,
    /// The loss of every step.
    pub losses: Vec<f32>,
    /// Total number of steps.
    pub steps: usize,
    /// Total seconds.
    pub seconds: f64,
    /// Time of the first step, with all compilation that it needs.
    pub first_step_ms: f64,
    /// Median time of all other steps.
    pub median_step_ms: f64,
    /// Device memory that the training program needs, if planned.
    pub memory: Option<Memory>,
    /// True if a non-finite loss has been reported.
    pub(super) warned: bool,
}

impl History {
    /// Returns the epochs as comma-separated values with a header line: losses and accuracies, the rate, the metrics of
    /// the loss if any, and in the last two columns the times.
    pub fn to_csv(&self) -> String {
        let names = self.epochs.first().map_or(&[][..], |epoch| &epoch.metrics);
        let metrics: String =
            names.iter().map(|metric| format!("train_{name},validation_{name},", name = metric.name)).collect();
        let mut text = format!(
            "epoch,train_loss,train_accuracy,validation_loss,validation_accuracy,lr,{metrics}seconds,images_per_second\n",
        );
        for epoch in &self.epochs {
            let metrics: String =
                epoch.metrics.iter().map(|metric| format!("{:.9},{:.9},", metric.train, metric.validation)).collect();
            text += &format!(
                "{},{:.9},{:.6},{:.9},{:.6},{},{metrics}{:.3},{:.1}\n",
                epoch.epoch,
                epoch.train_loss,
                epoch.train_accuracy,
                epoch.validation_loss,
                epoch.validation_accuracy,
                epoch.lr,
                epoch.seconds,
                epoch.images_per_second
            );
        }
        text
    }

    /// Returns the loss of every step as comma-separated values with a header line.
    pub fn losses_to_csv(&self) -> String {
        let lines = self.losses.iter().enumerate().map(|(i, loss)| format!("{},{loss:.9}\n", i + 1));
        std::iter::once("step,loss\n".to_string()).chain(lines).collect()
    }
}

//! What a run was like: a record an epoch, and its times.

use crate::plan::Memory;

/// One pass over the training images and the validation after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Epoch {
    /// From 1.
    pub epoch: usize,
    /// Mean over the epoch's training steps, while the weights moved.
    pub train_loss: f64,
    /// Share of right predictions in those steps, 0 to 1; NaN where the loss knows no classes.
    pub train_accuracy: f64,
    /// Over the validation images, with the weights at the epoch's end.
    pub validation_loss: f64,
    /// Share of right predictions over the validation images, 0 to 1; NaN where the loss knows no classes.
    pub validation_accuracy: f64,
    /// The learning rate of the epoch's last step.
    pub lr: f64,
    /// Training and validation.
    pub seconds: f64,
    /// Training alone.
    pub images_per_second: f64,
    /// What the loss measures beside itself, by name.
    pub metrics: Vec<Measured>,
}

/// A metric's means over an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Its name, as [`super::Loss::metrics`] has it.
    pub name: String,
    /// Over the training steps, while the weights moved.
    pub train: f64,
    /// Over the validation images, with the weights at the epoch's end.
    pub validation: f64,
}

/// A whole run.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The epochs in order.
    pub epochs: Vec<Epoch>,
    /// The loss of every step.
    pub losses: Vec<f32>,
    /// Steps in all.
    pub steps: usize,
    /// Seconds in all.
    pub seconds: f64,
    /// The first step, with the compilation of everything that it needs.
    pub first_step_ms: f64,
    /// The median of all others.
    pub median_step_ms: f64,
    /// What the training program needs of the device's memory, where that is planned.
    pub memory: Option<Memory>,
    /// Whether a loss that was not finite has been told of.
    pub(super) warned: bool,
}

impl History {
    /// The epochs as comma-separated values with a header line: losses and accuracies, the rate, the metrics of the loss where it
    /// has any, and in the last two columns the times.
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

    /// The loss of every step as comma-separated values with a header line.
    pub fn losses_to_csv(&self) -> String {
        let lines = self.losses.iter().enumerate().map(|(i, loss)| format!("{},{loss:.9}\n", i + 1));
        std::iter::once("step,loss\n".to_string()).chain(lines).collect()
    }
}

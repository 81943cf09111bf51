//! What a run has come to, for people and as files.

use std::path::Path;

use tilegrad::Result;
use tilegrad::files::write_whole;
use tilegrad::ops::confusion::Confusion;
use tilegrad::ops::metrics::Metrics;
use tilegrad::train::{Diagnosis, History, Trainer};

use super::{Options, files};

/// What a run has come to.
pub struct Results {
    /// Over the test images.
    pub tested: Metrics,
    /// Over the same.
    pub confusion: Confusion,
    pub history: History,
    /// Numbers in the model's parameters.
    pub parameters: usize,
    /// Numbers in those that are trained.
    pub trained: usize,
    pub class_names: Vec<String>,
}

impl Results {
    /// Prints test, verdict and times.
    pub fn say(&self, options: &Options) {
        let Results { tested, confusion, history, class_names, .. } = self;
        let (loss, accuracy) = (tested.loss, tested.accuracy * 100.0);
        let top5 = confusion.top_k_accuracy().filter(|_| class_names.len() > 10);
        let top5 = top5.map_or(String::new(), |share| format!(", among the first five {:.2}%", share * 100.0));
        options.say(format_args!("\ntest     loss {loss:.4}, accuracy {accuracy:.2}%{top5}"));
        if let Some(diagnosis) = Diagnosis::of_classes(&history.epochs, class_names.len()) {
            options.say(format_args!("fit      {diagnosis}"));
            diagnosis.advice.iter().for_each(|advice| options.say(format_args!("         try {advice}")));
        }
        options.say(format_args!(
            "time     {:.1} s, first step {:.0} ms, median step {:.2} ms",
            history.seconds, history.first_step_ms, history.median_step_ms
        ));
    }

    /// Writes the model, the confusion matrix and the kernels that were taken into the folder `dir`.
    pub fn write(&self, dir: &Path, trainer: &mut Trainer) -> Result<()> {
        trainer.save_model(&dir.join("model.safetensors"))?;
        files::write_confusion(dir, &self.confusion, &self.class_names)?;
        match trainer.engine().taken() {
            Some(taken) => write_whole(&dir.join("choices.json"), taken.to_json().as_bytes()),
            None => Ok(()),
        }
    }

    /// Writes the numbers of the run to `summary.json`, by which a folder is known to hold a run that has ended.
    pub fn write_summary(&self, dir: &Path, options: &Options, trainer: &mut Trainer) -> Result<()> {
        let Results { tested, confusion, history, .. } = self;
        let last = history.epochs.last();
        let summary = serde_json::json!({
            "adapter": trainer.engine().name(),
            "parameters": self.parameters,
            "trained_parameters": self.trained,
            "seed": options.seed,
            "epochs": history.epochs.len(),
            "steps": history.steps,
            "train_loss": last.map(|e| e.train_loss),
            "train_accuracy": last.map(|e| e.train_accuracy),
            "validation_loss": last.map(|e| e.validation_loss),
            "validation_accuracy": last.map(|e| e.validation_accuracy),
            "test_loss": tested.loss,
            "test_accuracy": tested.accuracy,
            "test_top5_accuracy": confusion.top_k_accuracy(),
            "test_balanced_accuracy": confusion.balanced_accuracy(),
            "seconds": history.seconds,
            "images_per_second": last.map(|e| e.images_per_second),
            "first_step_ms": history.first_step_ms,
            "median_step_ms": history.median_step_ms,
            "peak_gpu_bytes": history.memory.map_or(0, |memory| memory.total()),
        });
        write_whole(&dir.join("summary.json"), format!("{summary:#}\n").as_bytes())
    }
}

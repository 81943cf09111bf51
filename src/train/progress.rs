//! Progress of a run as lines of text: one for each epoch and, if wanted, one that is overwritten within an epoch.

use std::fmt;
use std::io::Write;

use super::event::{Event, Flow};
use super::history::Epoch;
use super::trainer::{Callback, Trainer};
use crate::error::Result;

/// The destination of the lines.
enum Sink {
    Lines(Box<dyn FnMut(&str) + Send>),
    Writer(Box<dyn Write + Send>),
    /// A writer that has failed, which does not end the run.
    Broken,
}

/// Reports the progress of a run. Each epoch gets a line with loss, accuracy if any, further metrics, images per
/// second, and an upper bound of the remaining time. Each fault gets a line too.
///
/// The library prints nothing, so a program chooses the destination of the lines:
///
/// ```
/// use std::sync::mpsc::channel;
/// use tilegrad::data::{ResidentSource, synthetic};
/// use tilegrad::nn::{Flatten, Linear, Sequential};
/// use tilegrad::optim::Sgd;
/// use tilegrad::train::{CpuEngine, Progress, TrainOptions, Trainer};
///
/// let (train, validation) = synthetic::digits(1, 200).split_validation(0.2, 1)?;
/// let (mut train, mut validation) = (ResidentSource::new("train", train), ResidentSource::new("validation", validation));
/// let model = Sequential::new().with("flatten", Flatten).with("fc", Linear::new(28 * 28, 10));
/// let options = TrainOptions::default().epochs(3).batch_size(32);
/// let mut trainer = Trainer::new(model, Sgd::new(0.05), CpuEngine::new(), options, &train)?;
///
/// trainer.on(Progress::to(std::io::stderr()));
/// let (send, receive) = channel();
/// trainer.on(Progress::lines(move |line| send.send(line.to_string()).unwrap_or_default()));
/// trainer.fit(&mut train, &mut validation)?;
/// let lines: Vec<String> = receive.try_iter().collect();
/// assert!(lines.len() == 3 && lines[0].starts_with("epoch 1/3  train loss") && lines[0].ends_with(" left"), "{lines:?}");
/// # Ok::<(), tilegrad::Error>(())
/// ```
pub struct Progress {
    sink: Sink,
    live: bool,
    /// Number of characters of the line to be overwritten.
    standing: usize,
}

impl Progress {
    /// Writes lines to `writer`, such as a terminal or a file. A failure is logged, and nothing more is written after
    /// it.
    pub fn to(writer: impl Write + Send + 'static) -> Self {
        Progress { sink: Sink::Writer(Box::new(writer)), live: false, standing: 0 }
    }

    /// Passes lines, without line ends, to `line`.
    pub fn lines(line: impl FnMut(&str) + Send + 'static) -> Self {
        Progress { sink: Sink::Lines(Box::new(line)), live: false, standing: 0 }
    }

    /// Sets whether each report within an epoch is also written, as a line that the next one overwrites [default:
    /// false]. The writer is not checked for being a terminal; use `.live(std::io::stderr().is_terminal())`.
    pub fn live(mut self, wanted: bool) -> Self {
        self.live = wanted;
        self
    }

    fn line(&mut self, text: &str) {
        match &mut self.sink {
            Sink::Lines(line) => line(text),
            Sink::Writer(_) => {
                let over = if self.standing > 0 { "\r" } else { "" };
                let text = format!("{over}{text:<width$}\n", width = self.standing);
                self.standing = 0;
                self.write(&text);
            }
            Sink::Broken => {}
        }
    }

    /// Writes a line that the next one overwrites.
    fn draw(&mut self, text: &str) {
        if self.live && matches!(self.sink, Sink::Writer(_)) {
            let over = format!("\r{text:<width$}", width = self.standing);
            self.standing = text.chars().count();
            self.write(&over);
        }
    }

    fn write(&mut self, text: &str) {
        if let Sink::Writer(writer) = &mut self.sink
            && let Err(error) = writer.write_all(text.as_bytes()).and_then(|()| writer.flush())
        {
            log::warn!("progress is not written any more: {error}");
            self.sink = Sink::Broken;
        }
    }
}

impl Callback for Progress {
    fn on_event(&mut self, event: &Event<'_>, trainer: &mut Trainer) -> Result<Flow> {
        let epochs = trainer.options().epochs;
        match event {
            Event::Progress { epoch, images, of, loss, accuracy, images_per_second } => {
                let done = (*epoch as f64 - 1.0) + *images as f64 / (*of).max(1) as f64;
                let accuracy = share(" accuracy", *accuracy);
                let left = left(trainer, done);
                self.draw(&format!(
                    "epoch {epoch}/{epochs}  {images} of {of}  loss {loss:.4}{accuracy}  {images_per_second:.0} images/s  {left}"
                ));
            }
            Event::Epoch(epoch) => {
                let (text, left) = (Numbers(epoch), left(trainer, epoch.epoch as f64));
                let (number, width) = (epoch.epoch, epochs.to_string().len());
                self.line(&format!("epoch {number:>width$}/{epochs}  {text}  {left}"));
            }
            Event::NonFinite(found) => self.line(&format!("warning: {found}")),
            Event::Renewed { reason, steps } => {
                self.line(&format!("warning: the device was lost ({reason}); a new one goes on from step {steps}"));
            }
            Event::End if self.standing > 0 => {
                // The run has ended within an epoch.
                self.standing = 0;
                self.write("\n");
            }
            _ => {}
        }
        Ok(Flow::Continue)
    }
}

/// The remaining time at the pace so far. Early stopping may end the run sooner.
fn left(trainer: &Trainer, done: f64) -> String {
    let epochs = trainer.options().epochs as f64;
    let seconds = trainer.run().seconds() / done * (epochs - done).max(0.0);
    format!("{} left", duration(seconds))
}

/// Formats seconds as 0:07, 12:05 or 3:00:00.
fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "?".into();
    }
    let seconds = seconds.round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// Formats a name and its share as a percentage. Empty if there is none, as in a regression.
fn share(name: &str, share: f64) -> String {
    if share.is_nan() { String::new() } else { format!("{name} {:.2}%", share * 100.0) }
}

/// The numbers of an epoch, without the epoch's own number.
struct Numbers<'a>(&'a Epoch);

impl fmt::Display for Numbers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let epoch = self.0;
        let [train, validation] =
            [epoch.train_accuracy, epoch.validation_accuracy].map(|value| share(" accuracy", value));
        write!(f, "train loss {:.4}{train}", epoch.train_loss)?;
        if epoch.is_validated() {
            write!(f, "  validation loss {:.4}{validation}", epoch.validation_loss)?;
        }
        for metric in &epoch.metrics {
            write!(f, "  {} {:.4}", metric.name, metric.train)?;
            if epoch.is_validated() {
                write!(f, " validation {:.4}", metric.validation)?;
            }
        }
        write!(f, "  {:.0} images/s", epoch.images_per_second)
    }
}

/// Formats one line: number, losses, accuracies if the loss has classes, further metrics, and images per second.
impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {:>3}  {}", self.epoch, Numbers(self))
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn times_are_short() {
        let texts = [0.4, 7.0, 725.0, 10_800.0, f64::NAN].map(duration);
        assert_eq!(texts, ["0:00", "0:07", "12:05", "3:00:00", "?"]);
    }
}

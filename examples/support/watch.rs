//! Callbacks during a run: a progress bar, lines, and Ctrl-C.

use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use tilegrad::Result;
use tilegrad::train::{Callback, Event, Flow, Trainer};

/// True once the user has interrupted the run.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Ends the run at the next update after an interrupt. A second interrupt ends the process at once.
pub fn catch_interrupts() {
    // Without a handler, an interrupt ends the process as usual.
    let _ = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!("\ninterrupted: the run ends after this step (once more ends it at once)");
    });
}

/// True if the user has interrupted the run.
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// A progress bar on a terminal, and a line for each epoch.
pub struct Progress {
    bar: ProgressBar,
    quiet: bool,
}

impl Progress {
    /// Creates the display for a run; nothing is shown if `quiet`.
    pub fn new(quiet: bool) -> Self {
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(0) };
        let style = "epoch {prefix} {bar:30} {pos}/{len} {msg}, {eta} left";
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Progress { bar, quiet }
    }

    fn say(&self, text: String) {
        if !self.quiet {
            self.bar.suspend(|| println!("{text}"));
        }
    }
}

impl Callback for Progress {
    fn on_event(&mut self, event: &Event<'_>, trainer: &mut Trainer) -> Result<Flow> {
        match event {
            Event::Ready(Some(memory)) => self.say(format!("memory   {memory}\n")),
            Event::Progress { epoch, images, of, loss, accuracy, images_per_second } => {
                if *images < self.bar.position() as usize {
                    self.bar.reset();
                }
                self.bar.set_length(*of as u64);
                self.bar.set_prefix(format!("{epoch}/{}", trainer.options().epochs));
                self.bar.set_position(*images as u64);
                let accuracy = accuracy * 100.0;
                self.bar
                    .set_message(format!("loss {loss:.4}, accuracy {accuracy:.1}%, {images_per_second:.0} images/s"));
            }
            Event::Epoch(epoch) => self.say(epoch.to_string()),
            Event::NonFinite(found) => self.bar.suspend(|| eprintln!("warning: {found}")),
            Event::Renewed { reason, steps } => {
                self.bar.suspend(|| {
                    eprintln!("warning: the device was lost ({reason}); a new one goes on from step {steps}")
                });
            }
            Event::End => self.bar.finish_and_clear(),
            _ => {}
        }
        // An interrupt ends the run between two updates.
        Ok(if is_interrupted() && matches!(event, Event::Step { .. }) { Flow::Stop } else { Flow::Continue })
    }
}

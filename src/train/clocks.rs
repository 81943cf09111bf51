//! How long a run and its present epoch have taken, interruptions left out.

use std::time::Instant;

/// When the run and its epoch began, as if there had been no interruption.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clocks {
    run: Option<Instant>,
    epoch: Option<Instant>,
    /// Seconds before that.
    before: [f64; 2],
    /// Whether the first step is done, so that the times of steps say something.
    pub warm: bool,
}

impl Clocks {
    /// Of the run.
    pub fn seconds(&self) -> f64 {
        self.before[0] + since(self.run)
    }

    /// Of the present epoch.
    pub fn epoch_seconds(&self) -> f64 {
        self.before[1] + since(self.epoch)
    }

    /// Goes on from so many seconds, of the run and of its epoch.
    pub fn start(&mut self, run: f64, epoch: f64) {
        let now = Some(Instant::now());
        *self = Clocks { run: now, epoch: now, before: [run, epoch], ..*self };
    }

    /// Stands still at so many seconds, of the run and of its epoch.
    pub fn set(&mut self, run: f64, epoch: f64) {
        *self = Clocks { run: None, epoch: None, before: [run, epoch], ..*self };
    }

    /// Stands still until the next start.
    pub fn stop(&mut self) {
        self.before = [self.seconds(), self.epoch_seconds()];
        (self.run, self.epoch) = (None, None);
    }
}

fn since(begun: Option<Instant>) -> f64 {
    begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64())
}

//! Elapsed time of a run and of its present epoch, without interruptions.

use std::time::Instant;

/// Start times of the run and its epoch, shifted by the interruptions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clocks {
    run: Option<Instant>,
    epoch: Option<Instant>,
    /// Seconds before the start.
    before: [f64; 2],
    /// True once the first step is done; from then on, step times are representative.
    pub warm: bool,
}

impl Clocks {
    /// Seconds of the run.
    pub fn seconds(&self) -> f64 {
        self.before[0] + since(self.run)
    }

    /// Seconds of the present epoch.
    pub fn epoch_seconds(&self) -> f64 {
        self.before[1] + since(self.epoch)
    }

    /// Starts both clocks at these seconds, for the run and for its epoch.
    pub fn start(&mut self, run: f64, epoch: f64) {
        let now = Some(Instant::now());
        *self = Clocks { run: now, epoch: now, before: [run, epoch], ..*self };
    }

    /// Stops both clocks at these seconds, for the run and for its epoch.
    pub fn set(&mut self, run: f64, epoch: f64) {
        *self = Clocks { run: None, epoch: None, before: [run, epoch], ..*self };
    }

    /// Stops both clocks until the next start.
    pub fn stop(&mut self) {
        self.before = [self.seconds(), self.epoch_seconds()];
        (self.run, self.epoch) = (None, None);
    }
}

fn since(begun: Option<Instant>) -> f64 {
    begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64())
}

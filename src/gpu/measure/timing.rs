//! Times of dispatches by the device's and the host's clock, and the number of repeats that short ones need.

use std::time::Instant;

use super::timestamps::{self, Timestamps};
use crate::error::Result;
use crate::gpu::{Device, Session};
use crate::graph::Stage;
use crate::plan::Step;

/// Nanoseconds below which nothing is timed in a single run.
const SHORT: f64 = 50e3;
/// Maximum required sample length in nanoseconds. It bounds the cost of a disturbance during the calibration.
const LONG: f64 = 20e6;
/// Minimum ratio of a sample's length to its clock's resolution.
const FINE: f64 = 100.0;
/// Minimum ratio of a sample's length by the host's clock to an empty submission, and the number of empty submissions
/// timed.
const SUBMISSIONS: f64 = 20.0;
const EMPTY: usize = 9;
/// Maximum number of dispatches in a sample.
const MOST: usize = 4096;
/// Resolution in nanoseconds assumed for a clock that did not advance during the calibration.
const COARSE: f64 = 1e3;
/// Number of timestamps per probe, and number of probes, for measuring a clock's resolution.
const MOMENTS: usize = 64;
const PROBES: usize = 3;

/// The clock of a measurement, in increasing order of precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Clock {
    /// The host's clock, from before a submission until it is done. It includes the submission's own cost, which is
    /// most of the time of small dispatches.
    Host,
    /// The device's timestamps at the beginning and end of passes.
    Passes,
    /// The device's timestamps around each dispatch within one pass.
    Dispatches,
}

impl Clock {
    /// Describes the clock.
    pub fn name(self) -> &'static str {
        match self {
            Clock::Host => "the host's clock",
            Clock::Passes => "device timestamps of passes",
            Clock::Dispatches => "device timestamps inside a pass",
        }
    }
}

/// Duration of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Elapsed {
    /// Nanoseconds between the device's timestamps at the beginning and end of the pass, if it has them.
    pub device: Option<f64>,
    /// Nanoseconds by the host's clock, including recording, submitting and waiting.
    pub wall: f64,
}

impl Elapsed {
    /// Nanoseconds by the more precise clock.
    pub fn best(&self) -> f64 {
        self.device.unwrap_or(self.wall)
    }

    /// The more precise clock.
    pub fn clock(&self) -> Clock {
        if self.device.is_some() { Clock::Passes } else { Clock::Host }
    }
}

impl Device {
    /// The device's best clock for dispatches.
    pub fn clock(&self) -> Clock {
        let has_timestamps = self.raw().features().contains(wgpu::Features::TIMESTAMP_QUERY);
        match has_timestamps {
            true if timestamps::inside(self) => Clock::Dispatches,
            true => Clock::Passes,
            false => Clock::Host,
        }
    }

    /// Minimum length in nanoseconds of a sample by `clock`: 50 µs, and a hundred times the device clock's resolution
    /// or, by the host's clock, twenty times the cost of a submission; at most 20 ms.
    pub(in crate::gpu) fn least_sample(&self, clock: Clock) -> Result<f64> {
        let known = &self.samples()[usize::from(clock == Clock::Host)];
        if let Some(&known) = known.get() {
            return Ok(known);
        }
        let least = match clock {
            Clock::Host => SUBMISSIONS * self.submission()?,
            _ => FINE * self.resolution()?,
        };
        log::debug!("{}: a sample by {} lasts {least:.0} ns at least", self.name(), clock.name());
        Ok(*known.get_or_init(|| least.clamp(SHORT, LONG)))
    }

    /// Resolution of the device's clock in nanoseconds.
    fn resolution(&self) -> Result<f64> {
        let mut ticks = Vec::new();
        if let Some(timestamps) = Timestamps::new(self, MOMENTS)? {
            for _ in 0..PROBES {
                ticks.extend(self.moments(&timestamps)?);
            }
        }
        let period = f64::from(self.queue().get_timestamp_period());
        Ok(granularity(&ticks).map_or(COARSE, |granule| granule as f64 * period))
    }

    /// Typical time of an empty submission in nanoseconds, including the wait.
    fn submission(&self) -> Result<f64> {
        let mut times = Vec::new();
        for _ in 0..EMPTY {
            let began = Instant::now();
            let mut encoder = self.raw().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            self.submit(encoder.finish())?;
            self.wait()?;
            times.push(began.elapsed().as_secs_f64() * 1e9);
        }
        times.sort_by(f64::total_cmp);
        Ok(times[EMPTY / 2])
    }

    /// Timestamps written as close together as possible, in ticks.
    fn moments(&self, timestamps: &Timestamps) -> Result<Vec<u64>> {
        let mut encoder = self.raw().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        if timestamps::inside(self) {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            (0..MOMENTS).for_each(|moment| timestamps.write(&mut pass, moment));
        } else {
            for pass in 0..MOMENTS / 2 {
                let timestamp_writes = Some(timestamps.of_pass(pass));
                encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes });
            }
        }
        self.submit(encoder.finish())?;
        timestamps.ticks(self)
    }
}

impl Session {
    /// Runs `stages` `count` times in one submission, on the current inputs, waits, and returns the time of one run.
    ///
    /// With [`Stage::Update`] among them, parameters change, and so do states such as running statistics.
    pub fn time(&mut self, stages: &[Stage], count: usize) -> Result<Elapsed> {
        self.time_dispatches(&self.numbers(|step| stages.contains(&step.stage)), count)
    }

    /// Number of runs of `stages` in one submission for a reliable [`Session::time`]. Together they take at least
    /// `least` nanoseconds, 50 µs, and a hundred times the clock's resolution (on a device without timestamps, twenty
    /// times the cost of a submission), but have at most 4096 dispatches. The stages run a few times to determine it.
    pub fn repeats(&mut self, stages: &[Stage], least: f64) -> Result<usize> {
        Ok(self.settled(&self.numbers(|step| stages.contains(&step.stage)), least)?.0)
    }

    /// Indices of the plan's steps that satisfy `wanted`.
    pub(in crate::gpu) fn numbers(&self, wanted: impl Fn(&Step) -> bool) -> Vec<usize> {
        let steps = &self.plan().steps;
        (0..steps.len()).filter(|&number| wanted(&steps[number])).collect()
    }

    /// Runs the dispatches with these indices `count` times in one pass, waits, and returns the time of one run.
    pub(in crate::gpu) fn time_dispatches(&self, numbers: &[usize], count: usize) -> Result<Elapsed> {
        let device = self.device();
        let timestamps = Timestamps::new(device, 2)?;
        // Earlier submissions must not count.
        device.wait()?;
        let began = Instant::now();
        let mut encoder = device.raw().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let writes = timestamps.as_ref().map(|timestamps| timestamps.of_pass(0));
        self.record(&mut encoder, writes, (0..count).flat_map(|_| numbers.iter().copied()), |_, _| {});
        device.submit(encoder.finish())?;
        device.wait()?;
        let wall = began.elapsed().as_secs_f64() * 1e9 / count.max(1) as f64;
        let passed = match timestamps {
            // Some drivers leave timestamps at zero.
            Some(timestamps) => Some(timestamps.read(device)?[1] / count.max(1) as f64).filter(|&passed| passed > 0.0),
            None => None,
        };
        Ok(Elapsed { device: passed, wall })
    }

    /// Number of runs in a row for which the dispatches with these indices last `least` nanoseconds and are timed
    /// reliably, and the time of one of these runs.
    pub(in crate::gpu) fn settled(&self, numbers: &[usize], least: f64) -> Result<(usize, f64)> {
        let wanted = self.device().least_sample(self.device().clock())?.max(least);
        settle(wanted, (MOST / numbers.len().max(1)).max(1), |count| Ok(self.time_dispatches(numbers, count)?.best()))
    }
}

/// Number of runs in a sample of `wanted` nanoseconds, at most `most`, after a sample of `count` runs took `once` per
/// run.
///
/// If the clock saw almost nothing of that sample, the next one is at most a hundred times as long.
pub(in crate::gpu) fn repeats(once: f64, count: usize, wanted: f64, most: usize) -> usize {
    let seen = once.max(wanted / FINE / count as f64);
    (wanted / seen).ceil().clamp(1.0, most.max(1) as f64) as usize
}

/// Number of runs in a sample of `wanted` nanoseconds, at most `most`, and the time of one of them. `of_one(n)`
/// measures the time of one run in a row of `n`.
///
/// It measures again after each increase, because a sample's fixed cost looks like run time in a sample of few runs.
pub(in crate::gpu) fn settle(
    wanted: f64,
    most: usize,
    mut of_one: impl FnMut(usize) -> Result<f64>,
) -> Result<(usize, f64)> {
    let mut count = 1;
    loop {
        let once = of_one(count)?;
        if count >= most || once * count as f64 >= wanted {
            return Ok((count, once));
        }
        count = repeats(once, count, wanted, most).max(count + count.div_ceil(8)).min(most);
    }
}

/// Greatest common divisor of the distances between these timestamps, in ticks: the clock's real resolution, whatever a
/// tick is said to be. `None` if the clock did not advance.
fn granularity(ticks: &[u64]) -> Option<u64> {
    let divisor = |mut a: u64, mut b: u64| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let distances = ticks.windows(2).map(|pair| pair[1].abs_diff(pair[0]));
    Some(distances.fold(0, divisor)).filter(|&granule| granule > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_things_are_repeated_until_the_sample_is_long_enough() {
        assert_eq!(repeats(60e3, 1, 50e3, 4096), 1);
        assert_eq!(repeats(50e3, 1, 50e3, 4096), 1);
        assert_eq!(repeats(49e3, 1, 50e3, 4096), 2);
        assert_eq!(repeats(3e3, 1, 50e3, 4096), 17);
        assert_eq!(repeats(3e3, 1, 100e3, 10), 10, "no more than allowed");
        assert_eq!(repeats(0.0, 1, 50e3, 4096), 100, "nothing seen is no reason for endless repeats");
        assert_eq!(repeats(100.0, 1, 50e3, 4096), 100, "nor is next to nothing");
        assert_eq!(repeats(100.0, 100, 50e3, 4096), 500, "of a hundred it is believed");
        assert_eq!(repeats(1.0, 1, 50e3, 0), 1);
    }

    /// Each dispatch takes 2 µs, by a clock with steps of 32 ns, by one with steps of 20 µs, and with 80 µs of
    /// submission.
    #[test]
    fn the_number_of_repeats_follows_from_the_time_without_the_submission() {
        let by = |wanted: f64, clock: &dyn Fn(f64) -> f64| {
            let mut asked = 0;
            let count = settle(wanted, 4096, |count| {
                asked += 1;
                Ok(clock(2e3 * count as f64) / count as f64)
            });
            (count.unwrap().0, asked)
        };
        let (count, asked) = by(50e3, &|time| (time / 32.0).floor() * 32.0);
        assert!((25..=30).contains(&count) && asked <= 3, "{count} after {asked}");
        let (count, asked) = by(2e6, &|time| (time / 20e3).floor() * 20e3);
        assert!((1000..=1200).contains(&count) && asked <= 6, "{count} after {asked}");
        // From one submission alone the result would be 20, of which two thirds were submission.
        let (count, asked) = by(20.0 * 80e3, &|time| time + 80e3);
        assert!((750..=900).contains(&count) && asked <= 8, "{count} after {asked}");
    }

    #[test]
    fn what_never_gets_long_enough_ends_at_the_most() {
        assert_eq!(settle(50e3, 64, |_| Ok(0.0)).unwrap(), (64, 0.0));
        assert_eq!(settle(50e3, 1, |_| Ok(1.0)).unwrap(), (1, 1.0));
        assert_eq!(settle(50e3, 64, |_| Ok(1e6)).unwrap(), (1, 1e6));
    }

    #[test]
    fn granularity_is_what_a_clock_moves_by_at_once() {
        assert_eq!(granularity(&[7, 7, 103, 167, 167, 327]), Some(32), "multiples of 32, the least of them 64");
        assert_eq!(granularity(&[100, 111, 131, 132]), Some(1));
        assert_eq!(granularity(&[7, 7, 7]), None);
        assert_eq!(granularity(&[]), None);
    }

    #[test]
    fn the_better_clock_is_the_devices() {
        let both = Elapsed { device: Some(2.0), wall: 5.0 };
        assert_eq!((both.best(), both.clock()), (2.0, Clock::Passes));
        let wall = Elapsed { device: None, ..both };
        assert_eq!((wall.best(), wall.clock()), (5.0, Clock::Host));
        assert!(Clock::Dispatches > Clock::Passes && Clock::Passes > Clock::Host);
    }
}

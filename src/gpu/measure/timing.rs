//! The time of dispatches by the device's clock and by the host's, and how often what is short must run to be timed.

use std::time::Instant;

use super::timestamps::{self, Timestamps};
use crate::error::Result;
use crate::gpu::{Device, Session};
use crate::graph::Stage;
use crate::plan::Step;

/// Nanoseconds below which nothing is timed alone.
const SHORT: f64 = 50e3;
/// Nanoseconds that are enough for any sample, so that a machine that was disturbed while this was found out loses no minutes.
const LONG: f64 = 20e6;
/// A sample lasts so many times what its clock can't tell apart.
const FINE: f64 = 100.0;
/// A sample of the host's clock lasts so many times what a submission with nothing in it takes; and how many of these are timed.
const SUBMISSIONS: f64 = 20.0;
const EMPTY: usize = 9;
/// The most dispatches of a sample.
const MOST: usize = 4096;
/// Nanoseconds that a clock is taken to jump by where it stood still all the while that it was looked at.
const COARSE: f64 = 1e3;
/// Moments that are looked at, and how often, to see what a clock moves by.
const MOMENTS: usize = 64;
const PROBES: usize = 3;

/// Which clock has timed something, the best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Clock {
    /// The host's, from before a submission to after it is done: longer than the dispatches by what that takes, which is
    /// most of the time of small ones.
    Host,
    /// The device's timestamps, at the beginning and the end of passes.
    Passes,
    /// The device's timestamps, around each dispatch of one pass.
    Dispatches,
}

impl Clock {
    /// The clock in words.
    pub fn name(self) -> &'static str {
        match self {
            Clock::Host => "the host's clock",
            Clock::Passes => "device timestamps of passes",
            Clock::Dispatches => "device timestamps inside a pass",
        }
    }
}

/// What a run has taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Elapsed {
    /// Nanoseconds between the device's timestamps at the beginning and the end of the pass, where it has them.
    pub device: Option<f64>,
    /// Nanoseconds by the host's clock, with recording, submitting and waiting.
    pub wall: f64,
}

impl Elapsed {
    /// Nanoseconds by the better clock.
    pub fn best(&self) -> f64 {
        self.device.unwrap_or(self.wall)
    }

    /// The better clock.
    pub fn clock(&self) -> Clock {
        if self.device.is_some() { Clock::Passes } else { Clock::Host }
    }
}

impl Device {
    /// The best clock that it has for dispatches.
    pub fn clock(&self) -> Clock {
        let has_timestamps = self.raw().features().contains(wgpu::Features::TIMESTAMP_QUERY);
        match has_timestamps {
            true if timestamps::inside(self) => Clock::Dispatches,
            true => Clock::Passes,
            false => Clock::Host,
        }
    }

    /// Nanoseconds that a sample by `clock` must last: 50 µs, and a hundred times what the device's clock can't tell apart, or
    /// twenty times what a submission costs by the host's; but no more than 20 ms.
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

    /// The least nanoseconds that the device's clock can tell apart.
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

    /// Nanoseconds that a submission usually takes with nothing in it, waiting included.
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

    /// Moments as close to one another as can be written, in ticks.
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
    /// Runs `stages` `count` times in one submission, on the inputs that the last run had, and waits: what each of them takes.
    ///
    /// With [`Stage::Update`] among them parameters change, and so do states such as running statistics.
    pub fn time(&mut self, stages: &[Stage], count: usize) -> Result<Elapsed> {
        self.time_dispatches(&self.numbers(|step| stages.contains(&step.stage)), count)
    }

    /// How often `stages` must run in one submission for [`Session::time`] to be believed: until they take `least`
    /// nanoseconds, and at least 50 µs and a hundred times what the clock can't tell apart (on a device without timestamps,
    /// twenty times what a submission costs), but no more than 4096 dispatches. They run a few times to find out.
    pub fn repeats(&mut self, stages: &[Stage], least: f64) -> Result<usize> {
        Ok(self.settled(&self.numbers(|step| stages.contains(&step.stage)), least)?.0)
    }

    /// The numbers of the plan's steps that `wanted` is true of.
    pub(in crate::gpu) fn numbers(&self, wanted: impl Fn(&Step) -> bool) -> Vec<usize> {
        let steps = &self.plan().steps;
        (0..steps.len()).filter(|&number| wanted(&steps[number])).collect()
    }

    /// Runs the dispatches with these numbers `count` times in one pass and waits: what each time takes.
    pub(in crate::gpu) fn time_dispatches(&self, numbers: &[usize], count: usize) -> Result<Elapsed> {
        let device = self.device();
        let timestamps = Timestamps::new(device, 2)?;
        // What was submitted before is no part of it.
        device.wait()?;
        let began = Instant::now();
        let mut encoder = device.raw().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let writes = timestamps.as_ref().map(|timestamps| timestamps.of_pass(0));
        self.record(&mut encoder, writes, (0..count).flat_map(|_| numbers.iter().copied()), |_, _| {});
        device.submit(encoder.finish())?;
        device.wait()?;
        let wall = began.elapsed().as_secs_f64() * 1e9 / count.max(1) as f64;
        let passed = match timestamps {
            // Drivers have been seen to leave timestamps zero.
            Some(timestamps) => Some(timestamps.read(device)?[1] / count.max(1) as f64).filter(|&passed| passed > 0.0),
            None => None,
        };
        Ok(Elapsed { device: passed, wall })
    }

    /// How often the dispatches with these numbers must run in a row to last `least` nanoseconds and be timed well, and what
    /// one of so many has taken.
    pub(in crate::gpu) fn settled(&self, numbers: &[usize], least: f64) -> Result<(usize, f64)> {
        let wanted = self.device().least_sample(self.device().clock())?.max(least);
        settle(wanted, (MOST / numbers.len().max(1)).max(1), |count| Ok(self.time_dispatches(numbers, count)?.best()))
    }
}

/// How often something runs in a sample of `wanted` nanoseconds, `most` times at most, after a sample of `count` in which each
/// took `once`.
///
/// A clock that has seen hardly anything of that sample is not believed: the next is a hundred times as long at most.
pub(in crate::gpu) fn repeats(once: f64, count: usize, wanted: f64, most: usize) -> usize {
    let seen = once.max(wanted / FINE / count as f64);
    (wanted / seen).ceil().clamp(1.0, most.max(1) as f64) as usize
}

/// How often something runs in a sample of `wanted` nanoseconds, `most` times at most, where `of_one(n)` measures what one of
/// `n` in a row takes; and what one of so many has taken.
///
/// It is asked again with each new number: what a sample costs beside what runs in it looks like a part of the time of a few.
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

/// The ticks of which all distances between these moments are multiples: what the clock moves by at once, whatever a tick is
/// said to be. `None` if it has not moved.
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

    /// Each dispatch 2 µs, by a clock that jumps by 32 ns; by one that jumps by 20 µs; with 80 µs of submission.
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
        // From one submission alone it would be 20, of which two thirds were submission.
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

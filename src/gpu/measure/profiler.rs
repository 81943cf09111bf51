//! Timing of every dispatch of a step by the device's best clock.

use super::timestamps::Timestamps;
use super::timing::{repeats, settle};
use crate::error::Result;
use crate::gpu::{Clock, Profile, Session, Timing};
use crate::graph::Stage;

/// Maximum number of repeats of a dispatch.
const MOST: usize = 4096;
/// Minimum ratio of a sample's length to the cost of its timestamps.
const COSTS: f64 = 50.0;
/// Number of repeats of each of the `SHORTEST` shortest dispatches, for measuring the cost of timestamps.
const TRIED: usize = 4;
const SHORTEST: usize = 16;

/// Nanoseconds of each dispatch in one run.
type Run = Vec<f64>;

impl Session {
    /// Times every dispatch of `stages`, `repeats` times, by the device's best clock ([`Profile::clock`] names it):
    ///
    /// - by timestamps before and after each dispatch, all in one pass in the plan's order, whatever parts and passes a
    ///   step has;
    /// - on a device without timestamps inside passes, each dispatch in its own pass between two timestamps;
    /// - on a device without timestamps, each dispatch submitted alone and timed by the host.
    ///
    /// A dispatch too short for the clock, or for the cost of a timestamp or submission, is repeated in a row, and the
    /// mean counts. The exception is a dispatch that a second run would change, such as one that accumulates or an
    /// optimizer's step. It runs once and is timed with that cost.
    ///
    /// The stages really run, 2 `repeats` times and a few more, on the inputs written last. With [`Stage::Update`]
    /// among them, parameters change, and so do states such as running statistics. [`Profile::peak`] is `None`.
    pub fn profile(&mut self, stages: &[Stage], repeats: usize) -> Result<Profile> {
        self.profile_by(self.device().clock(), stages, repeats)
    }

    /// Profiles by `clock`, or by the device's best clock if that is less precise.
    pub fn profile_by(&mut self, clock: Clock, stages: &[Stage], repeats: usize) -> Result<Profile> {
        // The first step may include compilation, and it finishes pending uploads.
        self.run(stages)?;
        self.device().wait()?;
        let clock = clock.min(self.device().clock());
        let numbers = self.numbers(|step| stages.contains(&step.stage));
        let form = Form::new(self, clock, &numbers)?;
        let clock = form.clock;
        let (mut runs, mut steps, mut walls) = (Vec::new(), Vec::new(), Vec::new());
        // The two alternate, so that a device that slows down slows both.
        for _ in 0..repeats.max(1) {
            let step = self.time_dispatches(&numbers, 1)?;
            walls.push(vec![step.wall]);
            if clock != Clock::Host {
                steps.push(vec![step.best()]);
            }
            runs.push(form.run(self, &numbers)?);
        }
        let durations = middle(runs);
        let alone = |runs: Vec<Run>| middle(runs).first().copied();
        let mut start = 0.0;
        let mut timings = Vec::new();
        for (&number, duration) in numbers.iter().zip(durations) {
            let step = &self.plan().steps[number];
            timings.push(Timing {
                node: step.node.clone(),
                operation: step.operation,
                kernel: step.kernel.name,
                stage: step.stage,
                output: step.output.clone(),
                start,
                duration,
                multiply_adds: step.multiply_adds,
                bytes: step.bytes(),
            });
            start += duration;
        }
        Ok(Profile {
            device: self.device().name(),
            clock,
            repeats: repeats.max(1),
            timings,
            step: alone(steps).unwrap_or(start),
            wall: alone(walls).unwrap_or_default(),
            peak: None,
        })
    }
}

/// The method by which dispatches are timed.
struct Form {
    clock: Clock,
    /// Two timestamps per dispatch, if the clock is the device's.
    timestamps: Option<Timestamps>,
    /// Number of runs of each dispatch in a row.
    counts: Vec<usize>,
}

impl Form {
    /// Determines the number of runs of each dispatch.
    fn new(session: &Session, clock: Clock, numbers: &[usize]) -> Result<Self> {
        let device = session.device();
        let wanted = device.least_sample(clock)?;
        let by_host = clock == Clock::Host || numbers.is_empty();
        let timestamps = if by_host { None } else { Timestamps::new(device, 2 * numbers.len())? };
        let mut form = Form { clock, timestamps, counts: vec![1; numbers.len()] };
        for (i, &number) in numbers.iter().enumerate().filter(|_| by_host) {
            if session.is_idempotent(number) {
                let of_one = |count| Ok(session.time_dispatches(&[number], count)?.wall);
                form.counts[i] = settle(wanted, MOST, of_one)?.0;
            }
        }
        if by_host {
            return Ok(form);
        }
        let single = form.run(session, numbers)?;
        if single.iter().all(|&duration| duration == 0.0) {
            // Some drivers leave timestamps at zero.
            return Form::new(session, Clock::Host, numbers);
        }
        let mut shortest: Vec<usize> = (0..numbers.len()).filter(|&i| session.is_idempotent(numbers[i])).collect();
        shortest.sort_by(|&a, &b| single[a].total_cmp(&single[b]));
        shortest.iter().take(SHORTEST).for_each(|&i| form.counts[i] = TRIED);
        let tried = form.run(session, numbers)?;
        let cost = cost(&single, &tried, &form.counts);
        log::debug!("{}: two timestamps cost {cost:.0} ns", device.name());
        for ((count, duration), &number) in form.counts.iter_mut().zip(tried).zip(numbers) {
            if session.is_idempotent(number) {
                let alone = duration - cost / *count as f64;
                *count = repeats(alone, *count, wanted.max(COSTS * cost), MOST);
            }
        }
        Ok(form)
    }

    /// Nanoseconds that each dispatch takes.
    fn run(&self, session: &Session, numbers: &[usize]) -> Result<Run> {
        let each = numbers.iter().copied().zip(self.counts.iter().copied());
        let Some(timestamps) = &self.timestamps else {
            return each.map(|(number, count)| Ok(session.time_dispatches(&[number], count)?.wall)).collect();
        };
        let device = session.device();
        let mut encoder = device.raw().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        if self.clock == Clock::Dispatches {
            self.record_in_one_pass(session, &mut encoder, timestamps, numbers);
        } else {
            for (pass, (number, count)) in each.enumerate() {
                let writes = Some(timestamps.of_pass(pass));
                session.record(&mut encoder, writes, std::iter::repeat_n(number, count), |_, _| {});
            }
        }
        device.submit(encoder.finish())?;
        let moments = timestamps.read(device)?;
        let passed = moments.chunks_exact(2).map(|pair| (pair[1] - pair[0]).max(0.0));
        Ok(passed.zip(&self.counts).map(|(passed, &count)| passed / count as f64).collect())
    }

    /// Records a pass with a timestamp before and after each dispatch. One timestamp between two dispatches would
    /// suffice, but its cost would count as the next dispatch's: Mesa's software device waits 10 to 50 µs each time.
    fn record_in_one_pass(
        &self,
        session: &Session,
        encoder: &mut wgpu::CommandEncoder,
        timestamps: &Timestamps,
        numbers: &[usize],
    ) {
        let all = numbers.iter().zip(&self.counts).flat_map(|(&number, &count)| std::iter::repeat_n(number, count));
        let mut done = 0;
        // Number of finished runs at the end of each dispatch.
        let mut ends = self.counts.iter().enumerate().map(|(i, count)| {
            done += count;
            (i, done)
        });
        let mut end = ends.next();
        session.record(encoder, None, all, |pass, runs| {
            if runs == 0 {
                timestamps.write(pass, 0);
            }
            if let Some((i, _)) = end.filter(|&(_, end)| end == runs) {
                timestamps.write(pass, 2 * i + 1);
                end = ends.next();
                if end.is_some() {
                    timestamps.write(pass, 2 * i + 2);
                }
            }
        });
    }
}

/// Cost of two timestamps, from each dispatch's time alone and its mean time in a row: the median over the repeated
/// dispatches. The growth with the row's length is the dispatch; the rest of a single run is the cost.
fn cost(single: &[f64], rows: &[f64], counts: &[usize]) -> f64 {
    let both = single.iter().zip(rows).zip(counts).filter(|(_, count)| **count > 1);
    let mut costs: Vec<f64> =
        both.map(|((one, of_row), &count)| (one - of_row) * count as f64 / (count - 1) as f64).collect();
    costs.sort_by(f64::total_cmp);
    costs.get(costs.len() / 2).copied().unwrap_or(0.0).max(0.0)
}

/// Means over the runs whose sums are in the middle half, so that the parts add up to the mean of these sums. Medians
/// would not add up, since each omits the disturbances of a part in some runs.
fn middle(mut runs: Vec<Run>) -> Run {
    let sum = |run: &Run| run.iter().sum::<f64>();
    runs.sort_by(|a, b| sum(a).total_cmp(&sum(b)));
    let outside = runs.len().saturating_sub(1) / 4;
    let kept = &runs[outside..runs.len() - outside];
    let parts = kept.first().map_or(0, Vec::len);
    (0..parts).map(|i| kept.iter().map(|run| run[i]).sum::<f64>() / kept.len() as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_timestamps_cost_is_what_a_row_shares() {
        // Dispatches of 10, 20, 500 and 30 µs between timestamps of 40, 40 and 41; the third is not repeated.
        let single = [50.0, 60.0, 540.0, 71.0];
        let rows = [(4.0 * 10.0 + 40.0) / 4.0, (4.0 * 20.0 + 40.0) / 4.0, 530.0, (4.0 * 30.0 + 41.0) / 4.0];
        assert_eq!(cost(&single, &rows, &[4, 4, 1, 4]), 40.0);
        assert_eq!(cost(&[10.0], &[12.0], &[4]), 0.0, "noise is no cost");
        assert_eq!(cost(&[10.0], &[10.0], &[1]), 0.0);
    }

    #[test]
    fn the_middle_half_of_the_runs_counts_and_parts_add_up() {
        let runs = vec![vec![1.0, 2.0], vec![90.0, 2.0], vec![2.0, 2.0], vec![2.0, 5.0], vec![0.0, 1.0]];
        // The sums are 3, 92, 4, 7, 1; the least and the greatest are dropped.
        let expected = [5.0 / 3.0, 9.0 / 3.0];
        let found = middle(runs);
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        assert_eq!(middle(vec![vec![3.0], vec![5.0]]), [4.0]);
        assert_eq!(middle(vec![vec![3.0, 1.0]]), [3.0, 1.0]);
        assert_eq!(middle(Vec::new()), [0.0; 0]);
        assert_eq!(middle(vec![Vec::new()]), [0.0; 0]);
    }
}

//! Tuning: measures the fastest of several kernels for each operation and shape of a tape, and keeps the winners in a
//! file.
//!
//! For every key with more than one candidate, the node runs in isolation over random numbers. Candidates take turns,
//! so that a device that slows down slows all of them, and those that fall behind drop out. The fastest is then
//! checked. At the full shape its outputs are compared with those of the default kernel. It is also judged against the
//! twin, at the smaller batch if the same pipelines run there. A candidate that fails is logged by name, and the next
//! one is checked.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::judge::Verdict;
use super::trial::{Excerpt, noise};
use super::winners::{Winner, Winners, file_name, hash};
use crate::error::{Error, Result};
use crate::gpu::{Device, Session, SessionOptions};
use crate::graph::Tape;
use crate::kernel::{Choice, Choices, DeviceClass, Kernel, Key};
use crate::plan::{Chosen, ParameterLayout, Plan};

/// Maximum number of candidates measured for one key.
const DOZEN: usize = 12;
/// Minimum and maximum number of turns of a candidate that is not left behind.
const TURNS: [usize; 2] = [5, 10];
/// Ratio to the fastest time at which a candidate drops out: in the first turn, in the second and third, and after
/// them. For a smaller batch, which is not quite the same work, the last ratio applies too.
const BEHIND: [f64; 3] = [3.0, 1.5, 1.15];
/// Ratio to the fastest time, and number of keys: a candidate that slow for that many keys of an operation is tried no
/// more.
const HOPELESS: (f64, usize) = (3.0, 3);
/// Minimum length of a sample in milliseconds, long enough to wake up a device that sleeps between submissions.
const SAMPLE: f64 = 0.5;
/// Milliseconds from which candidates are compared at a smaller batch first. Only those nearly as fast as the fastest
/// there then run at the full shape.
const SLOW: f64 = 40.0;
/// Maximum number of multiply-adds of a node for which the twin runs; it computes about 10⁹ per second.
const MOST_OF_TWIN: u64 = 1 << 30;
/// Maximum time in milliseconds to compile a kernel on its first run.
const COMPILING: f64 = 800.0;

/// Progress of the tuner after each key.
#[derive(Clone, Copy, Debug)]
pub struct TuneEvent<'a> {
    /// Number of finished keys, including this one.
    pub done: usize,
    /// Total number of keys.
    pub of: usize,
    /// The key.
    pub key: &'a Key,
    /// The winner.
    pub choice: &'a Choice,
    /// Milliseconds of one run by the winner, and by the default.
    pub milliseconds: [f64; 2],
    /// True if the result is known from an earlier run.
    pub cached: bool,
}

/// The result of tuning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tuning {
    /// The winning candidates.
    pub choices: Choices,
    /// Number of measured keys.
    pub measured: usize,
    /// Number of keys known from an earlier run.
    pub cached: usize,
    /// Number of keys for which no time was left.
    pub left: usize,
}

/// Measures candidates on a device.
pub struct Tuner {
    device: Device,
    winners: Winners,
    left: Duration,
    noise: Vec<f32>,
    /// Keys of all tapes so far.
    seen: HashSet<Key>,
    /// Number of times that a candidate of an operation was hopeless.
    hopeless: HashMap<(&'static str, Choice), usize>,
}

impl Tuner {
    /// Creates a tuner with the winners of earlier runs on this device, from the device's cache directory
    /// ([`crate::gpu::DeviceOptions::cache_dir`]), if it has one.
    pub fn new(device: &Device) -> Self {
        let file = device.cache_dir().map(|directory| directory.join(file_name(device)));
        let seconds = if device.caps().class == DeviceClass::Software { 100 } else { 18 };
        Tuner { left: Duration::from_secs(seconds), ..Tuner::with_cache(device, file) }
    }

    /// Creates a tuner that keeps winners in `file`, if given, with a time budget of one minute.
    pub fn with_cache(device: &Device, file: Option<PathBuf>) -> Self {
        Tuner {
            device: device.clone(),
            winners: Winners::read(device, file),
            left: Duration::from_secs(60),
            noise: noise(),
            seen: HashSet::new(),
            hopeless: HashMap::new(),
        }
    }

    /// Sets the total time for measurements. Keys left over get no choice, and are measured next time.
    pub fn budget(mut self, budget: Duration) -> Self {
        self.left = budget;
        self
    }

    /// Finds the fastest candidate for each operation and shape of `tape` that no earlier tape had.
    ///
    /// `smaller` is the same program at a smaller batch. It is used to judge kernels against the twin, which is slow,
    /// and to discard slow kernels early.
    pub fn tune(
        &mut self,
        tape: &Tape,
        smaller: Option<&Tape>,
        observe: &mut dyn FnMut(TuneEvent<'_>),
    ) -> Result<Tuning> {
        let began = Instant::now();
        let tuned = self.all(tape, smaller, began, observe);
        self.left = self.left.saturating_sub(began.elapsed());
        // Measurements before an error are still valid, and a cache error is no reason to stop.
        if let Err(error) = self.winners.write() {
            log::warn!("the tuner's winners are not kept: {error}");
        }
        tuned
    }

    fn all(
        &mut self,
        tape: &Tape,
        smaller: Option<&Tape>,
        began: Instant,
        observe: &mut dyn FnMut(TuneEvent<'_>),
    ) -> Result<Tuning> {
        let plan = self.plan(tape)?;
        let smaller = smaller.map(|tape| self.plan(tape)).transpose()?.filter(|smaller| alike(&plan, smaller));
        let new = |&i: &usize| self.seen.insert(plan.chosen[i].key.clone());
        let nodes: Vec<usize> = (0..plan.chosen.len()).filter(new).collect();
        let mut tuning = Tuning::default();
        for (done, &i) in nodes.iter().enumerate() {
            let chosen = &plan.chosen[i];
            let Some(full) = Excerpt::new(&self.device, &plan, chosen)? else { continue };
            // If the node does not fit in isolation, such as a parameter cut into pieces, there is nothing to measure.
            let Ok(shaders) = shaders(&full, chosen) else { continue };
            let known = self.winners.get(&chosen.key, shaders);
            let known = known.filter(|winner| chosen.candidates.contains(&winner.choice)).cloned();
            let cached = known.is_some();
            let winner = match known {
                Some(winner) => Some(winner),
                None if began.elapsed() > self.left => {
                    tuning.left += 1;
                    continue;
                }
                None => {
                    let small = match &smaller {
                        Some(smaller) => Excerpt::new(&self.device, smaller, &smaller.chosen[i])?,
                        None => None,
                    };
                    self.measure(&full, small.as_ref(), chosen)?
                }
            };
            let Some((choice, milliseconds)) = winner.map(|winner| (winner.choice, winner.milliseconds)) else {
                continue;
            };
            if cached {
                tuning.cached += 1;
            } else {
                tuning.measured += 1;
                self.winners.insert(&chosen.key, Winner { choice: choice.clone(), milliseconds, shaders });
            }
            observe(TuneEvent {
                done: done + 1,
                of: nodes.len(),
                key: &chosen.key,
                choice: &choice,
                milliseconds,
                cached,
            });
            tuning.choices.by_shape.insert(chosen.key.clone(), choice);
        }
        Ok(tuning)
    }

    /// The plan without choices.
    fn plan(&self, tape: &Tape) -> Result<Plan> {
        let caps = self.device.caps();
        let layout = Arc::new(ParameterLayout::new(tape, caps)?);
        Plan::new(Arc::new(tape.clone()), layout, caps, &Choices::default())
    }

    /// Finds the fastest candidate that is right.
    fn measure(&mut self, full: &Excerpt, small: Option<&Excerpt>, chosen: &Chosen) -> Result<Option<Winner>> {
        full.upload(&self.noise)?;
        if let Some(small) = small {
            small.upload(&self.noise)?;
        }
        let operation = chosen.node.op.name();
        let promising = |choice: &&Choice| {
            let hopeless = self.hopeless.get(&(operation, (*choice).clone())).copied().unwrap_or_default();
            **choice == chosen.candidates[0] || hopeless < HOPELESS.1
        };
        // The best tile of every algorithm first, then other tiles.
        let is_first = |i: usize| !chosen.candidates[..i].iter().any(|before| before.name == chosen.candidates[i].name);
        let (firsts, others): (Vec<usize>, Vec<usize>) = (0..chosen.candidates.len()).partition(|&i| is_first(i));
        let in_order = firsts.into_iter().chain(others).map(|i| &chosen.candidates[i]);
        let candidates: Vec<&Choice> = in_order.filter(promising).take(DOZEN).collect();
        full.prepare(&candidates)?;
        let mut trials: Vec<Trial> = Vec::new();
        let mut lost: Vec<&Choice> = Vec::new();
        let mut near: Option<Vec<&Choice>> = None;
        for (i, choice) in candidates.iter().enumerate() {
            if near.as_ref().is_some_and(|near| !near.contains(choice)) {
                continue;
            }
            let leader = trials.iter().map(|trial| trial.least).fold(f64::INFINITY, f64::min);
            match Trial::new(full, choice, leader) {
                Ok(trial) if trial.least > HOPELESS.0 * leader => lost.push(choice),
                Ok(trial) => trials.push(trial),
                Err(error @ (Error::DeviceLost(_) | Error::OutOfMemory(_))) => return Err(error),
                Err(error) => log::warn!("{}: \"{choice}\" does not run: {error}", chosen.key),
            }
            if let (0, Some(small), [trial]) = (i, small, trials.as_slice())
                && trial.least > SLOW
            {
                let [close, hopeless] = qualify(small, &candidates, self.patience())?;
                (near, lost) = (Some(close), hopeless);
            }
        }
        for choice in lost {
            *self.hopeless.entry((operation, choice.clone())).or_default() += 1;
        }
        if !trials.iter().any(|trial| trial.choice == chosen.candidates[0]) {
            return Ok(None);
        }
        take_turns(&mut trials, self.patience())?;
        trials.sort_by(|a, b| a.least.total_cmp(&b.least));
        let Some(of_first) = trials.iter().position(|trial| trial.choice == chosen.candidates[0]) else {
            return Ok(None);
        };
        // Candidates that may be faster only by chance come after it.
        let mut ahead: Vec<Trial> = trials.drain(..=of_first).collect();
        let Some(first) = ahead.pop() else { return Ok(None) };
        let (mut sure, unsure): (Vec<_>, Vec<_>) = ahead.into_iter().partition(|trial| trial.beats(&first));
        let without = first.least;
        sure.push(first);
        trials.splice(..0, sure.into_iter().chain(unsure));
        self.right(full, small, chosen, &mut trials, without)
    }

    /// Finds the first of these candidates that is right.
    fn right(
        &mut self,
        full: &Excerpt,
        small: Option<&Excerpt>,
        chosen: &Chosen,
        trials: &mut [Trial],
        without: f64,
    ) -> Result<Option<Winner>> {
        let first = trials.iter().position(|trial| trial.choice == chosen.candidates[0]);
        for i in 0..trials.len() {
            let mut fault = match self.verdict(full, small, chosen, &trials[i].choice) {
                Ok(Verdict::Right) => None,
                Ok(Verdict::Wrong(fault)) => Some(format!("the twin's: {fault}")),
                Err(error @ Error::OutOfMemory(_)) => {
                    log::warn!("{}: \"{}\" is not judged and not taken: {error}", chosen.key, trials[i].choice);
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            if let (None, Some(first)) = (&fault, first.filter(|&first| first != i)) {
                let [trial, first] = trials.get_disjoint_mut([i, first]).expect("two of the trials");
                let text = full.differ(&mut trial.session, &mut first.session)?;
                fault = text.map(|text| format!("those of \"{}\": {text}", first.choice));
            }
            let trial = &trials[i];
            match fault {
                None => {
                    let milliseconds = [trial.least, without];
                    return Ok(Some(Winner { choice: trial.choice.clone(), milliseconds, shaders: 0 }));
                }
                Some(text) => log::error!(
                    "{}: \"{}\" was fastest and is refused, its outputs are not {text}; please report it",
                    chosen.key,
                    trial.choice
                ),
            }
        }
        Ok(None)
    }

    /// Judges a candidate: by an earlier verdict, or at the smaller batch if the same pipelines run there. Otherwise it
    /// is judged at the full shape, unless the twin would take too long. Then it is judged at the smaller batch, and
    /// the verdict on those other pipelines is not kept.
    fn verdict(
        &mut self,
        full: &Excerpt,
        small: Option<&Excerpt>,
        chosen: &Chosen,
        choice: &Choice,
    ) -> Result<Verdict> {
        let kernels = full.kernels(choice)?;
        let shaders = hash(kernels.iter().map(Kernel::link));
        if let Some(known) = self.winners.verdict(&chosen.key, choice, shaders) {
            return Ok(known);
        }
        let same = small.filter(|small| small.kernels(choice).is_ok_and(|of_small| of_small == kernels));
        let (judged, keep) = match (same, small) {
            (Some(same), _) => (same, true),
            (None, Some(small)) if full.multiply_adds() > MOST_OF_TWIN => (small, false),
            _ => (full, true),
        };
        let verdict =
            judged.specimen(&self.noise)?.judge(&self.device, &judged.choices(choice), SessionOptions::default())?;
        if keep {
            self.winners.judged(&chosen.key, choice, shaders, verdict.clone());
        }
        Ok(verdict)
    }

    /// Time for which candidates take turns beyond the minimum number of turns.
    fn patience(&self) -> Duration {
        Duration::from_millis(if self.device.caps().class == DeviceClass::Software { 600 } else { 50 })
    }
}

/// True if two plans have the same nodes, regardless of extents.
fn alike(a: &Plan, b: &Plan) -> bool {
    let same = |(a, b): (&Chosen, &Chosen)| a.node.name == b.node.name && a.node.op.name() == b.node.op.name();
    a.chosen.len() == b.chosen.len() && a.chosen.iter().zip(&b.chosen).all(same)
}

/// Hash of all candidates and their kernels.
fn shaders(excerpt: &Excerpt, chosen: &Chosen) -> Result<u64> {
    let mut texts = Vec::new();
    for choice in &chosen.candidates {
        texts.push(choice.to_string());
        texts.extend(excerpt.plan(choice)?.steps.iter().map(|step| step.kernel.link()));
    }
    Ok(hash(texts))
}

/// A candidate with its times so far, in milliseconds.
struct Trial {
    choice: Choice,
    session: Session,
    /// Number of runs in a sample.
    count: usize,
    least: f64,
    turns: Vec<f64>,
    /// True if it fell behind and takes no more turns.
    left: bool,
}

impl Trial {
    /// Compiles and runs the candidate. If it is far behind the leader even then, it is not run again.
    fn new(excerpt: &Excerpt, choice: &Choice, leader: f64) -> Result<Self> {
        let mut session = excerpt.session(choice)?;
        let began = Instant::now();
        session.step()?;
        session.wait()?;
        let first = began.elapsed().as_secs_f64() * 1e3;
        let (mut count, mut least) = (1, first);
        if first - COMPILING <= HOPELESS.0 * leader {
            // Based on the run time alone, since a submission's own cost would blur short runs.
            (count, least) = Excerpt::settled(&session, SAMPLE)?;
        }
        Ok(Trial { choice: choice.clone(), session, count, least, turns: Vec::new(), left: false })
    }

    fn turn(&mut self) -> Result<()> {
        let time = Excerpt::time(&self.session, self.count)?;
        self.turns.push(time);
        self.least = self.least.min(time);
        Ok(())
    }

    /// True if it is faster than `other`, and not by chance.
    fn beats(&self, other: &Trial) -> bool {
        let outlasted = other.left && (!self.left || self.turns.len() > other.turns.len());
        outlasted || is_faster(&self.turns, &other.turns)
    }
}

/// True if a candidate is faster than another by more than the spread of their times, from turns taken side by side.
///
/// A disturbance of a turn affects both, so the test uses the ratios of the turns. The error of their median is
/// estimated from their median absolute deviation (a standard deviation is 1.4826 of it, and the error of a median is
/// 1.2533 / √n of that). Two of these errors must lie between the median and 1. With few turns that deviation is
/// unreliable. The candidate must therefore also have been faster in all of five to nine turns, or in nine of ten; of
/// two equal candidates one does so in 3% of cases with five turns.
fn is_faster(candidate: &[f64], other: &[f64]) -> bool {
    let mut quotients: Vec<f64> = candidate.iter().zip(other).map(|(candidate, other)| candidate / other).collect();
    let turns = quotients.len();
    if turns < TURNS[0] {
        return false;
    }
    let (middle, spread) = median_and_deviation(&mut quotients);
    let error = 1.2533 * 1.4826 * spread / (turns as f64).sqrt();
    let lost = quotients.iter().filter(|&&quotient| quotient >= 1.0).count();
    lost <= (turns - TURNS[0]) / TURNS[0] && middle + 2.0 * error < 1.0
}

/// The median, and the median of the distances from it.
fn median_and_deviation(values: &mut [f64]) -> (f64, f64) {
    let median = |values: &mut [f64]| {
        values.sort_by(f64::total_cmp);
        let n = values.len();
        (values[(n - 1) / 2] + values[n / 2]) / 2.0
    };
    let middle = median(values);
    let mut distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    (middle, median(&mut distances))
}

/// Candidates nearly as fast as the fastest at a smaller batch, and hopeless candidates.
fn qualify<'a>(small: &Excerpt, candidates: &[&'a Choice], patience: Duration) -> Result<[Vec<&'a Choice>; 2]> {
    let (mut trials, mut near, mut hopeless) = (Vec::new(), Vec::new(), Vec::new());
    let mut leader = f64::INFINITY;
    for &choice in candidates {
        match Trial::new(small, choice, leader) {
            Ok(trial) if trial.least > HOPELESS.0 * leader => hopeless.push(choice),
            Ok(trial) => {
                leader = leader.min(trial.least);
                trials.push(trial);
            }
            // A candidate that does not run here is tried, and reported, at the full shape.
            Err(_) => near.push(choice),
        }
    }
    take_turns(&mut trials, patience)?;
    let leader = trials.iter().map(|trial| trial.least).fold(f64::INFINITY, f64::min);
    let is_near = |choice: &Choice| trials.iter().any(|t| t.choice == *choice && t.least <= BEHIND[2] * leader);
    near.extend(candidates.iter().copied().filter(|choice| is_near(choice)));
    Ok([near, hopeless])
}

/// Runs the candidates in turns until enough is known.
fn take_turns(trials: &mut [Trial], patience: Duration) -> Result<()> {
    if trials.len() < 2 {
        return Ok(());
    }
    let began = Instant::now();
    let mut running: Vec<&mut Trial> = trials.iter_mut().collect();
    for turn in 0..TURNS[1] {
        // Alternating order, so that none is always first after a pause.
        running.reverse();
        for trial in &mut running {
            trial.turn()?;
        }
        let leader = running.iter().map(|trial| trial.least).fold(f64::INFINITY, f64::min);
        let behind = BEHIND[turn.div_ceil(2).min(2)];
        running.iter_mut().for_each(|trial| trial.left = trial.least > behind * leader);
        running.retain(|trial| !trial.left);
        if running.len() < 2 || (turn + 1 >= TURNS[0] && began.elapsed() > patience) {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_decides_nothing() {
        let other = [10.0, 10.4, 9.8, 10.1, 10.9];
        assert!(is_faster(&other.map(|time| 0.95 * time), &other), "a twentieth less in each turn");
        assert!(is_faster(&other.map(|time| 0.99 * time), &other), "a hundredth, on a device without noise");
        assert!(!is_faster(&other, &other), "none is faster than itself");
        // The same five times in another order: the ratios range from 0.90 to 1.12 turn by turn.
        assert!(!is_faster(&[9.8, 10.9, 10.0, 10.4, 10.1], &other));
        // The least time of all belongs to a candidate that was slower in two turns of five.
        assert!(!is_faster(&[8.0, 10.5, 9.5, 10.3, 10.0], &other));
        // Faster in every turn, by 1% to 21%, but the median of 9% is at most twice its error.
        assert!(!is_faster(&[9.9, 8.2, 9.6, 9.2, 9.8], &other));
        assert!(!is_faster(&[5.0, 5.0, 5.0, 5.0], &[10.0; 5]), "too few turns to tell");
    }

    #[test]
    fn a_disturbed_turn_does_not_hide_a_difference() {
        let other = [10.0, 10.1, 9.9, 10.0, 10.2, 10.0, 9.9, 10.1, 10.0, 10.0];
        let mut candidate = other.map(|time| 0.96 * time);
        assert!(is_faster(&candidate, &other));
        candidate[3] = 25.0;
        assert!(is_faster(&candidate, &other), "one of ten");
        candidate[7] = 25.0;
        assert!(!is_faster(&candidate, &other), "two of ten");
        // A device that slows down over time affects both.
        let slower: Vec<f64> = (0..10).map(|turn| 10.0 * 1.3_f64.powi(turn)).collect();
        let candidate: Vec<f64> = slower.iter().map(|time| 0.97 * time).collect();
        assert!(is_faster(&candidate, &slower) && !is_faster(&slower, &candidate));
    }

    #[test]
    fn deviation_is_the_median_distance_from_the_median() {
        assert_eq!(median_and_deviation(&mut [1.0, 9.0, 2.0, 4.0, 3.0]), (3.0, 1.0));
        assert_eq!(median_and_deviation(&mut [1.0, 3.0]), (2.0, 1.0));
    }
}

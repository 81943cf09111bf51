//! Measures which kernel of several is fastest for each operation and shape of a tape, and keeps the winners in a file.
//!
//! For every key that has more than one candidate the node runs on its own over random numbers. Candidates take turns, so
//! that a device that slows down slows all of them; who falls behind leaves. The fastest is then checked: at the full shape
//! its outputs are compared with those of the kernel that is taken without a choice, and it is judged beside the twin, at the
//! smaller batch if the same pipelines run there. Who fails is named in the log, and the next one is checked.

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

/// The most candidates that are measured for one key.
const DOZEN: usize = 12;
/// Turns that every candidate which is not left behind gets, at least and at most.
const TURNS: [usize; 2] = [5, 10];
/// How many times slower than the fastest a candidate may be before it leaves: in the first turn, in the second and third,
/// and after them, where a smaller batch, which is not quite the same work, counts as a turn.
const BEHIND: [f64; 3] = [3.0, 1.5, 1.15];
/// A candidate that was this many times slower for this many keys of an operation is not tried for its others.
const HOPELESS: (f64, usize) = (3.0, 3);
/// Milliseconds that a sample lasts at least, so that a device that sleeps between submissions wakes up in it.
const SAMPLE: f64 = 0.5;
/// From so many milliseconds on, candidates are first compared at a smaller batch, and only those run at the full shape
/// that are nearly as fast as the fastest there.
const SLOW: f64 = 40.0;
/// Multiply-adds of a node that the twin, which does about 10⁹ a second, is asked for.
const MOST_OF_TWIN: u64 = 1 << 30;
/// What compiling a kernel on its first run takes at most, in milliseconds.
const COMPILING: f64 = 800.0;

/// What the tuner says after each key.
#[derive(Clone, Copy, Debug)]
pub struct TuneEvent<'a> {
    /// How many keys are done, this one included.
    pub done: usize,
    /// How many there are.
    pub of: usize,
    /// The key.
    pub key: &'a Key,
    /// What won.
    pub choice: &'a Choice,
    /// What one run takes by the winner, and by what is taken without a choice.
    pub milliseconds: [f64; 2],
    /// Whether this was known from an earlier run.
    pub cached: bool,
}

/// What tuning has come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tuning {
    /// The winners.
    pub choices: Choices,
    /// Keys that were measured.
    pub measured: usize,
    /// Keys that were known from an earlier run.
    pub cached: usize,
    /// Keys for which there was no time left.
    pub left: usize,
}

/// Measures candidates on a device.
pub struct Tuner {
    device: Device,
    winners: Winners,
    left: Duration,
    noise: Vec<f32>,
    /// The keys of all tapes so far.
    seen: HashSet<Key>,
    /// How often a candidate of an operation was hopeless.
    hopeless: HashMap<(&'static str, Choice), usize>,
}

impl Tuner {
    /// A tuner with the winners of earlier runs on this device, from the device's cache directory
    /// ([`crate::gpu::DeviceOptions::cache_dir`]), if it has one.
    pub fn new(device: &Device) -> Self {
        let file = device.cache_dir().map(|directory| directory.join(file_name(device)));
        let seconds = if device.caps().class == DeviceClass::Software { 100 } else { 18 };
        Tuner { left: Duration::from_secs(seconds), ..Tuner::with_cache(device, file) }
    }

    /// A tuner that keeps winners in `file`, or nowhere, with a minute to measure.
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

    /// How long it may measure in all; keys that are left then get no choice, and are measured the next time.
    pub fn budget(mut self, budget: Duration) -> Self {
        self.left = budget;
        self
    }

    /// The fastest candidate for each operation and shape of `tape` that no tape before has had.
    ///
    /// `smaller` is the same program for a smaller batch: where kernels are judged beside the twin, which is slow, and where slow
    /// kernels are sorted out first.
    pub fn tune(
        &mut self,
        tape: &Tape,
        smaller: Option<&Tape>,
        observe: &mut dyn FnMut(TuneEvent<'_>),
    ) -> Result<Tuning> {
        let began = Instant::now();
        let tuned = self.all(tape, smaller, began, observe);
        self.left = self.left.saturating_sub(began.elapsed());
        // What was measured before an error is as good as any; and an error in a cache is no reason to stop.
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
            // A parameter that is cut into pieces, say, may not fit as one input: then there is nothing to measure.
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

    /// The fastest candidate that is right.
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
        // Of every algorithm its best, then other tiles.
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
        // Those that may be faster by chance alone come after it.
        let mut ahead: Vec<Trial> = trials.drain(..=of_first).collect();
        let Some(first) = ahead.pop() else { return Ok(None) };
        let (mut sure, unsure): (Vec<_>, Vec<_>) = ahead.into_iter().partition(|trial| trial.beats(&first));
        let without = first.least;
        sure.push(first);
        trials.splice(..0, sure.into_iter().chain(unsure));
        self.right(full, small, chosen, &mut trials, without)
    }

    /// The first of these that computes the right thing.
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

    /// Whether a candidate computes the right thing: as it was judged before, or at the smaller batch where the same pipelines
    /// run. Where others do it is judged at the full shape, unless that takes the twin too long: then at the smaller batch, and what
    /// is said of those pipelines is not kept.
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

    /// How long candidates take turns, beyond the turns that each gets.
    fn patience(&self) -> Duration {
        Duration::from_millis(if self.device.caps().class == DeviceClass::Software { 600 } else { 50 })
    }
}

/// Whether two plans have the same nodes, of different extents.
fn alike(a: &Plan, b: &Plan) -> bool {
    let same = |(a, b): (&Chosen, &Chosen)| a.node.name == b.node.name && a.node.op.name() == b.node.op.name();
    a.chosen.len() == b.chosen.len() && a.chosen.iter().zip(&b.chosen).all(same)
}

/// The hash of all candidates and of the kernels that they become.
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
    /// How often it runs in a sample.
    count: usize,
    least: f64,
    turns: Vec<f64>,
    /// Whether it fell behind and takes no more turns.
    left: bool,
}

impl Trial {
    /// Compiles and runs; what is far behind the leader with that is not run again.
    fn new(excerpt: &Excerpt, choice: &Choice, leader: f64) -> Result<Self> {
        let mut session = excerpt.session(choice)?;
        let began = Instant::now();
        session.step()?;
        session.wait()?;
        let first = began.elapsed().as_secs_f64() * 1e3;
        let (mut count, mut least) = (1, first);
        if first - COMPILING <= HOPELESS.0 * leader {
            // From the time of what runs alone: a submission has its own cost, which would blur short ones.
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

    /// Whether it is faster than another, and not by chance.
    fn beats(&self, other: &Trial) -> bool {
        let outlasted = other.left && (!self.left || self.turns.len() > other.turns.len());
        outlasted || is_faster(&self.turns, &other.turns)
    }
}

/// Whether a candidate is faster than another by more than their times are spread, from turns that they took side by side.
///
/// What disturbs a turn disturbs both, so the quotients of the turns count. Their median has an error, which is estimated from
/// their median absolute deviation (1.4826 of it are a standard deviation, and 1.2533 / √n of that is the error of a
/// median); two of these must lie between the median and 1. That deviation is little sure of few turns, so the candidate must
/// also have been faster in all of five to nine turns, in nine of ten: of two equal ones that happens in 3% of five turns.
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

/// Which of the candidates are nearly as fast as the fastest at a smaller batch, and which are hopeless.
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
            // What does not run here is tried, and named, at the full shape.
            Err(_) => near.push(choice),
        }
    }
    take_turns(&mut trials, patience)?;
    let leader = trials.iter().map(|trial| trial.least).fold(f64::INFINITY, f64::min);
    let is_near = |choice: &Choice| trials.iter().any(|t| t.choice == *choice && t.least <= BEHIND[2] * leader);
    near.extend(candidates.iter().copied().filter(|choice| is_near(choice)));
    Ok([near, hopeless])
}

/// Lets the candidates run in turns, until enough is known.
fn take_turns(trials: &mut [Trial], patience: Duration) -> Result<()> {
    if trials.len() < 2 {
        return Ok(());
    }
    let began = Instant::now();
    let mut running: Vec<&mut Trial> = trials.iter_mut().collect();
    for turn in 0..TURNS[1] {
        // Back and forth, so that none is always the first after a pause.
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
        // The same five times in another order: as different as 1.12 and 0.90 turn by turn.
        assert!(!is_faster(&[9.8, 10.9, 10.0, 10.4, 10.1], &other));
        // The least of all times is a candidate's that was slower in two turns of five.
        assert!(!is_faster(&[8.0, 10.5, 9.5, 10.3, 10.0], &other));
        // Faster in every turn, by 1% to 21%: the median of 9% is no more than twice its error.
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
        // A device that gets slower and slower slows both.
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

//! Reports whose numbers come late: in order, none lost, of their own steps, and what follows from them stays exact.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tilegrad::data::{ImageSet, ResidentSource, synthetic};
use tilegrad::graph::{Stage, Tape};
use tilegrad::nn::{Flatten, Linear, Sequential};
use tilegrad::optim::Sgd;
use tilegrad::plan::Memory;
use tilegrad::tensor::{Tensor, TensorId, Values};
use tilegrad::train::{
    Checkpoints, CpuEngine, Engine, Event, Flow, OnNonFinite, ProgramId, Reading, TrainOptions, Trainer,
};
use tilegrad::twin::Value;
use tilegrad::{Error, NonFinite, Result};

use crate::common::scratch::Scratch;

/// The reference executor, whose readings come so many runs after they were asked for, as those of a busy device do.
struct Late {
    engine: CpuEngine,
    runs: Arc<AtomicUsize>,
    by: usize,
    /// Readings that somebody had to wait for.
    waited: Arc<AtomicUsize>,
}

struct LateReading {
    values: Option<Vec<f32>>,
    at: usize,
    runs: Arc<AtomicUsize>,
    waited: Arc<AtomicUsize>,
}

impl Reading for LateReading {
    fn poll(&mut self) -> Result<Option<Vec<f32>>> {
        Ok(if self.runs.load(Relaxed) >= self.at { self.values.take() } else { None })
    }

    fn wait(&mut self) -> Result<Vec<f32>> {
        if self.runs.load(Relaxed) < self.at {
            self.waited.fetch_add(1, Relaxed);
        }
        Ok(self.values.take().expect("a reading is taken once"))
    }
}

impl Engine for Late {
    fn name(&self) -> String {
        self.engine.name()
    }
    fn initialise(&mut self, tape: &Tape, seed: u64) -> Result<()> {
        self.engine.initialise(tape, seed)
    }
    fn compile(&mut self, tape: Tape) -> Result<ProgramId> {
        self.engine.compile(tape)
    }
    fn tape(&self, program: ProgramId) -> &Tape {
        self.engine.tape(program)
    }
    fn memory(&self, program: ProgramId) -> Option<Memory> {
        self.engine.memory(program)
    }
    fn set_resident(&mut self, name: &str, images: &ImageSet) -> Result<()> {
        self.engine.set_resident(name, images)
    }
    fn write(&mut self, program: ProgramId, name: &str, values: Values<'_>) -> Result<()> {
        self.engine.write(program, name, values)
    }
    fn run(&mut self, program: ProgramId, stages: &[Stage]) -> Result<()> {
        self.runs.fetch_add(1, Relaxed);
        self.engine.run(program, stages)
    }
    fn wait(&mut self) -> Result<()> {
        self.engine.wait()
    }
    fn read(&mut self, program: ProgramId, id: TensorId) -> Result<Vec<f32>> {
        self.engine.read(program, id)
    }
    fn state(&mut self, name: &str) -> Result<Vec<f32>> {
        self.engine.state(name)
    }
    fn request_state(&mut self, name: &str) -> Result<Box<dyn Reading>> {
        let (values, at) = (Some(self.engine.state(name)?), self.runs.load(Relaxed) + self.by);
        Ok(Box::new(LateReading { values, at, runs: Arc::clone(&self.runs), waited: Arc::clone(&self.waited) }))
    }
    fn clear_state(&mut self, name: &str) -> Result<()> {
        self.engine.clear_state(name)
    }
    fn set_state(&mut self, name: &str, values: &[f32]) -> Result<()> {
        self.engine.set_state(name, values)
    }
    fn parameter(&mut self, name: &str) -> Result<Vec<f32>> {
        self.engine.parameter(name)
    }
    fn set_parameter(&mut self, name: &str, values: &[f32]) -> Result<()> {
        self.engine.set_parameter(name, values)
    }
    fn optimizer_buffer(&mut self, parameter: &str, buffer: &str) -> Result<Vec<f32>> {
        self.engine.optimizer_buffer(parameter, buffer)
    }
    fn set_optimizer_buffer(&mut self, parameter: &str, buffer: &str, values: &[f32]) -> Result<()> {
        self.engine.set_optimizer_buffer(parameter, buffer, values)
    }
    fn buffer(&mut self, tensor: &Tensor) -> Result<Value<f32>> {
        self.engine.buffer(tensor)
    }
    fn set_buffer(&mut self, name: &str, values: Value<f32>) -> Result<()> {
        self.engine.set_buffer(name, values)
    }
}

/// What a run has told, and how it ended.
#[derive(Debug, Default, PartialEq)]
struct Told {
    /// Epoch, images, and the bits of loss and accuracy, of each report.
    reports: Vec<(usize, usize, u64, u64)>,
    /// Steps that had been told before each report.
    steps: Vec<u32>,
    /// The bits of all losses.
    losses: Vec<u32>,
    /// How many of the readings somebody waited for.
    waited: usize,
    /// What was not finite, where the run went on.
    warned: Vec<String>,
    /// What ended the run.
    error: Option<NonFinite>,
}

fn options(report_every: usize) -> TrainOptions {
    // Ten steps an epoch, the last of 16 images.
    TrainOptions::default().epochs(2).batch_size(32).seed(4).report_every(report_every)
}

/// Trains a linear model on an engine whose readings are late by so many runs.
fn run(by: usize, lr: f64, options: TrainOptions, stop_at: u32, checkpoints: Option<&mut Checkpoints>) -> Told {
    let waited = Arc::new(AtomicUsize::new(0));
    let engine = Late { engine: CpuEngine::new(), runs: Arc::default(), by, waited: Arc::clone(&waited) };
    let mut train = ResidentSource::new("train", synthetic::digits(1, 304));
    let mut test = ResidentSource::new("test", synthetic::digits(2, 32));
    let model = Sequential::new().with("flatten", Flatten).with("fc", Linear::new(784, 10));
    let mut trainer = Trainer::new(model, Sgd::new(lr), engine, options, &train).unwrap();
    let (mut told, mut steps) = (Told::default(), 0);
    let mut look = |event: &Event<'_>, _: &mut Trainer| {
        match event {
            Event::Progress { epoch, images, loss, accuracy, .. } => {
                told.reports.push((*epoch, *images, loss.to_bits(), accuracy.to_bits()));
                told.steps.push(steps);
            }
            Event::Step { steps: so_far, .. } => steps = *so_far,
            Event::NonFinite(found) => told.warned.push(found.to_string()),
            _ => {}
        }
        Ok(if steps == stop_at { Flow::Stop } else { Flow::Continue })
    };
    let result = match checkpoints {
        Some(checkpoints) => trainer.fit_with(&mut train, &mut test, &mut [&mut look, checkpoints]),
        None => trainer.fit_with(&mut train, &mut test, &mut [&mut look]),
    };
    told.error = match result {
        Ok(_) => None,
        Err(Error::NonFinite(found)) => Some(found),
        Err(error) => panic!("{error}"),
    };
    told.losses = trainer.history().losses.iter().map(|loss| loss.to_bits()).collect();
    told.waited = waited.load(Relaxed);
    told
}

#[test]
fn late_reports_are_the_same_and_come_after_later_steps() {
    for every in [1, 3] {
        let expected = run(0, 0.05, options(every), u32::MAX, None);
        assert_eq!((expected.losses.len(), expected.waited), (20, 0));
        assert_eq!(expected.reports.len(), if every == 1 { 20 } else { 8 });
        for by in [1, 2, 4, 30] {
            let late = run(by, 0.05, options(every), u32::MAX, None);
            assert_eq!((&late.reports, &late.losses), (&expected.reports, &expected.losses), "late by {by}");
            // Without waiting, but at the end of an epoch for those that are still on their way.
            let at_end =
                |epoch: usize| (1..=10).filter(|i| (i % every == 0 || *i == 10) && i + by > 10 && epoch > 0).count();
            assert_eq!(late.waited, at_end(1) + at_end(2), "late by {by}");
            let later = late.steps.iter().zip(&expected.steps).filter(|(late, soon)| late > soon).count();
            assert!(later >= late.reports.len() - 2, "late by {by}: {:?} and {:?}", late.steps, expected.steps);
        }
    }
}

#[test]
fn a_run_that_is_stopped_tells_what_is_on_its_way() {
    let expected = run(0, 0.05, options(1), 7, None);
    let late = run(3, 0.05, options(1), 7, None);
    assert_eq!((&late.reports, &late.losses), (&expected.reports, &expected.losses));
    assert_eq!((late.reports.len(), late.losses.len()), (7, 7));
}

#[test]
fn a_loss_that_is_not_finite_is_traced_to_the_same_step_and_tensor() {
    for every in [1, 3] {
        let found = run(0, 1e38, options(every), u32::MAX, None).error.unwrap();
        assert!(found.tensor.is_some() && found.step < 8, "{found}");
        let warn = options(every).on_non_finite(OnNonFinite::Warn);
        let expected = run(0, 1e38, warn, u32::MAX, None);
        for by in [1, 2, 4] {
            let again = run(by, 1e38, options(every), u32::MAX, None).error.unwrap();
            assert_eq!(again.to_string(), found.to_string(), "late by {by}");
            let late = run(by, 1e38, warn, u32::MAX, None);
            assert_eq!((&late.warned, &late.losses), (&expected.warned, &expected.losses), "late by {by}");
            assert_eq!(late.reports, expected.reports, "late by {by}");
        }
    }
}

#[test]
fn a_checkpoint_is_none_of_a_run_that_has_gone_wrong() {
    let found = run(0, 1e38, options(1), u32::MAX, None).error.unwrap();
    for by in [0, 4] {
        let folder = Scratch::new("reports");
        let mut checkpoints = Checkpoints::new(&folder).unwrap().every_steps(1);
        // The search for the step goes back to the last copy from before it.
        let again = run(by, 1e38, options(1), u32::MAX, Some(&mut checkpoints)).error.unwrap();
        let kept: BTreeSet<u32> = std::fs::read_dir(&folder)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_string_lossy().get(11..21)?.parse().ok())
            .collect();
        assert_eq!((again.step, again.tensor.as_ref()), (found.step, found.tensor.as_ref()), "late by {by}");
        assert!(kept.iter().all(|&steps| (steps as usize) < found.step), "{kept:?} of {found}");
    }
}

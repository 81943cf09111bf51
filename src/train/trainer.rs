//! The parts of a run: the model, its tapes for every batch size over one parameter store, a step, an evaluation.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

use super::diagnosis::Diagnosis;
use super::engine::{Engine, ProgramId, Reading, Sink};
use super::event::{Event, Flow};
use super::history::History;
use super::loss::{CrossEntropyLoss, Loss, Objective};
use super::options::TrainOptions;
use super::run::Run;
use super::snapshot::Snapshot;
use super::weights::Metadata;
use crate::data::{Batch, BatchSource, ordered_batches};
use crate::error::{Error, Result};
use crate::gpu::{Profile, TuneEvent, Tuning};
use crate::graph::{Purpose, RANDOM, Stage, Tape};
use crate::nn::Module;
use crate::ops::confusion::{AccumulateConfusion, Confusion, MOST_CLASSES};
use crate::ops::metrics::Metrics;
use crate::optim::{ACCUMULATE, Optimizer, Rates, Schedule};
use crate::rng;
use crate::tensor::Values;

/// Name of the state that counts an evaluation's correct and wrong predictions.
const CONFUSION: &str = "evaluate.confusion";

/// Name of the state that accumulates losses.
pub(super) fn losses_of(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Train => "train.metrics",
        Purpose::Evaluate => "evaluate.metrics",
    }
}

/// Name of a metric's state.
pub(super) fn state_of(purpose: Purpose, metric: &str) -> String {
    format!("{}.{metric}", losses_of(purpose))
}

/// Observes a training run, and may end it.
///
/// A closure over the event and the trainer implements it:
///
/// ```
/// use tilegrad::train::{Callback, Event, Flow, Trainer};
///
/// fn is_one(_: impl Callback) {}
/// is_one(|event: &Event<'_>, _: &mut Trainer| match event {
///     Event::Epoch(epoch) if epoch.validation_accuracy > 0.99 => Ok(Flow::Stop),
///     _ => Ok(Flow::Continue),
/// });
/// ```
pub trait Callback {
    /// Receives an event. The trainer is between two steps, and every method can be called. An error ends the run.
    fn on_event(&mut self, event: &Event<'_>, trainer: &mut Trainer) -> Result<Flow>;
}

impl<F: FnMut(&Event<'_>, &mut Trainer) -> Result<Flow>> Callback for F {
    fn on_event(&mut self, event: &Event<'_>, trainer: &mut Trainer) -> Result<Flow> {
        self(event, trainer)
    }
}

/// Trains a model on an engine. It owns both, and the callbacks.
///
/// It can be kept in a struct and sent to another thread.
pub struct Trainer {
    model: Box<dyn Module>,
    pub(super) loss: Box<dyn Loss>,
    pub(super) optimizer: Box<dyn Optimizer>,
    pub(super) schedule: Schedule,
    pub(super) engine: Box<dyn Engine>,
    pub(super) options: TrainOptions,
    /// The tape from which the parameters were created.
    pub(super) tape: Tape,
    /// Names of the metrics measured beside the loss.
    pub(super) metrics: Vec<String>,
    /// True if the loss predicts classes, and so has an accuracy.
    pub(super) has_classes: bool,
    /// Number of classes that the loss predicts; 0 if it predicts none.
    classes: usize,
    /// The counts of the last validation of [`Trainer::fit`].
    pub(super) validated: Option<Confusion>,
    /// Programs by data source, purpose and batch size.
    pub(super) programs: HashMap<(String, Purpose, usize), ProgramId>,
    pub(super) prepared: HashSet<String>,
    /// Number of training images.
    pub(super) images: usize,
    /// Digest of images and labels, if it is known.
    pub(super) digest: Option<u64>,
    /// Metadata of the model's files.
    pub(super) metadata: Metadata,
    pub(super) callbacks: Vec<Box<dyn Callback + Send>>,
    /// The position of the run.
    pub(super) run: Run,
    /// Reports whose numbers have not arrived.
    pub(super) asked: VecDeque<Report>,
    /// The host's last copy of the run.
    pub(super) kept: Option<Arc<Snapshot>>,
}

/// A report whose numbers have not arrived.
pub(super) struct Report {
    pub epoch: usize,
    /// Number of batches of the epoch that it covers.
    pub batch: usize,
    /// Number of images in those batches.
    pub images: usize,
    pub reading: Box<dyn Reading>,
}

/// A batch's part in an update.
pub(super) struct Share {
    /// The batch's images as a fraction of the update's.
    pub weight: f32,
    pub first: bool,
    pub last: bool,
}

impl Share {
    /// The part of batch `i`, if `count` consecutive batches form an update.
    pub fn new(batches: &[Vec<u32>], i: usize, count: usize) -> Self {
        let begin = i - i % count;
        let end = batches.len().min(begin + count);
        let images: usize = batches[begin..end].iter().map(Vec::len).sum();
        Share { weight: batches[i].len() as f32 / images as f32, first: i == begin, last: i + 1 == end }
    }
}

impl Trainer {
    /// Creates a trainer of a classifier with [`CrossEntropyLoss`] and initial parameters. `train` determines the form
    /// of a batch.
    pub fn new(
        model: impl Module + 'static,
        optimizer: impl Optimizer + 'static,
        engine: impl Into<Box<dyn Engine>>,
        options: TrainOptions,
        train: &dyn BatchSource,
    ) -> Result<Self> {
        options.validate()?;
        let loss =
            CrossEntropyLoss { label_smoothing: options.label_smoothing, mixup: options.mixup, class_weights: None };
        Self::made(Box::new(model), Box::new(loss), Box::new(optimizer), engine.into(), options, train)
    }

    /// Creates a trainer like [`Trainer::new`], with any loss.
    pub fn with_loss(
        model: impl Module + 'static,
        loss: impl Loss + 'static,
        optimizer: impl Optimizer + 'static,
        engine: impl Into<Box<dyn Engine>>,
        options: TrainOptions,
        train: &dyn BatchSource,
    ) -> Result<Self> {
        options.validate()?;
        if options.label_smoothing != 0.0 || options.mixup.is_some() {
            let message =
                "label smoothing and mixup are settings of CrossEntropyLoss: give them to that loss, or leave them out";
            return Err(Error::config("options", message));
        }
        Self::made(Box::new(model), Box::new(loss), Box::new(optimizer), engine.into(), options, train)
    }

    fn made(
        model: Box<dyn Module>,
        loss: Box<dyn Loss>,
        optimizer: Box<dyn Optimizer>,
        engine: Box<dyn Engine>,
        options: TrainOptions,
        train: &dyn BatchSource,
    ) -> Result<Self> {
        let schedule = Schedule::constant(&*optimizer)?;
        if train.is_empty() {
            return Err(Error::config("training data", "holds no image"));
        }
        let mut trainer = Trainer {
            model,
            loss,
            optimizer,
            schedule,
            engine,
            options,
            tape: Tape::new(Purpose::Train),
            metrics: Vec::new(),
            has_classes: false,
            classes: 0,
            validated: None,
            programs: HashMap::new(),
            prepared: HashSet::new(),
            images: train.len(),
            digest: train.digest(),
            metadata: Metadata::new(),
            callbacks: Vec::new(),
            run: Run::default(),
            asked: VecDeque::new(),
            kept: None,
        };
        let (tape, objective) = trainer.measured_tape(train, Purpose::Train, options.batch_size.min(train.len()))?;
        trainer.classes = objective.classes.and_then(|of| tape.shape(of.logits).dims().get(1).copied()).unwrap_or(0);
        trainer.tape = tape;
        trainer.has_classes = objective.classes.is_some();
        trainer.metrics = objective.metrics.into_iter().map(|(name, _)| name).collect();
        trainer.engine.initialise(&trainer.tape, options.seed)?;
        Ok(trainer)
    }

    /// Adds a callback, which receives events from now on and may end a run.
    pub fn on(&mut self, callback: impl Callback + Send + 'static) -> &mut Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Sets a schedule that gives every step's learning rate and momentum in place of the optimizer.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Sets texts for the metadata of the model's files, such as class names.
    pub fn described(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// The position of the run.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// The history of the run so far.
    pub fn history(&self) -> &History {
        &self.run.history
    }

    /// The options of the run.
    pub fn options(&self) -> &TrainOptions {
        &self.options
    }

    /// The model.
    pub fn model(&self) -> &dyn Module {
        &*self.model
    }

    /// The engine.
    pub fn engine(&mut self) -> &mut dyn Engine {
        &mut *self.engine
    }

    /// The model and the engine that holds its parameters, for use after training.
    pub fn model_and_engine(&mut self) -> (&dyn Module, &mut dyn Engine) {
        (&*self.model, &mut *self.engine)
    }

    /// Returns the engine, with the parameters as trained.
    pub fn into_engine(self) -> Box<dyn Engine> {
        self.engine
    }

    /// The tape from which the parameters and buffers were created, for saving and loading them.
    pub fn tape(&self) -> &Tape {
        &self.tape
    }

    /// Builds a tape for batches of `size` of `source`, with its loss and metrics.
    fn measured_tape(&self, source: &dyn BatchSource, purpose: Purpose, size: usize) -> Result<(Tape, Objective)> {
        let mut tape = Tape::new(purpose);
        let (input, target) = source.declare(&mut tape, size)?;
        let objective = self.loss.append(&mut tape, &*self.model, input, target)?;
        let (state, loss) = (losses_of(purpose), objective.loss);
        match objective.classes {
            Some(classes) if classes.counts.loss == loss => tape.accumulate(state, classes.counts)?,
            // The reported loss is the minimised one, even if only a part of it predicts classes.
            Some(classes) => tape.accumulate_mean_of(state, loss, size, classes.counts)?,
            None => tape.accumulate_mean(state, loss, size)?,
        }
        for (name, value) in &objective.metrics {
            tape.accumulate_mean(&state_of(purpose, name), *value, size)?;
        }
        match (purpose, self.options.accumulate) {
            (Purpose::Train, 1) => self.optimizer.minimize(&mut tape, objective.loss)?,
            (Purpose::Train, _) => self.optimizer.minimize_accumulated(&mut tape, objective.loss)?,
            (Purpose::Evaluate, _) => {
                if let Some(classes) = objective.classes {
                    let op = AccumulateConfusion::default();
                    tape.accumulate_confusion(CONFUSION, classes.logits, classes.target, op)?;
                }
            }
        }
        Ok((tape, objective))
    }

    pub(super) fn tape_for(&self, source: &dyn BatchSource, purpose: Purpose, size: usize) -> Result<Tape> {
        Ok(self.measured_tape(source, purpose, size)?.0)
    }

    /// The tapes that take most of a run's time over `train`: training and evaluation at the full batch size.
    fn tapes(&self, train: &dyn BatchSource, size: usize) -> Result<[Tape; 2]> {
        Ok([self.tape_for(train, Purpose::Train, size)?, self.tape_for(train, Purpose::Evaluate, size)?])
    }

    /// Measures the fastest candidates for batches of `train`, and uses them from now on. `None` if the engine has no
    /// candidates. Call it before the first step, since compiled programs keep their candidates.
    ///
    /// A smaller last batch of an epoch is not measured. It takes the default choices.
    pub fn tune(&mut self, train: &dyn BatchSource, observe: &mut dyn FnMut(TuneEvent<'_>)) -> Result<Option<Tuning>> {
        let size = self.options.batch_size.min(train.len());
        // Large enough for batch norm, small enough for the reference executor.
        let small = (size / 8).max(2);
        let full = self.tapes(train, size)?;
        let tapes: Vec<(Tape, Option<Tape>)> = if small < size {
            full.into_iter().zip(self.tapes(train, small)?.map(Some)).collect()
        } else {
            full.into_iter().map(|tape| (tape, None)).collect()
        };
        self.engine.tune(&tapes, observe)
    }

    /// Uses the choices of a file written by an earlier run, by [`Engine::pin`]. Returns the number of them for full
    /// batches of `train`.
    pub fn pin(&mut self, file: &Path, train: &dyn BatchSource) -> Result<usize> {
        let tapes = self.tapes(train, self.options.batch_size.min(train.len()))?;
        self.engine.pin(file, &tapes)
    }

    /// The program for a source, a purpose and a batch size, compiled on first use.
    pub(super) fn program(&mut self, source: &dyn BatchSource, purpose: Purpose, size: usize) -> Result<ProgramId> {
        let key = (source.name().to_string(), purpose, size);
        if let Some(&program) = self.programs.get(&key) {
            return Ok(program);
        }
        let program = self.engine.compile(self.tape_for(source, purpose, size)?)?;
        self.programs.insert(key, program);
        Ok(program)
    }

    /// Copies the resident data of `source` to the device, once.
    pub(super) fn prepare(&mut self, source: &dyn BatchSource) -> Result<()> {
        if self.prepared.insert(source.name().to_string()) {
            source.prepare(&mut Sink::resident(&mut *self.engine))?;
        }
        Ok(())
    }

    /// Runs one step on the images `indices`. An update follows after its last batch.
    pub(super) fn step(
        &mut self,
        source: &mut dyn BatchSource,
        indices: &[u32],
        rates: Rates,
        share: &Share,
    ) -> Result<()> {
        let program = self.program(source, Purpose::Train, indices.len())?;
        self.feed(source, program, indices, rates, share)?;
        let stages = [Stage::Gather, Stage::Forward, Stage::Backward, Stage::Update];
        self.engine.run(program, if share.last { &stages } else { &stages[..3] })
    }

    /// Writes all inputs of the next step of `program`, and counts the step.
    pub(super) fn feed(
        &mut self,
        source: &mut dyn BatchSource,
        program: ProgramId,
        indices: &[u32],
        rates: Rates,
        share: &Share,
    ) -> Result<()> {
        let random = rng::draw(self.options.seed, self.run.steps);
        let mut inputs = self.optimizer.hyperparameters(self.engine.tape(program), rates);
        inputs.extend(self.loss.inputs(&random));
        if self.options.accumulate > 1 {
            let first = f32::from(u8::from(share.first));
            inputs.push((ACCUMULATE.to_string(), vec![share.weight, first, 0.0, 0.0]));
        }
        for (name, values) in inputs {
            self.engine.write(program, &name, Values::F32(&values))?;
        }
        if self.engine.tape(program).find_input(RANDOM).is_some() {
            self.engine.write(program, RANDOM, Values::I32(&random))?;
        }
        self.run.steps += 1;
        source.feed(&Batch::train(indices, random), &mut Sink::step(&mut *self.engine, program))
    }

    /// Profiles a training step on the first full batch of `source`: medians over `repeats` steps, and the device's
    /// peak rates. `None` on an engine without dispatches.
    ///
    /// The steps have learning rate 0, so that parameters do not change. Momentum buffers and states, such as running
    /// statistics, change as in any step. Profile after everything that is to be tested or saved.
    pub fn profile(&mut self, source: &mut dyn BatchSource, repeats: usize) -> Result<Option<Profile>> {
        self.prepare(source)?;
        let indices: Vec<u32> = (0..self.options.batch_size.min(source.len()) as u32).collect();
        let rates = Rates { lr: 0.0, ..self.optimizer.rates() };
        self.step(source, &indices, rates, &Share { weight: 1.0, first: true, last: true })?;
        let program = self.program(source, Purpose::Train, indices.len())?;
        self.engine.profile(program, repeats)
    }

    /// Returns loss, accuracy and further metrics over all images of `source`.
    pub fn evaluate(&mut self, source: &mut dyn BatchSource) -> Result<Metrics> {
        if source.is_empty() {
            return Err(Error::config(source.name(), "has no images to evaluate on"));
        }
        self.prepare(source)?;
        let names: Vec<String> = self.metrics.iter().map(|name| state_of(Purpose::Evaluate, name)).collect();
        for state in names.iter().map(String::as_str).chain([losses_of(Purpose::Evaluate), CONFUSION]) {
            self.engine.clear_state(state)?;
        }
        let batches = ordered_batches(source.len(), self.options.batch_size);
        source.plan(&batches.iter().map(|batch| Batch::evaluate(batch)).collect::<Vec<_>>());
        for batch in batches {
            let program = self.program(source, Purpose::Evaluate, batch.len())?;
            source.feed(&Batch::evaluate(&batch), &mut Sink::step(&mut *self.engine, program))?;
            self.engine.run(program, &[Stage::Gather, Stage::Forward])?;
        }
        self.measured(Purpose::Evaluate)
    }

    /// Loss, accuracy and further metrics since the states of `purpose` were cleared.
    pub(super) fn measured(&mut self, purpose: Purpose) -> Result<Metrics> {
        let mut metrics = Metrics::from_state(&self.engine.state(losses_of(purpose))?)?;
        for name in &self.metrics {
            let metric = Metrics::from_state(&self.engine.state(&state_of(purpose, name))?)?;
            metrics.others.push((name.clone(), metric.loss));
        }
        Ok(metrics)
    }

    /// True if there are so many classes that their confusion matrix is not counted, only the counts of each class
    /// ([`crate::ops::confusion::MOST_CLASSES`]).
    pub fn omits_matrix(&self) -> bool {
        self.classes > MOST_CLASSES
    }

    /// The counts of the last validation of [`Trainer::fit`]. `None` if there was none, or the loss has no classes.
    pub fn validated(&self) -> Option<&Confusion> {
        self.validated.as_ref()
    }

    /// Diagnoses the run, with what the counts of the last validation tell. `None` if no epoch has ended. Without
    /// `names`, classes are named by number.
    pub fn diagnosis(&self, names: &[String]) -> Option<Diagnosis> {
        let diagnosis = Diagnosis::of_classes(&self.run.history.epochs, self.classes)?;
        Some(match &self.validated {
            Some(found) => diagnosis.validated(found, names),
            None => diagnosis,
        })
    }

    /// Returns the confusion matrix of the last [`Trainer::evaluate`] or validation, and the number of times that the
    /// true class was among the five best. [`Error::Name`] if the loss has no classes, or nothing has been evaluated
    /// yet.
    pub fn confusion(&mut self) -> Result<Confusion> {
        Ok(Confusion::from_state(&self.engine.state(CONFUSION)?))
    }
}

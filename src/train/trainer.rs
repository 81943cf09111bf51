//! What a run consists of: the model, its tapes for every batch size over one parameter store, a step, an evaluation.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

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
use crate::ops::confusion::{AccumulateConfusion, Confusion};
use crate::ops::metrics::Metrics;
use crate::optim::{ACCUMULATE, Optimizer, Rates, Schedule};
use crate::rng;
use crate::tensor::Values;

/// The state that right and wrong predictions of an evaluation are counted in.
const CONFUSION: &str = "evaluate.confusion";

/// The state that losses are added up in.
pub(super) fn losses_of(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Train => "train.metrics",
        Purpose::Evaluate => "evaluate.metrics",
    }
}

/// The state of a metric.
pub(super) fn state_of(purpose: Purpose, metric: &str) -> String {
    format!("{}.{metric}", losses_of(purpose))
}

/// What looks on while a model is trained, and may end it.
///
/// A closure over the event and the trainer is one:
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
    /// Takes an event; the trainer is between two steps and may be asked for anything. An error ends the run.
    fn on_event(&mut self, event: &Event<'_>, trainer: &mut Trainer) -> Result<Flow>;
}

impl<F: FnMut(&Event<'_>, &mut Trainer) -> Result<Flow>> Callback for F {
    fn on_event(&mut self, event: &Event<'_>, trainer: &mut Trainer) -> Result<Flow> {
        self(event, trainer)
    }
}

/// Trains a model on an engine: it owns both, and what looks on.
///
/// It can be kept in a struct and sent to another thread.
pub struct Trainer {
    model: Box<dyn Module>,
    pub(super) loss: Box<dyn Loss>,
    pub(super) optimizer: Box<dyn Optimizer>,
    pub(super) schedule: Schedule,
    pub(super) engine: Box<dyn Engine>,
    pub(super) options: TrainOptions,
    /// The tape that the parameters were made for.
    pub(super) tape: Tape,
    /// The names of what is measured beside the loss.
    pub(super) metrics: Vec<String>,
    /// By data source, purpose and batch size.
    pub(super) programs: HashMap<(String, Purpose, usize), ProgramId>,
    pub(super) prepared: HashSet<String>,
    /// How many images there are to train on.
    pub(super) images: usize,
    /// What goes into the metadata of the model's files.
    pub(super) metadata: Metadata,
    pub(super) callbacks: Vec<Box<dyn Callback + Send>>,
    /// Where the run is.
    pub(super) run: Run,
    /// Reports whose numbers are on their way.
    pub(super) asked: VecDeque<Report>,
    /// The host's last copy of the run.
    pub(super) kept: Option<Arc<Snapshot>>,
}

/// A report whose numbers are on their way.
pub(super) struct Report {
    pub epoch: usize,
    /// Batches of the epoch that it is about.
    pub batch: usize,
    /// Their images.
    pub images: usize,
    pub reading: Box<dyn Reading>,
}

/// What part of an update's images a batch is.
pub(super) struct Share {
    /// Its images as a part of all of them.
    pub weight: f32,
    pub first: bool,
    pub last: bool,
}

impl Share {
    /// Of batch `i`, where `count` in a row make an update.
    pub fn new(batches: &[Vec<u32>], i: usize, count: usize) -> Self {
        let begin = i - i % count;
        let end = batches.len().min(begin + count);
        let images: usize = batches[begin..end].iter().map(Vec::len).sum();
        Share { weight: batches[i].len() as f32 / images as f32, first: i == begin, last: i + 1 == end }
    }
}

impl Trainer {
    /// A trainer of a classifier, by [`CrossEntropyLoss`], whose parameters have their first values; `train` says what a batch is.
    pub fn new(
        model: impl Module + 'static,
        optimizer: impl Optimizer + 'static,
        engine: impl Into<Box<dyn Engine>>,
        options: TrainOptions,
        train: &dyn BatchSource,
    ) -> Result<Self> {
        options.validate()?;
        let loss = CrossEntropyLoss { label_smoothing: options.label_smoothing, mixup: options.mixup };
        Self::made(Box::new(model), Box::new(loss), Box::new(optimizer), engine.into(), options, train)
    }

    /// [`Trainer::new`] for a loss of any kind.
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
            programs: HashMap::new(),
            prepared: HashSet::new(),
            images: train.len(),
            metadata: Metadata::new(),
            callbacks: Vec::new(),
            run: Run::default(),
            asked: VecDeque::new(),
            kept: None,
        };
        let (tape, objective) = trainer.measured_tape(train, Purpose::Train, options.batch_size.min(train.len()))?;
        trainer.tape = tape;
        trainer.metrics = objective.metrics.into_iter().map(|(name, _)| name).collect();
        trainer.engine.initialise(&trainer.tape, options.seed)?;
        Ok(trainer)
    }

    /// Adds what looks on from now on, and may end a run.
    pub fn on(&mut self, callback: impl Callback + Send + 'static) -> &mut Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Takes every step's learning rate and momentum from `schedule` in place of the optimizer.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Puts these texts into the metadata of the model's files: names of classes, say.
    pub fn described(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Where the run is.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// What the run was like so far.
    pub fn history(&self) -> &History {
        &self.run.history
    }

    /// The options.
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

    /// The model and the engine that has its parameters, for what comes after training.
    pub fn model_and_engine(&mut self) -> (&dyn Module, &mut dyn Engine) {
        (&*self.model, &mut *self.engine)
    }

    /// The engine, with the parameters as training has left them.
    pub fn into_engine(self) -> Box<dyn Engine> {
        self.engine
    }

    /// The tape that the parameters and buffers were made for: what to save and load them by.
    pub fn tape(&self) -> &Tape {
        &self.tape
    }

    /// A tape for batches of `size` of `source`, and what its loss has put on it.
    fn measured_tape(&self, source: &dyn BatchSource, purpose: Purpose, size: usize) -> Result<(Tape, Objective)> {
        let mut tape = Tape::new(purpose);
        let (input, target) = source.declare(&mut tape, size)?;
        let objective = self.loss.append(&mut tape, &*self.model, input, target)?;
        let (state, loss) = (losses_of(purpose), objective.loss);
        match objective.classes {
            Some(classes) if classes.counts.loss == loss => tape.accumulate(state, classes.counts)?,
            // What is reported is what is minimised, though only a part of it predicts classes.
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

    /// What a run over `train` spends its time in: the tapes for training and for evaluation at the full batch size.
    fn tapes(&self, train: &dyn BatchSource, size: usize) -> Result<[Tape; 2]> {
        Ok([self.tape_for(train, Purpose::Train, size)?, self.tape_for(train, Purpose::Evaluate, size)?])
    }

    /// Measures which kernels are fastest for batches of `train`, and takes them from now on; `None` where the engine has
    /// no choice. Before the first step: what is compiled already stays as it is.
    ///
    /// The last batch of an epoch, where it is smaller, is not worth measuring and takes what is good without.
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

    /// Takes the choices of a file that an earlier run wrote, and says how many of them are for full batches of `train`:
    /// [`Engine::pin`].
    pub fn pin(&mut self, file: &Path, train: &dyn BatchSource) -> Result<usize> {
        let tapes = self.tapes(train, self.options.batch_size.min(train.len()))?;
        self.engine.pin(file, &tapes)
    }

    /// The program for a source, a purpose and a batch size, made on first use.
    pub(super) fn program(&mut self, source: &dyn BatchSource, purpose: Purpose, size: usize) -> Result<ProgramId> {
        let key = (source.name().to_string(), purpose, size);
        if let Some(&program) = self.programs.get(&key) {
            return Ok(program);
        }
        let program = self.engine.compile(self.tape_for(source, purpose, size)?)?;
        self.programs.insert(key, program);
        Ok(program)
    }

    /// Brings to the device what of `source` stays there, once.
    pub(super) fn prepare(&mut self, source: &dyn BatchSource) -> Result<()> {
        if self.prepared.insert(source.name().to_string()) {
            source.prepare(&mut Sink::resident(&mut *self.engine))?;
        }
        Ok(())
    }

    /// One step on the images `indices`; the update comes after the last share of it.
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

    /// Brings everything to the device that the next step of `program` reads, and counts the step.
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

    /// Where the time of a training step on the first full batch of `source` goes: medians of `repeats` steps, and what the
    /// device can do at best; `None` on an engine without dispatches to time.
    ///
    /// The steps have learning rate 0, so that parameters stay as they are. Momentum buffers and states, such as running
    /// statistics, change as in any step: profile after everything that is to be tested or saved.
    pub fn profile(&mut self, source: &mut dyn BatchSource, repeats: usize) -> Result<Option<Profile>> {
        self.prepare(source)?;
        let indices: Vec<u32> = (0..self.options.batch_size.min(source.len()) as u32).collect();
        let rates = Rates { lr: 0.0, ..self.optimizer.rates() };
        self.step(source, &indices, rates, &Share { weight: 1.0, first: true, last: true })?;
        let program = self.program(source, Purpose::Train, indices.len())?;
        self.engine.profile(program, repeats)
    }

    /// Loss, accuracy and what else is measured, over all images of `source`.
    pub fn evaluate(&mut self, source: &mut dyn BatchSource) -> Result<Metrics> {
        self.prepare(source)?;
        let names: Vec<String> = self.metrics.iter().map(|name| state_of(Purpose::Evaluate, name)).collect();
        for state in names.iter().map(String::as_str).chain([losses_of(Purpose::Evaluate), CONFUSION]) {
            self.engine.clear_state(state)?;
        }
        let batches = ordered_batches(source.len(), self.options.batch_size);
        source.plan(&batches);
        for batch in batches {
            let program = self.program(source, Purpose::Evaluate, batch.len())?;
            source.feed(&Batch::evaluate(&batch), &mut Sink::step(&mut *self.engine, program))?;
            self.engine.run(program, &[Stage::Gather, Stage::Forward])?;
        }
        self.measured(Purpose::Evaluate)
    }

    /// Loss, accuracy and what else is measured since the states of `purpose` were cleared.
    pub(super) fn measured(&mut self, purpose: Purpose) -> Result<Metrics> {
        let mut metrics = Metrics::from_state(&self.engine.state(losses_of(purpose))?)?;
        for name in &self.metrics {
            let metric = Metrics::from_state(&self.engine.state(&state_of(purpose, name))?)?;
            metrics.others.push((name.clone(), metric.loss));
        }
        Ok(metrics)
    }

    /// Which classes were taken for which in the last [`Trainer::evaluate`], a validation included, and how often the right
    /// one was among the five best. [`Error::Name`] where the loss knows no classes, or nothing has been evaluated yet.
    pub fn confusion(&mut self) -> Result<Confusion> {
        Ok(Confusion::from_state(&self.engine.state(CONFUSION)?))
    }
}

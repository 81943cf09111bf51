//! What a run consists of: the model, its tapes for every batch size over one parameter store, a step, an evaluation.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

use super::clocks::Clocks;
use super::early_stopping::EarlyStopping;
use super::engine::{Engine, ProgramId, Reading};
use super::history::History;
use super::snapshot::Snapshot;
use super::weights::Metadata;
use crate::data::{BatchSink, BatchSource, ordered_batches};
use crate::error::{Error, Result};
use crate::gpu::{Profile, TuneEvent, Tuning};
use crate::graph::{RANDOM, Stage, Tape};
use crate::nn::Module;
use crate::ops::confusion::{AccumulateConfusion, Confusion};
use crate::ops::metrics::Metrics;
use crate::ops::mixup::{LAMBDA, Mixup};
use crate::ops::softmax_cross_entropy::SoftmaxCrossEntropy;
use crate::optim::{ACCUMULATE, Rates, Schedule, Sgd};
use crate::rng;

/// Names of the accumulators.
pub(super) const TRAIN: &str = "train.metrics";
const EVALUATE: &str = "evaluate.metrics";
const CONFUSION: &str = "evaluate.confusion";

/// What to do about a loss that is infinite or not a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnNonFinite {
    /// The run ends with [`Error::NonFinite`], which names the step and the first tensor that went wrong.
    #[default]
    Stop,
    /// The run goes on, after an [`super::Event::NonFinite`] that says the same.
    Warn,
}

/// How long to train, and on what portions.
#[derive(Clone, Copy, Debug)]
pub struct TrainOptions {
    /// Passes over the training images in all, those before a run was loaded included.
    pub epochs: usize,
    /// Images a step.
    pub batch_size: usize,
    /// Of the first weights and of the order of the images.
    pub seed: u64,
    /// Steps between two reports of loss and accuracy. A report comes when its numbers have, while later steps run already.
    pub report_every: usize,
    /// Batches whose gradients add up to one update: as if they were one batch, for models without batch norm. The last
    /// update of an epoch takes what is left.
    pub accumulate: usize,
    /// Ends the run before its last epoch, once nothing gets better.
    pub early_stopping: Option<EarlyStopping>,
    /// What to do about a loss that is infinite or not a number.
    pub on_non_finite: OnNonFinite,
    /// How much of each training target is spread evenly over the classes, 0 to 1.
    pub label_smoothing: f32,
    /// Mixes each batch with itself; accuracy in training then counts the class with the larger share.
    pub mixup: Option<Mixup>,
}

impl Default for TrainOptions {
    /// One epoch, in batches of 64, an update each, under seed 0, to its end or to a loss that is not finite.
    fn default() -> Self {
        TrainOptions {
            epochs: 1,
            batch_size: 64,
            seed: 0,
            report_every: 10,
            accumulate: 1,
            early_stopping: None,
            on_non_finite: OnNonFinite::Stop,
            label_smoothing: 0.0,
            mixup: None,
        }
    }
}

impl TrainOptions {
    /// Checks every number against its range.
    pub fn validate(&self) -> Result<()> {
        for (field, value) in [
            ("epochs", self.epochs),
            ("batch_size", self.batch_size),
            ("report_every", self.report_every),
            ("accumulate", self.accumulate),
        ] {
            if value == 0 {
                return Err(Error::config(field, "must be at least 1, it is 0"));
            }
        }
        if !(0.0..=1.0).contains(&self.label_smoothing) {
            let message = format!("must be 0 to 1, it is {}", self.label_smoothing);
            return Err(Error::config("label_smoothing", message));
        }
        self.mixup.map_or(Ok(()), |mixup| mixup.check())?;
        self.early_stopping.map_or(Ok(()), |early_stopping| early_stopping.validate())
    }
}

/// Trains a model with SGD on an engine.
pub struct Trainer<'a> {
    model: &'a dyn Module,
    pub(super) optimizer: Sgd,
    pub(super) schedule: Schedule,
    pub(super) engine: &'a mut dyn Engine,
    pub(super) options: TrainOptions,
    /// The tape that the parameters were made for.
    pub(super) tape: Tape,
    /// By data source, accumulator and batch size.
    pub(super) programs: HashMap<(String, &'static str, usize), ProgramId>,
    pub(super) prepared: HashSet<String>,
    /// How many images there are to train on.
    pub(super) images: usize,
    /// What goes into the metadata of the model's files.
    pub(super) metadata: Metadata,
    /// Whether a step with momentum has been made, so that the momentum buffers hold something.
    pub(super) has_momentum: bool,
    /// Steps so far: no two draw the same random numbers.
    pub(super) steps: u32,
    /// Epochs so far.
    pub(super) epochs: usize,
    /// Batches of the present epoch that are done.
    pub(super) batch: usize,
    /// Those of them whose losses are in the history.
    pub(super) noted: usize,
    pub(super) history: History,
    /// Reports whose numbers are on their way.
    pub(super) asked: VecDeque<Report>,
    pub(super) clocks: Clocks,
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

impl<'a> Trainer<'a> {
    /// A trainer whose parameters have their first values; `train` says what a batch is.
    pub fn new(
        model: &'a dyn Module,
        optimizer: Sgd,
        engine: &'a mut dyn Engine,
        options: TrainOptions,
        train: &dyn BatchSource,
    ) -> Result<Self> {
        options.validate()?;
        let schedule = Schedule::constant(&optimizer)?;
        if train.is_empty() {
            return Err(Error::config("training data", "holds no image"));
        }
        let mut trainer = Trainer {
            model,
            optimizer,
            schedule,
            engine,
            options,
            tape: Tape::new(true),
            programs: HashMap::new(),
            prepared: HashSet::new(),
            images: train.len(),
            metadata: Metadata::new(),
            has_momentum: false,
            steps: 0,
            epochs: 0,
            batch: 0,
            noted: 0,
            history: History::default(),
            asked: VecDeque::new(),
            clocks: Clocks::default(),
            kept: None,
        };
        trainer.tape = trainer.training_tape(train, options.batch_size.min(train.len()))?;
        trainer.engine.initialise(&trainer.tape, options.seed)?;
        Ok(trainer)
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

    /// The run so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The options.
    pub fn options(&self) -> &TrainOptions {
        &self.options
    }

    /// The engine.
    pub fn engine(&mut self) -> &mut dyn Engine {
        self.engine
    }

    /// The tape that the parameters and buffers were made for: what to save and load them by.
    pub fn tape(&self) -> &Tape {
        &self.tape
    }

    pub(super) fn training_tape(&self, source: &dyn BatchSource, size: usize) -> Result<Tape> {
        let mut tape = Tape::new(true);
        let (mut input, target) = source.declare(&mut tape, size)?;
        let op = SoftmaxCrossEntropy { label_smoothing: self.options.label_smoothing, ..Default::default() };
        let loss = match self.options.mixup {
            None => {
                let logits = self.model.forward(&mut tape, input)?;
                tape.softmax_cross_entropy("loss", logits, target, None, op)?
            }
            Some(_) => {
                let lambda = tape.mixup_lambda()?;
                input = tape.mixup("mixup", input, lambda)?;
                let logits = self.model.forward(&mut tape, input)?;
                tape.mixed_cross_entropy("loss", logits, target, None, lambda, op)?
            }
        };
        tape.accumulate(TRAIN, loss)?;
        match self.options.accumulate {
            1 => self.optimizer.minimize(&mut tape, loss.loss)?,
            _ => self.optimizer.minimize_accumulated(&mut tape, loss.loss)?,
        }
        Ok(tape)
    }

    fn evaluation_tape(&self, source: &dyn BatchSource, size: usize) -> Result<Tape> {
        let mut tape = Tape::new(false);
        let (input, target) = source.declare(&mut tape, size)?;
        let logits = self.model.forward(&mut tape, input)?;
        let loss = tape.softmax_cross_entropy("loss", logits, target, None, SoftmaxCrossEntropy::default())?;
        tape.accumulate(EVALUATE, loss)?;
        tape.accumulate_confusion(CONFUSION, logits, target, AccumulateConfusion::default())?;
        Ok(tape)
    }

    /// What a run over `train` spends its time in: the tapes for training and for evaluation at the full batch size.
    fn tapes(&self, train: &dyn BatchSource, size: usize) -> Result<[Tape; 2]> {
        Ok([self.training_tape(train, size)?, self.evaluation_tape(train, size)?])
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

    /// The program for a source, an accumulator and a batch size, made on first use.
    pub(super) fn program(&mut self, source: &dyn BatchSource, kind: &'static str, size: usize) -> Result<ProgramId> {
        let key = (source.name().to_string(), kind, size);
        if let Some(&program) = self.programs.get(&key) {
            return Ok(program);
        }
        let tape = match kind {
            TRAIN => self.training_tape(source, size)?,
            _ => self.evaluation_tape(source, size)?,
        };
        let program = self.engine.compile(tape)?;
        self.programs.insert(key, program);
        Ok(program)
    }

    /// Brings to the device what of `source` stays there, once.
    pub(super) fn prepare(&mut self, source: &dyn BatchSource) -> Result<()> {
        if self.prepared.insert(source.name().to_string()) {
            source.prepare(&mut self.engine.sink(None))?;
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
        let program = self.program(source, TRAIN, indices.len())?;
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
        Rates { lr, momentum }: Rates,
        share: &Share,
    ) -> Result<()> {
        let hyper = self.optimizer.hyperparameters(self.engine.tape(program), lr, momentum, !self.has_momentum);
        self.has_momentum |= share.last && momentum != 0.0;
        for (name, values) in hyper {
            self.engine.write_f32(program, &name, &values)?;
        }
        if self.options.accumulate > 1 {
            let first = f32::from(u8::from(share.first));
            self.engine.write_f32(program, ACCUMULATE, &[share.weight, first, 0.0, 0.0])?;
        }
        let draw = rng::draw(self.options.seed, self.steps);
        source.draw(draw);
        if let Some(mixup) = self.options.mixup {
            self.engine.write_f32(program, LAMBDA, &[mixup.lambda(&draw)])?;
        }
        if self.engine.tape(program).find_input(RANDOM).is_some() {
            self.engine.sink(Some(program)).write_i32(RANDOM, &draw)?;
        }
        self.steps += 1;
        source.feed(indices, &mut self.engine.sink(Some(program)))
    }

    /// Where the time of a training step on the first full batch of `source` goes: medians of `repeats` steps, and what the
    /// device can do at best; `None` on an engine without dispatches to time.
    ///
    /// The steps have learning rate 0, so that parameters stay as they are. Momentum buffers and states, such as running
    /// statistics, change as in any step: profile after everything that is to be tested or saved.
    pub fn profile(&mut self, source: &mut dyn BatchSource, repeats: usize) -> Result<Option<Profile>> {
        self.prepare(source)?;
        let indices: Vec<u32> = (0..self.options.batch_size.min(source.len()) as u32).collect();
        let rates = Rates { lr: 0.0, momentum: self.optimizer.momentum };
        self.step(source, &indices, rates, &Share { weight: 1.0, first: true, last: true })?;
        let program = self.program(source, TRAIN, indices.len())?;
        self.engine.profile(program, repeats)
    }

    /// Loss and accuracy over all images of `source`.
    pub fn evaluate(&mut self, source: &mut dyn BatchSource) -> Result<Metrics> {
        self.prepare(source)?;
        self.engine.clear_state(EVALUATE)?;
        self.engine.clear_state(CONFUSION)?;
        let batches = ordered_batches(source.len(), self.options.batch_size);
        source.plan(&batches);
        for batch in batches {
            let program = self.program(source, EVALUATE, batch.len())?;
            source.feed(&batch, &mut self.engine.sink(Some(program)))?;
            self.engine.run(program, &[Stage::Gather, Stage::Forward])?;
        }
        Ok(Metrics::from_state(&self.engine.state(EVALUATE)?))
    }

    /// Which classes were taken for which in the last [`Trainer::evaluate`], a validation included, and how often the right
    /// one was among the five best.
    pub fn confusion(&mut self) -> Result<Confusion> {
        Ok(Confusion::from_state(&self.engine.state(CONFUSION)?))
    }
}

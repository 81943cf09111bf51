//! The next training batch as the network sees it.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::engine::{Engine, ProgramId};
use super::trainer::Trainer;
use crate::data::{Batch, BatchSink, BatchSource, ImageSet};
use crate::error::{Error, Result};
use crate::graph::{Purpose, RANDOM, Stage, Tape};
use crate::nn::Module;
use crate::rng;
use crate::tensor::{TensorId, Values};

/// A training batch as the network sees it: after augmentation, normalisation, and whatever the loss does to its input,
/// such as mixup.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenBatch {
    /// Indices of the images in the data set.
    pub indices: Vec<u32>,
    /// The values, in PyTorch's order.
    pub values: Vec<f32>,
    /// Shape of the values; of images it is [N, C, H, W].
    pub shape: Vec<usize>,
    /// The class of each image; empty if the source does not know them.
    pub labels: Vec<i32>,
}

/// A model that notes its input and appends nothing.
#[derive(Default)]
struct Probe(Mutex<Option<TensorId>>);

impl Module for Probe {
    fn forward(&self, _tape: &mut Tape, input: TensorId) -> Result<TensorId> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(input);
        // What follows the model's input is of no interest.
        Err(Error::config("probe", "ends the tape"))
    }
}

/// Passes on what the tape needs; labels, for example, it does not.
struct Needed<'a> {
    engine: &'a mut dyn Engine,
    program: ProgramId,
    needed: &'a HashSet<TensorId>,
}

impl BatchSink for Needed<'_> {
    fn tape(&self) -> Option<&Tape> {
        Some(self.engine.tape(self.program))
    }

    fn set_resident(&mut self, name: &str, images: &ImageSet) -> Result<()> {
        self.engine.set_resident(name, images)
    }

    fn write(&mut self, name: &str, values: Values<'_>) -> Result<()> {
        match self.engine.tape(self.program).find_input(name) {
            Some(id) if !self.needed.contains(&id) => Ok(()),
            _ => self.engine.write(self.program, name, values),
        }
    }
}

impl Trainer {
    /// Returns the batch of the next training step on `train` as the network will see it. The run is as before, so that
    /// the step sees the same.
    pub fn next_batch(&mut self, train: &mut dyn BatchSource) -> Result<SeenBatch> {
        self.prepare(train)?;
        let batches = self.batches(train)?;
        let Some(indices) = batches.get(self.run.batch).or(batches.first()) else {
            return Err(Error::config(train.name(), "has no batch"));
        };
        let mut tape = Tape::new(Purpose::Train);
        let (input, target) = train.declare(&mut tape, indices.len())?;
        let probe = Probe::default();
        let appended = self.loss.append(&mut tape, &probe, input, target);
        let noted = *probe.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seen) = noted else {
            return Err(appended.err().unwrap_or_else(|| Error::config("loss", "uses no model")));
        };
        let seen = tape.copy("seen", seen)?;
        tape.keep(seen);
        let (needed, shape) = (leading_to(&tape, seen), tape.shape(seen).dims().to_vec());
        let random = rng::draw(self.options.seed, self.run.steps);
        let program = self.engine.compile(tape)?;
        let mut sink = Needed { engine: &mut *self.engine, program, needed: &needed };
        for (name, values) in self.loss.inputs(&random) {
            if sink.engine.tape(program).find_input(&name).is_some() {
                sink.write(&name, Values::F32(&values))?;
            }
        }
        if sink.engine.tape(program).find_input(RANDOM).is_some() {
            sink.write(RANDOM, Values::I32(&random))?;
        }
        train.feed(&Batch::train(indices, random), &mut sink)?;
        self.engine.run(program, &[Stage::Gather, Stage::Forward])?;
        let values = self.engine.read(program, seen)?;
        let all = train.labels().unwrap_or_default();
        let labels = indices.iter().filter_map(|&i| all.get(i as usize).copied()).collect();
        Ok(SeenBatch { indices: indices.clone(), values, shape, labels })
    }
}

/// The tensors from which `last` is computed.
fn leading_to(tape: &Tape, last: TensorId) -> HashSet<TensorId> {
    let mut needed = HashSet::from([last]);
    for node in tape.nodes().iter().rev() {
        if node.outputs.iter().any(|id| needed.contains(id)) {
            needed.extend(&node.inputs);
        }
    }
    needed
}

//! What an optimizer is, and what all of them share: parameter groups, gradients that add up over several batches, clipping, the
//! count of updates.

use std::fmt;
use std::sync::Arc;

use super::rates::Rates;
use crate::error::{Error, Result};
use crate::graph::{Stage, Tape};
use crate::ops::accumulate_grad::AccumulateGrad;
use crate::ops::clip_grad_norm::{ClipGradNorm, GRAD_NORM};
use crate::ops::count_updates::{CountUpdates, UPDATES};
use crate::ops::sgd::Clip;
use crate::tensor::{Spec, TensorId};

/// The name of the input that says what part of the accumulated gradients a batch is: \[4\] = the weight of its gradients,
/// 1 if it is the first since the last update and else 0, two unused.
pub const ACCUMULATE: &str = "accumulate";

/// Something that updates parameters by their gradients, in place, one dispatch a parameter group and piece.
///
/// One of its own says what it keeps for each parameter and appends the update of one group; groups, clipping, accumulated
/// gradients and the count of updates come from here. The update's kernel links what updates share from `shaders/update/`: a clip
/// file, `decay.wgsl`, `applied.wgsl`.
pub trait Optimizer: fmt::Debug + Send + Sync {
    /// PyTorch's name for it, as "SGD".
    fn name(&self) -> &'static str;

    /// Checks every setting against the range that PyTorch allows.
    fn validate(&self) -> Result<()>;

    /// The learning rate and momentum that a schedule begins with.
    fn rates(&self) -> Rates;

    /// Whether an update without momentum is an error, as Nesterov's is.
    fn needs_momentum(&self) -> bool {
        false
    }

    /// Parameters with settings of their own; the first group that holds a name has it. Whatever none holds is in one more group.
    fn groups(&self) -> &[ParamGroup];

    /// How gradients are clipped before an update.
    fn clipping(&self) -> Clipping {
        Clipping::None
    }

    /// PyTorch's names for what is kept for each parameter, such as "momentum_buffer".
    fn buffers(&self) -> &'static [&'static str];

    /// Whether those hold something after the updates that the state [`UPDATES`] has counted.
    fn has_buffers(&self, updates: &[f32]) -> bool {
        updates.first().is_some_and(|&count| count > 0.0)
    }

    /// How many hyperparameters an update reads.
    fn hyperparameter_count(&self) -> usize;

    /// The hyperparameters of `group` in a step with these rates; the second is the momentum.
    fn values(&self, group: usize, rates: Rates) -> Vec<f32>;

    /// Appends the update of one group to `tape`.
    fn append_update(&self, tape: &mut Tape, update: Update) -> Result<()>;

    /// The settings of `group` as an entry of PyTorch's param_groups, without the names of the parameters.
    fn param_group(&self, group: usize) -> Vec<(&'static str, serde_json::Value)>;

    /// Appends to `tape` the gradients of `loss` and one update a group that has parameters with gradients.
    fn minimize(&self, tape: &mut Tape, loss: TensorId) -> Result<()> {
        append(self, tape, loss, false)
    }

    /// As [`Optimizer::minimize`], but the gradients of every backward stage add up, weighted by the input [`ACCUMULATE`], until
    /// a batch that is the first again; run the update stage after the last batch of several.
    fn minimize_accumulated(&self, tape: &mut Tape, loss: TensorId) -> Result<()> {
        append(self, tape, loss, true)
    }

    /// What to write before a step with these rates: for each update on `tape` the input's name and its values.
    fn hyperparameters(&self, tape: &Tape, rates: Rates) -> Vec<(String, Vec<f32>)> {
        let used = |group: &usize| tape.find_input(&input_name(*group)).is_some();
        let groups = (0..=self.groups().len()).filter(used);
        groups.map(|group| (input_name(group), self.values(group, rates))).collect()
    }
}

/// How the gradients of an update are clipped.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Clipping {
    /// Not at all.
    #[default]
    None,
    /// All together to this norm at most, by torch.nn.utils.clip_grad_norm_; infinite to measure only.
    Norm(f64),
    /// Each element to this size at most, by torch.nn.utils.clip_grad_value_.
    Value(f64),
}

/// The update of one parameter group, for [`Optimizer::append_update`].
#[derive(Clone, Debug)]
pub struct Update {
    /// The group's number.
    pub group: usize,
    /// The node's name.
    pub name: String,
    /// Its hyperparameters.
    pub hyper: TensorId,
    /// The state [`UPDATES`], in which this update is counted already.
    pub updates: TensorId,
    /// The parameters.
    pub parameters: Vec<TensorId>,
    /// Their gradients, in the same order.
    pub gradients: Vec<TensorId>,
    /// How gradients are clipped by the update's kernel.
    pub clip: Clip,
    /// The state of the gradients' norm, where they are clipped by it.
    pub grad_norm: Option<TensorId>,
}

/// Parameters that are updated with settings of their own.
#[derive(Clone)]
pub struct ParamGroup {
    holds: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// What the learning rate is multiplied by.
    pub lr_factor: f64,
    /// In place of the optimizer's.
    pub weight_decay: f64,
}

impl ParamGroup {
    /// The parameters whose names `holds` is true of, with the optimizer's learning rate and no weight decay.
    pub fn new(holds: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        ParamGroup { holds: Arc::new(holds), lr_factor: 1.0, weight_decay: 0.0 }
    }

    /// Sets what the learning rate is multiplied by.
    pub fn lr_factor(mut self, factor: f64) -> Self {
        self.lr_factor = factor;
        self
    }

    /// Sets the group's weight decay.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }
}

impl fmt::Debug for ParamGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParamGroup {{ lr_factor: {}, weight_decay: {} }}", self.lr_factor, self.weight_decay)
    }
}

/// Parameters and gradients of each group that has any; the parameters are put into their groups.
fn grouped(
    optimizer: &(impl Optimizer + ?Sized),
    tape: &mut Tape,
    pairs: &[(TensorId, TensorId)],
) -> Vec<(usize, Vec<TensorId>, Vec<TensorId>)> {
    let groups = optimizer.groups();
    let group_of = |name: &str| groups.iter().position(|group| (group.holds)(name)).unwrap_or(groups.len());
    let mut found = Vec::new();
    for group in 0..=groups.len() {
        let (parameters, gradients): (Vec<_>, Vec<_>) =
            pairs.iter().copied().filter(|&(parameter, _)| group_of(&tape.tensor(parameter).name) == group).unzip();
        parameters.iter().for_each(|&parameter| tape.set_group(parameter, group));
        if !parameters.is_empty() {
            found.push((group, parameters, gradients));
        }
    }
    found
}

fn append(optimizer: &(impl Optimizer + ?Sized), tape: &mut Tape, loss: TensorId, accumulated: bool) -> Result<()> {
    optimizer.validate()?;
    let pairs = tape.backward(loss)?;
    if pairs.is_empty() {
        return Err(Error::config("optimizer", "the loss depends on no parameter that is to be trained"));
    }
    let groups = grouped(optimizer, tape, &pairs);
    if accumulated {
        let share = tape.input(ACCUMULATE, Spec::f32([4]))?;
        for (group, parameters, gradients) in &groups {
            let sums = parameters.iter().map(|&parameter| tape.accumulated(parameter));
            let updates: Vec<TensorId> = gradients.iter().copied().chain(sums).collect();
            tape.append(ACCUMULATE, AccumulateGrad { group: *group }, &[share], &updates)?;
        }
    }
    tape.set_stage(Stage::Update);
    let (mut clip, mut grad_norm) = (Clip::None, None);
    match optimizer.clipping() {
        Clipping::None => {}
        Clipping::Value(value) => clip = Clip::Value(value),
        Clipping::Norm(max_norm) => {
            let state = tape.state(GRAD_NORM, [2]);
            let op = ClipGradNorm { groups: groups.iter().map(|(group, ..)| *group).collect(), max_norm };
            let gradients: Vec<TensorId> = groups.iter().flat_map(|(_, _, gradients)| gradients).copied().collect();
            tape.append(GRAD_NORM, op, &gradients, &[state])?;
            (clip, grad_norm) = (Clip::Norm, Some(state));
        }
    }
    let how = "write what Optimizer::hyperparameters gives before the first step, and whenever a rate changes";
    let mut updates = None;
    for (group, parameters, gradients) in groups {
        let spec = Spec::f32([optimizer.hyperparameter_count()]);
        let hyper = tape.explained_input(&input_name(group), spec, how)?;
        let updates = match updates {
            Some(updates) => updates,
            None => {
                let state = tape.state(UPDATES, [2]);
                tape.append(UPDATES, CountUpdates, &[hyper], &[state])?;
                *updates.insert(state)
            }
        };
        let name = input_name(group);
        optimizer
            .append_update(tape, Update { group, name, hyper, updates, parameters, gradients, clip, grad_norm })?;
    }
    Ok(())
}

/// The input of a group's hyperparameters.
fn input_name(group: usize) -> String {
    format!("optimizer.{group}")
}

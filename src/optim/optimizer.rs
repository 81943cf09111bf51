//! The optimizer trait, and the parts that all optimizers share: parameter groups, gradient accumulation over several
//! batches, clipping, and the count of updates.

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

/// Name of the input that gives a batch's part in the accumulated gradients: \[4\] = the weight of its gradients, 1 for
/// the first batch since the last update and else 0, two unused.
pub const ACCUMULATE: &str = "accumulate";

/// An optimizer: updates parameters in place by their gradients, one dispatch per parameter group and piece.
///
/// A custom optimizer names its per-parameter state and appends the update of one group. Groups, clipping, accumulated
/// gradients and the count of updates are provided here. The update's kernel links the shared files in
/// `shaders/update/`: a clip file, `decay.wgsl`, `applied.wgsl`.
pub trait Optimizer: fmt::Debug + Send + Sync {
    /// Returns PyTorch's name for the optimizer, such as "SGD".
    fn name(&self) -> &'static str;

    /// Checks every setting against PyTorch's range.
    fn validate(&self) -> Result<()>;

    /// The learning rate and momentum at the start of a schedule.
    fn rates(&self) -> Rates;

    /// True if an update without momentum is an error, as for Nesterov's.
    fn needs_momentum(&self) -> bool {
        false
    }

    /// Parameters with separate settings. The first group that matches a name takes it; unmatched parameters form one
    /// more group.
    fn groups(&self) -> &[ParamGroup];

    /// Gradient clipping before an update.
    fn clipping(&self) -> Clipping {
        Clipping::None
    }

    /// PyTorch's names for the per-parameter state, such as "momentum_buffer".
    fn buffers(&self) -> &'static [&'static str];

    /// True if that state holds values after the updates counted in the state [`UPDATES`].
    fn has_buffers(&self, updates: &[f32]) -> bool {
        updates.first().is_some_and(|&count| count > 0.0)
    }

    /// Number of hyperparameters that an update reads.
    fn hyperparameter_count(&self) -> usize;

    /// The hyperparameters of `group` in a step with these rates. The second is the momentum.
    fn values(&self, group: usize, rates: Rates) -> Vec<f32>;

    /// Appends the update of one group to `tape`.
    fn append_update(&self, tape: &mut Tape, update: Update) -> Result<()>;

    /// The settings of `group` as an entry of PyTorch's param_groups, without the parameters' names.
    fn param_group(&self, group: usize) -> Vec<(&'static str, serde_json::Value)>;

    /// Appends the gradients of `loss` to `tape`, and one update for each group that has parameters with gradients.
    fn minimize(&self, tape: &mut Tape, loss: TensorId) -> Result<()> {
        append(self, tape, loss, false)
    }

    /// Appends the same as [`Optimizer::minimize`], but accumulates the gradients of every backward stage, weighted by
    /// the input [`ACCUMULATE`], until the next first batch. Run the update stage after the last of these batches.
    fn minimize_accumulated(&self, tape: &mut Tape, loss: TensorId) -> Result<()> {
        append(self, tape, loss, true)
    }

    /// Returns the values to write before a step with these rates: for each update on `tape` the input's name and its
    /// values.
    fn hyperparameters(&self, tape: &Tape, rates: Rates) -> Vec<(String, Vec<f32>)> {
        let used = |group: &usize| tape.find_input(&input_name(*group)).is_some();
        let groups = (0..=self.groups().len()).filter(used);
        groups.map(|group| (input_name(group), self.values(group, rates))).collect()
    }
}

/// Gradient clipping of an update.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Clipping {
    /// No clipping.
    #[default]
    None,
    /// Maximum norm of all gradients together, as in torch.nn.utils.clip_grad_norm_; infinite to measure only.
    Norm(f64),
    /// Maximum absolute value of each element, as in torch.nn.utils.clip_grad_value_.
    Value(f64),
}

/// The arguments of one parameter group's update, for [`Optimizer::append_update`].
#[derive(Clone, Debug)]
pub struct Update {
    /// Index of the group.
    pub group: usize,
    /// Name of the node.
    pub name: String,
    /// The group's hyperparameters.
    pub hyper: TensorId,
    /// The state [`UPDATES`], which already counts this update.
    pub updates: TensorId,
    /// The parameters.
    pub parameters: Vec<TensorId>,
    /// The parameters' gradients, in the same order.
    pub gradients: Vec<TensorId>,
    /// Gradient clipping in the update's kernel.
    pub clip: Clip,
    /// The state of the gradients' norm, if they are clipped by it.
    pub grad_norm: Option<TensorId>,
}

/// Parameters updated with separate settings.
#[derive(Clone)]
pub struct ParamGroup {
    holds: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// Factor on the learning rate.
    pub lr_factor: f64,
    /// Weight decay, in place of the optimizer's.
    pub weight_decay: f64,
}

impl ParamGroup {
    /// Creates a group of the parameters whose names satisfy `holds`, with the optimizer's learning rate and no weight
    /// decay.
    pub fn new(holds: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        ParamGroup { holds: Arc::new(holds), lr_factor: 1.0, weight_decay: 0.0 }
    }

    /// Sets the factor on the learning rate.
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

/// Assigns the parameters to their groups, and returns the parameters and gradients of each non-empty group.
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

/// Name of the input with a group's hyperparameters.
fn input_name(group: usize) -> String {
    format!("optimizer.{group}")
}

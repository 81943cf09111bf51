//! SGD with momentum, dampening, Nesterov, the L2 and L1 penalties and parameter groups.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::graph::{Stage, Tape};
use crate::ops::accumulate_grad::AccumulateGrad;
use crate::ops::clip_grad_norm::{ClipGradNorm, GRAD_NORM};
use crate::ops::sgd::{Clip, SgdUpdate};
use crate::tensor::{Spec, TensorId};

/// The name of the input that says what part of the accumulated gradients a batch is: \[4\] = the weight of its gradients,
/// 1 if it is the first since the last update and else 0, two unused.
pub const ACCUMULATE: &str = "accumulate";

/// torch.optim.SGD, plus an L1 penalty and gradient clipping. The update is written out in `shaders/update/sgd.wgsl`.
#[derive(Clone, Debug)]
pub struct Sgd {
    /// The learning rate: how far a parameter moves against its gradient.
    pub lr: f64,
    /// How much of the last step's direction is kept, 0 to 1.
    pub momentum: f64,
    /// How much of a gradient does not enter the momentum buffer.
    pub dampening: f64,
    /// The L2 penalty's factor: adds `weight_decay * p` to the gradient.
    pub weight_decay: f64,
    /// Whether to look ahead along the momentum.
    pub nesterov: bool,
    /// Whether to climb in place of descending.
    pub maximize: bool,
    /// The L1 penalty's factor: adds `l1 * sign(p)` to the gradient.
    pub l1: f64,
    /// The norm that all gradients together do not exceed, by torch.nn.utils.clip_grad_norm_; infinite to measure only.
    pub clip_grad_norm: Option<f64>,
    /// The size that no element of a gradient exceeds, by torch.nn.utils.clip_grad_value_.
    pub clip_grad_value: Option<f64>,
    /// Parameters with settings of their own; the first group that holds a name has it.
    pub groups: Vec<ParamGroup>,
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

impl Sgd {
    /// Plain SGD with PyTorch's defaults: everything but the learning rate is 0 or off.
    pub fn new(lr: f64) -> Self {
        Sgd {
            lr,
            momentum: 0.0,
            dampening: 0.0,
            weight_decay: 0.0,
            nesterov: false,
            maximize: false,
            l1: 0.0,
            clip_grad_norm: None,
            clip_grad_value: None,
            groups: Vec::new(),
        }
    }

    /// Sets the momentum.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Sets the dampening.
    pub fn dampening(mut self, dampening: f64) -> Self {
        self.dampening = dampening;
        self
    }

    /// Sets the weight decay.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    /// Sets whether to use Nesterov's momentum.
    pub fn nesterov(mut self, nesterov: bool) -> Self {
        self.nesterov = nesterov;
        self
    }

    /// Sets whether to climb.
    pub fn maximize(mut self, maximize: bool) -> Self {
        self.maximize = maximize;
        self
    }

    /// Sets the L1 penalty's factor.
    pub fn l1(mut self, l1: f64) -> Self {
        self.l1 = l1;
        self
    }

    /// Scales the gradients of all groups by `min(1, max_norm / (norm + 1e-6))` before each update, `norm` being that of all
    /// of them together. The state [`GRAD_NORM`] holds norm and factor of the last update.
    ///
    /// As in PyTorch with `error_if_nonfinite=False`, a norm of NaN makes every updated parameter NaN, and an infinite one
    /// makes finite gradients 0.
    pub fn clip_grad_norm(mut self, max_norm: f64) -> Self {
        self.clip_grad_norm = Some(max_norm);
        self
    }

    /// Brings each element of a gradient into `-value..=value` before each update; NaN stays.
    pub fn clip_grad_value(mut self, value: f64) -> Self {
        self.clip_grad_value = Some(value);
        self
    }

    /// Adds a parameter group.
    pub fn group(mut self, group: ParamGroup) -> Self {
        self.groups.push(group);
        self
    }

    /// Checks every setting against the range that PyTorch allows.
    pub fn validate(&self) -> Result<()> {
        let check = |field: &str, value: f64| {
            if value.is_finite() && value >= 0.0 {
                return Ok(());
            }
            Err(Error::config(field, format!("must be a finite number of at least 0, it is {value}")))
        };
        check("lr", self.lr)?;
        check("momentum", self.momentum)?;
        check("weight_decay", self.weight_decay)?;
        check("l1", self.l1)?;
        if !self.dampening.is_finite() {
            return Err(Error::config("dampening", format!("must be a finite number, it is {}", self.dampening)));
        }
        if let Some(max_norm) = self.clip_grad_norm.filter(|&max_norm| max_norm != f64::INFINITY) {
            check("clip_grad_norm", max_norm)?;
        }
        if let Some(value) = self.clip_grad_value {
            check("clip_grad_value", value)?;
        }
        if self.clip_grad_norm.is_some() && self.clip_grad_value.is_some() {
            return Err(Error::config("clip_grad_norm", "cannot be set together with clip_grad_value; choose one"));
        }
        for group in &self.groups {
            check("lr_factor of a parameter group", group.lr_factor)?;
            check("weight_decay of a parameter group", group.weight_decay)?;
        }
        if self.nesterov && (self.momentum <= 0.0 || self.dampening != 0.0) {
            return Err(Error::config(
                "nesterov",
                format!(
                    "needs momentum above 0 and dampening 0; momentum is {}, dampening {}",
                    self.momentum, self.dampening
                ),
            ));
        }
        Ok(())
    }

    /// How many groups there are, the one without a rule of its own included.
    fn group_count(&self) -> usize {
        self.groups.len() + 1
    }

    /// The group of the parameter called `name`; the last is that of the names that no rule holds.
    fn group_of(&self, name: &str) -> usize {
        self.groups.iter().position(|group| (group.holds)(name)).unwrap_or(self.groups.len())
    }

    /// Appends to `tape` the gradients of `loss` and one update a group that has parameters with gradients.
    pub fn minimize(&self, tape: &mut Tape, loss: TensorId) -> Result<()> {
        self.append(tape, loss, false)
    }

    /// As [`Sgd::minimize`], but the gradients of every backward stage add up, weighted by the input [`ACCUMULATE`], until
    /// a batch that is the first again; run the update stage after the last batch of several.
    pub fn minimize_accumulated(&self, tape: &mut Tape, loss: TensorId) -> Result<()> {
        self.append(tape, loss, true)
    }

    fn append(&self, tape: &mut Tape, loss: TensorId, accumulated: bool) -> Result<()> {
        self.validate()?;
        let pairs = tape.backward(loss)?;
        if pairs.is_empty() {
            return Err(Error::config("optimizer", "the loss depends on no parameter that is to be trained"));
        }
        // Parameters and gradients of each group that has any.
        let mut groups: Vec<(usize, Vec<TensorId>, Vec<TensorId>)> = Vec::new();
        for group in 0..self.group_count() {
            let of_group = |tape: &Tape, id: TensorId| self.group_of(&tape.tensor(id).name) == group;
            let (parameters, gradients): (Vec<_>, Vec<_>) =
                pairs.iter().copied().filter(|&(parameter, _)| of_group(tape, parameter)).unzip();
            parameters.iter().for_each(|&parameter| tape.set_group(parameter, group));
            if !parameters.is_empty() {
                groups.push((group, parameters, gradients));
            }
        }
        if accumulated {
            let share = tape.input(ACCUMULATE, Spec::f32([4]))?;
            for (group, parameters, gradients) in &groups {
                let sums = parameters.iter().map(|&parameter| tape.accumulated(parameter));
                let updates: Vec<TensorId> = gradients.iter().copied().chain(sums).collect();
                tape.append(ACCUMULATE, AccumulateGrad { group: *group }, &[share], &updates)?;
            }
        }
        tape.set_stage(Stage::Update);
        let clip = match self.clip_grad_value {
            Some(value) => Clip::Value(value),
            None if self.clip_grad_norm.is_some() => Clip::Norm,
            None => Clip::None,
        };
        let mut grad_norm = None;
        if let Some(max_norm) = self.clip_grad_norm {
            let state = tape.state(GRAD_NORM, [2]);
            let op = ClipGradNorm { groups: groups.iter().map(|(group, ..)| *group).collect(), max_norm };
            let gradients: Vec<TensorId> = groups.iter().flat_map(|(_, _, gradients)| gradients).copied().collect();
            tape.append(GRAD_NORM, op, &gradients, &[state])?;
            grad_norm = Some(state);
        }
        for (group, mut updates, mut inputs) in groups {
            inputs.insert(0, tape.input(&input_name(group), Spec::f32([4]))?);
            inputs.extend(grad_norm);
            let momenta: Vec<TensorId> = updates.iter().map(|&parameter| tape.momentum(parameter)).collect();
            updates.extend(momenta);
            let op = SgdUpdate {
                group,
                dampening: self.dampening,
                weight_decay: self.groups.get(group).map_or(self.weight_decay, |group| group.weight_decay),
                l1: self.l1,
                nesterov: self.nesterov,
                maximize: self.maximize,
                clip,
            };
            tape.append(&input_name(group), op, &inputs, &updates)?;
        }
        Ok(())
    }

    /// What to write before a step: for each update on `tape` the input's name and its values.
    ///
    /// `lr` and `momentum` are those of this step; `first` says whether no step before had momentum.
    pub fn hyperparameters(&self, tape: &Tape, lr: f64, momentum: f64, first: bool) -> Vec<(String, [f32; 4])> {
        let used = |group: &usize| tape.find_input(&input_name(*group)).is_some();
        (0..self.group_count())
            .filter(used)
            .map(|group| {
                let factor = self.groups.get(group).map_or(1.0, |group| group.lr_factor);
                (input_name(group), [(lr * factor) as f32, momentum as f32, f32::from(u8::from(first)), 0.0])
            })
            .collect()
    }
}

fn input_name(group: usize) -> String {
    format!("sgd.{group}")
}

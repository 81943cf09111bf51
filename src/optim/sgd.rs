//! SGD with momentum, dampening, Nesterov, the L2 and L1 penalties and parameter groups.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::graph::{Spec, Stage, Tape, TensorId};
use crate::ops::sgd::SgdUpdate;

/// torch.optim.SGD, plus an L1 penalty. The update is written out in `shaders/sgd.wgsl`.
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
        self.validate()?;
        let pairs = tape.backward(loss)?;
        if pairs.is_empty() {
            return Err(Error::config("optimizer", "the loss depends on no parameter that is to be trained"));
        }
        tape.set_stage(Stage::Update);
        for group in 0..self.group_count() {
            let mut inputs = Vec::new();
            let mut updates = Vec::new();
            for &(parameter, gradient) in &pairs {
                if self.group_of(&tape.tensor(parameter).name) == group {
                    tape.set_group(parameter, group);
                    inputs.push(gradient);
                    updates.push(parameter);
                }
            }
            if inputs.is_empty() {
                continue;
            }
            inputs.insert(0, tape.input(&input_name(group), Spec::f32([4]))?);
            let momenta: Vec<TensorId> = updates.iter().map(|&parameter| tape.momentum(parameter)).collect();
            updates.extend(momenta);
            let op = SgdUpdate {
                group,
                dampening: self.dampening,
                weight_decay: self.groups.get(group).map_or(self.weight_decay, |group| group.weight_decay),
                l1: self.l1,
                nesterov: self.nesterov,
                maximize: self.maximize,
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

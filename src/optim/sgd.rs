//! SGD with momentum, dampening, Nesterov, the L2 and L1 penalties and parameter groups.

use serde_json::json;

use super::optimizer::{Clipping, Optimizer, ParamGroup, Update};
use super::rates::Rates;
use crate::error::{Error, Result};
use crate::graph::Tape;
use crate::ops::sgd::{MOMENTUM_BUFFER, SgdUpdate};
use crate::tensor::TensorId;

/// torch.optim.SGD, plus an L1 penalty and gradient clipping. The update is written out in `shaders/update/sgd.wgsl`.
///
/// ```
/// use tilegrad::optim::{Optimizer, ParamGroup, Sgd};
///
/// let sgd = Sgd::new(0.1)
///     .momentum(0.9)
///     .nesterov(true)
///     .weight_decay(5e-4)
///     .clip_grad_norm(1.0)
///     // Biases: no weight decay, twice the learning rate.
///     .group(ParamGroup::new(|name| name.ends_with(".bias")).lr_factor(2.0));
/// sgd.validate()?;
/// let wrong = Sgd::new(0.1).nesterov(true);
/// assert_eq!(
///     wrong.validate().unwrap_err().to_string(),
///     "nesterov: needs momentum above 0 and dampening 0; momentum is 0, dampening 0"
/// );
/// # Ok::<(), tilegrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sgd {
    /// The learning rate: the step size against the gradient.
    pub lr: f64,
    /// Fraction of the momentum buffer kept from the last step, 0 to 1.
    pub momentum: f64,
    /// Fraction of a gradient that does not enter the momentum buffer.
    pub dampening: f64,
    /// The L2 penalty's factor: adds `weight_decay * p` to the gradient.
    pub weight_decay: f64,
    /// True for Nesterov momentum.
    pub nesterov: bool,
    /// True to maximise the objective in place of minimising it.
    pub maximize: bool,
    /// The L1 penalty's factor: adds `l1 * sign(p)` to the gradient.
    pub l1: f64,
    /// Maximum norm of all gradients together, as in torch.nn.utils.clip_grad_norm_; infinite to measure only.
    pub clip_grad_norm: Option<f64>,
    /// Maximum absolute value of a gradient's elements, as in torch.nn.utils.clip_grad_value_.
    pub clip_grad_value: Option<f64>,
    /// Parameters with separate settings. The first group that matches a name takes it.
    pub groups: Vec<ParamGroup>,
}

impl Sgd {
    /// Creates plain SGD with PyTorch's defaults: everything but the learning rate is 0 or off.
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

    /// Enables or disables Nesterov momentum.
    pub fn nesterov(mut self, nesterov: bool) -> Self {
        self.nesterov = nesterov;
        self
    }

    /// Selects maximisation in place of minimisation.
    pub fn maximize(mut self, maximize: bool) -> Self {
        self.maximize = maximize;
        self
    }

    /// Sets the L1 penalty's factor.
    pub fn l1(mut self, l1: f64) -> Self {
        self.l1 = l1;
        self
    }

    /// Scales the gradients of all groups by `min(1, max_norm / (norm + 1e-6))` before each update, where `norm` is the
    /// norm of all gradients together. The state [`GRAD_NORM`](crate::ops::clip_grad_norm::GRAD_NORM) holds norm and
    /// factor of the last update.
    ///
    /// As in PyTorch with `error_if_nonfinite=False`, a norm of NaN makes every updated parameter NaN, and an infinite
    /// one makes finite gradients 0.
    pub fn clip_grad_norm(mut self, max_norm: f64) -> Self {
        self.clip_grad_norm = Some(max_norm);
        self
    }

    /// Clamps each element of a gradient to `-value..=value` before each update; NaN stays.
    pub fn clip_grad_value(mut self, value: f64) -> Self {
        self.clip_grad_value = Some(value);
        self
    }

    /// Adds a parameter group.
    pub fn group(mut self, group: ParamGroup) -> Self {
        self.groups.push(group);
        self
    }

    /// The weight decay of a group.
    fn decay_of(&self, group: usize) -> f64 {
        self.groups.get(group).map_or(self.weight_decay, |group| group.weight_decay)
    }

    /// Factor on the learning rate of a group.
    fn factor_of(&self, group: usize) -> f64 {
        self.groups.get(group).map_or(1.0, |group| group.lr_factor)
    }
}

impl Optimizer for Sgd {
    fn name(&self) -> &'static str {
        "SGD"
    }

    fn validate(&self) -> Result<()> {
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

    fn rates(&self) -> Rates {
        Rates { lr: self.lr, momentum: self.momentum }
    }

    fn needs_momentum(&self) -> bool {
        self.nesterov
    }

    fn groups(&self) -> &[ParamGroup] {
        &self.groups
    }

    fn clipping(&self) -> Clipping {
        match (self.clip_grad_value, self.clip_grad_norm) {
            (Some(value), _) => Clipping::Value(value),
            (None, Some(max_norm)) => Clipping::Norm(max_norm),
            (None, None) => Clipping::None,
        }
    }

    fn buffers(&self) -> &'static [&'static str] {
        &[MOMENTUM_BUFFER]
    }

    /// PyTorch creates the momentum buffer only in a step with momentum.
    fn has_buffers(&self, updates: &[f32]) -> bool {
        updates.get(1).is_some_and(|&with_momentum| with_momentum > 0.0)
    }

    fn hyperparameter_count(&self) -> usize {
        2
    }

    fn values(&self, group: usize, rates: Rates) -> Vec<f32> {
        vec![(rates.lr * self.factor_of(group)) as f32, rates.momentum as f32]
    }

    fn append_update(&self, tape: &mut Tape, update: Update) -> Result<()> {
        let Update { group, name, hyper, updates: count, parameters, gradients, clip, grad_norm } = update;
        let inputs: Vec<TensorId> = [hyper, count].into_iter().chain(gradients).chain(grad_norm).collect();
        let momenta: Vec<TensorId> =
            parameters.iter().map(|&parameter| tape.optimizer_buffer(parameter, MOMENTUM_BUFFER)).collect();
        let updates: Vec<TensorId> = parameters.into_iter().chain(momenta).collect();
        let op = SgdUpdate {
            group,
            dampening: self.dampening,
            weight_decay: self.decay_of(group),
            l1: self.l1,
            nesterov: self.nesterov,
            maximize: self.maximize,
            clip,
        };
        tape.append(&name, op, &inputs, &updates)?;
        Ok(())
    }

    fn param_group(&self, group: usize) -> Vec<(&'static str, serde_json::Value)> {
        vec![
            ("lr", json!(self.lr * self.factor_of(group))),
            ("momentum", json!(self.momentum)),
            ("dampening", json!(self.dampening)),
            ("weight_decay", json!(self.decay_of(group))),
            ("nesterov", json!(self.nesterov)),
            ("maximize", json!(self.maximize)),
            ("l1", json!(self.l1)),
        ]
    }
}

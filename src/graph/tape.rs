//! Tensors, nodes, and the builder that checks every shape as it appends.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::graph::{Misfit, Operation};
use crate::rng::Init;
use crate::shape::{DType, Layout, Shape};
use crate::tensor::{Role, Spec, Tensor, TensorId};

/// Identifies a node of a tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) usize);

/// The part of a step that a node belongs to. Stages run in this order and can run apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Collects the batch from a resident data set.
    Gather,
    /// The model and its loss.
    Forward,
    /// The gradients.
    Backward,
    /// The optimizer.
    Update,
}

/// The purpose of a tape, a batch or a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Steps that change parameters: batch norm uses batch statistics, dropout is active, images are augmented.
    Train,
    /// Everything else: validation, test, prediction.
    Evaluate,
}

impl std::fmt::Display for Purpose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Purpose::Train => "training",
            Purpose::Evaluate => "evaluation",
        })
    }
}

/// An operation applied to tensors.
#[derive(Clone, Debug)]
pub struct Node {
    /// The name used by errors and by the plan's printout.
    pub name: String,
    /// The operation with its attributes.
    pub op: Arc<dyn Operation>,
    /// Tensors read.
    pub inputs: Vec<TensorId>,
    /// Tensors computed.
    pub outputs: Vec<TensorId>,
    /// Tensors kept between steps and updated in place.
    pub updates: Vec<TensorId>,
    /// The stage in which it runs.
    pub stage: Stage,
}

/// The name of the input of [`Tape::random`].
pub const RANDOM: &str = "random";

fn in_order(named: &HashMap<String, TensorId>) -> Vec<TensorId> {
    let mut ids: Vec<TensorId> = named.values().copied().collect();
    ids.sort_unstable();
    ids
}

/// Checks that a tensor of this shape can exist. Sizes may come from a file.
fn holdable(op: &'static str, name: &str, shape: &Shape) -> Result<()> {
    match shape.checked_len() {
        Some(_) => Ok(()),
        None => Err(Error::shape(op, name, format!("{shape} has more elements than memory can hold"))),
    }
}

/// A program as data: tensors, and nodes in an order in which they can run.
#[derive(Clone, Debug)]
pub struct Tape {
    tensors: Vec<Tensor>,
    nodes: Vec<Node>,
    parameters: HashMap<String, TensorId>,
    buffers: HashMap<String, TensorId>,
    inputs: HashMap<String, TensorId>,
    /// By input name, the hint of the error for an unwritten input.
    explained: HashMap<String, String>,
    kept: Vec<TensorId>,
    scope: Vec<String>,
    stage: Stage,
    purpose: Purpose,
}

impl Tape {
    /// Creates an empty tape.
    pub fn new(purpose: Purpose) -> Self {
        Tape {
            tensors: Vec::new(),
            nodes: Vec::new(),
            parameters: HashMap::new(),
            buffers: HashMap::new(),
            inputs: HashMap::new(),
            kept: Vec::new(),
            scope: Vec::new(),
            stage: Stage::Forward,
            purpose,
            explained: HashMap::new(),
        }
    }

    /// The tape's purpose.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// True if layers that differ between training and evaluation act as in training.
    pub fn training(&self) -> bool {
        self.purpose == Purpose::Train
    }

    /// All tensors, indexed by [`TensorId`].
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// All nodes in order, indexed by [`NodeId`].
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The description of `id`.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.0]
    }

    /// Adds a tensor that passes values between a plan's nodes.
    pub(crate) fn add_tensor(&mut self, tensor: Tensor) {
        self.tensors.push(tensor);
    }

    /// The same tensors with other nodes, which a plan derived from these.
    pub(crate) fn with_nodes(&self, nodes: Vec<Node>) -> Self {
        Tape { nodes, ..self.clone() }
    }

    /// The extents of `id` in PyTorch's order.
    pub fn shape(&self, id: TensorId) -> &Shape {
        &self.tensors[id.0].shape
    }

    /// The parameters in order of declaration.
    pub fn parameters(&self) -> Vec<TensorId> {
        in_order(&self.parameters)
    }

    /// The model's buffers in order of declaration.
    pub fn buffers(&self) -> Vec<TensorId> {
        in_order(&self.buffers)
    }

    /// Returns the parameter called `name`.
    pub fn find_parameter(&self, name: &str) -> Option<TensorId> {
        self.parameters.get(name).copied()
    }

    /// Returns the input called `name`.
    pub fn find_input(&self, name: &str) -> Option<TensorId> {
        self.inputs.get(name).copied()
    }

    /// The parameter gradients appended by [`Tape::backward`], as pairs (parameter, gradient).
    pub fn gradients(&self) -> Vec<(TensorId, TensorId)> {
        let of = |(i, tensor): (usize, &Tensor)| match tensor.role {
            Role::Gradient { of } => Some((of, TensorId(i))),
            _ => None,
        };
        self.tensors.iter().enumerate().filter_map(of).collect()
    }

    /// Runs `build` with `name` and a dot prefixed to every name that it declares.
    pub fn scoped<R>(&mut self, name: &str, build: impl FnOnce(&mut Self) -> R) -> R {
        self.scope.push(name.to_string());
        let result = build(self);
        self.scope.pop();
        result
    }

    /// The full name of `name` in the current scope.
    pub fn full_name(&self, name: &str) -> String {
        let mut parts: Vec<&str> = self.scope.iter().map(String::as_str).collect();
        parts.push(name);
        parts.retain(|part| !part.is_empty());
        parts.join(".")
    }

    /// Sets the stage of the nodes appended from now on.
    pub fn set_stage(&mut self, stage: Stage) {
        self.stage = stage;
    }

    /// Keeps the values of `id` after a step, for reading.
    pub fn keep(&mut self, id: TensorId) {
        if !self.kept.contains(&id) {
            self.kept.push(id);
        }
    }

    /// The tensors passed to [`Tape::keep`].
    pub fn kept(&self) -> &[TensorId] {
        &self.kept
    }

    /// Declares a tensor that the host writes before a step.
    pub fn input(&mut self, name: &str, spec: Spec) -> Result<TensorId> {
        if self.inputs.contains_key(name) {
            return Err(Error::name(name, "this tape has an input of that name already"));
        }
        holdable("input", name, &spec.shape)?;
        let id = self.push(spec.tensor(name.to_string(), Role::Input));
        self.inputs.insert(name.to_string(), id);
        Ok(id)
    }

    /// Declares an input like [`Tape::input`], with a hint for the error if a step finds it unwritten: "write .. to it
    /// before ..".
    pub fn explained_input(&mut self, name: &str, spec: Spec, how: &str) -> Result<TensorId> {
        let id = self.input(name, spec)?;
        self.explained.insert(name.to_string(), how.to_string());
        Ok(id)
    }

    /// The error of a step that needs the unwritten input `name`.
    pub(crate) fn unwritten(&self, name: &str) -> Error {
        let how = self.explained.get(name).map_or("write it before the first step that reads it", String::as_str);
        Error::name(name, format!("nobody has written this input of the tape, and a step needs it: {how}"))
    }

    /// Declares a parameter, with the current scope prefixed to its name.
    pub fn parameter(&mut self, name: &str, shape: impl Into<Shape>, layout: Layout, init: Init) -> Result<TensorId> {
        let name = self.unused(name)?;
        let tensor = Tensor {
            name: name.clone(),
            shape: shape.into(),
            layout,
            dtype: DType::F32,
            role: Role::Parameter { init, trainable: true, group: None },
        };
        holdable("parameter", &name, &tensor.shape)?;
        let id = self.push(tensor);
        self.parameters.insert(name, id);
        Ok(id)
    }

    /// Declares a buffer of the model, initially `init` everywhere, with the current scope prefixed to its name.
    pub fn buffer(&mut self, name: &str, shape: impl Into<Shape>, dtype: DType, init: f32) -> Result<TensorId> {
        let name = self.unused(name)?;
        let spec = Spec { shape: shape.into(), layout: Layout::RowMajor, dtype };
        holdable("buffer", &name, &spec.shape)?;
        let id = self.push(spec.tensor(name.clone(), Role::Buffer { init }));
        self.buffers.insert(name, id);
        Ok(id)
    }

    /// The full name of `name`, if no parameter or buffer has it yet.
    fn unused(&self, name: &str) -> Result<String> {
        let name = self.full_name(name);
        match self.parameters.contains_key(&name) || self.buffers.contains_key(&name) {
            true => Err(Error::name(name, "this tape has a parameter or buffer of that name already")),
            false => Ok(name),
        }
    }

    /// The input [`RANDOM`], declared on first use, which holds the seed and step for drawing random numbers.
    ///
    /// It is written before each step with [`crate::rng::draw`]: steps differ, and a run is repeatable.
    pub fn random(&mut self) -> Result<TensorId> {
        match self.find_input(RANDOM) {
            Some(id) => Ok(id),
            None => self.explained_input(RANDOM, Spec::i32([4]), "write rng::draw(seed, step) to it before each step"),
        }
    }

    /// Excludes a parameter from training: no gradient is computed for it.
    pub fn freeze(&mut self, id: TensorId) -> Result<()> {
        match &mut self.tensors[id.0].role {
            Role::Parameter { trainable, .. } => {
                *trainable = false;
                Ok(())
            }
            _ => Err(Error::name(self.tensors[id.0].name.clone(), "only a parameter can be frozen")),
        }
    }

    /// Assigns a parameter to a group of the optimizer.
    pub(crate) fn set_group(&mut self, id: TensorId, index: usize) {
        if let Role::Parameter { group, .. } = &mut self.tensors[id.0].role {
            *group = Some(index);
        }
    }

    /// Declares a small tensor that is kept between steps and shared by name among the tapes of a run.
    pub fn state(&mut self, name: &str, shape: impl Into<Shape>) -> TensorId {
        self.push(Spec::f32(shape).tensor(name.to_string(), Role::State))
    }

    /// Declares a data set that stays on the device, shared by name among the tapes of a run.
    pub fn resident(&mut self, name: &str, spec: Spec) -> TensorId {
        self.push(spec.tensor(name.to_string(), Role::Resident))
    }

    /// Declares a constant.
    pub fn constant(&mut self, value: f32) -> TensorId {
        self.push(Spec::f32([1]).tensor(value.to_string(), Role::Constant(value)))
    }

    /// Declares the constant 1 in the shape of `id`, which has one element.
    pub(crate) fn one_like(&mut self, id: TensorId) -> TensorId {
        let spec = Spec::like(self.tensor(id));
        self.push(spec.tensor("1".into(), Role::Constant(1.0)))
    }

    /// Declares an optimizer's state `name` for a parameter, such as "momentum_buffer"; initially zero.
    pub fn optimizer_buffer(&mut self, of: TensorId, name: &'static str) -> TensorId {
        self.beside(of, name, Role::OptimizerBuffer { of, name })
    }

    /// Declares the accumulated gradient of a parameter over several batches.
    pub(crate) fn accumulated(&mut self, of: TensorId) -> TensorId {
        self.beside(of, "accumulated_grad", Role::Accumulated { of })
    }

    fn beside(&mut self, of: TensorId, what: &str, role: Role) -> TensorId {
        let tensor = self.tensor(of);
        let tensor = Tensor { name: format!("{}.{what}", tensor.name), role, ..tensor.clone() };
        self.push(tensor)
    }

    /// Declares `id`, the output of a node, to be the gradient of the parameter `of`.
    pub(crate) fn set_gradient(&mut self, id: TensorId, of: TensorId) {
        self.tensors[id.0].role = Role::Gradient { of };
        self.tensors[id.0].name = format!("{}.grad", self.tensors[of.0].name);
    }

    fn push(&mut self, tensor: Tensor) -> TensorId {
        self.tensors.push(tensor);
        TensorId(self.tensors.len() - 1)
    }

    /// Appends a node after its shape rule has accepted the inputs. Returns the ids of the outputs in the operation's
    /// order.
    pub fn append(
        &mut self,
        name: &str,
        op: impl Operation + 'static,
        inputs: &[TensorId],
        updates: &[TensorId],
    ) -> Result<Vec<TensorId>> {
        self.append_shared(name, Arc::new(op), inputs, updates)
    }

    /// Appends a node like [`Tape::append`], for an operation shared with another tape.
    pub(crate) fn append_shared(
        &mut self,
        name: &str,
        op: Arc<dyn Operation>,
        inputs: &[TensorId],
        updates: &[TensorId],
    ) -> Result<Vec<TensorId>> {
        let name = self.full_name(name);
        let tensors: Vec<&Tensor> = inputs.iter().map(|&id| self.tensor(id)).collect();
        let specs = op.infer(&tensors).map_err(|misfit| match misfit {
            Misfit::Shape(message) => Error::shape(op.name(), name.clone(), message),
            Misfit::Mismatch(message, values) => {
                Error::shape(op.name(), name.clone(), message).between(values.expected, values.found)
            }
            Misfit::Attribute(message) => Error::Attribute { op: op.name(), name: name.clone(), message },
        })?;
        specs.iter().try_for_each(|spec| holdable(op.name(), &name, &spec.shape))?;
        let outputs =
            specs.into_iter().map(|spec| self.push(spec.tensor(name.clone(), Role::Activation))).collect::<Vec<_>>();
        self.nodes.push(Node {
            name,
            op,
            inputs: inputs.to_vec(),
            outputs: outputs.clone(),
            updates: updates.to_vec(),
            stage: self.stage,
        });
        Ok(outputs)
    }
}

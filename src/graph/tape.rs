//! Tensors, nodes and the builder that checks every shape as it appends.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::graph::{Misfit, Operation};
use crate::rng::Init;
use crate::shape::{DType, Layout, Shape};
use crate::tensor::{Role, Spec, Tensor, TensorId};

/// A node of a tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) usize);

/// The part of a step that a node belongs to; stages run in this order and can run apart.
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

/// What a tape, a batch or a program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Steps that change parameters: batch norm normalises by the batch, dropout drops, images are augmented.
    Train,
    /// Everything else: a validation, a test, a prediction.
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

/// One operation applied to tensors.
#[derive(Clone, Debug)]
pub struct Node {
    /// The name that errors and the plan's printout use.
    pub name: String,
    /// The operation with its attributes.
    pub op: Arc<dyn Operation>,
    /// Tensors that are read.
    pub inputs: Vec<TensorId>,
    /// Tensors that are made.
    pub outputs: Vec<TensorId>,
    /// Tensors that are kept between steps and changed in place.
    pub updates: Vec<TensorId>,
    /// When it runs.
    pub stage: Stage,
}

/// The name of the input of [`Tape::random`].
pub const RANDOM: &str = "random";

fn in_order(named: &HashMap<String, TensorId>) -> Vec<TensorId> {
    let mut ids: Vec<TensorId> = named.values().copied().collect();
    ids.sort_unstable();
    ids
}

/// A program as data: tensors, and nodes in an order in which they can run.
#[derive(Clone, Debug)]
pub struct Tape {
    tensors: Vec<Tensor>,
    nodes: Vec<Node>,
    parameters: HashMap<String, TensorId>,
    buffers: HashMap<String, TensorId>,
    inputs: HashMap<String, TensorId>,
    /// What is written to an input, by its name, for the error where nobody has.
    explained: HashMap<String, String>,
    kept: Vec<TensorId>,
    scope: Vec<String>,
    stage: Stage,
    purpose: Purpose,
}

impl Tape {
    /// An empty tape.
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

    /// What the tape is for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Whether layers that differ between training and evaluation are to act as in training.
    pub fn training(&self) -> bool {
        self.purpose == Purpose::Train
    }

    /// All tensors; a [`TensorId`] counts into them.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// All nodes in order; a [`NodeId`] counts into them.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// What is known of `id`.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.0]
    }

    /// One more tensor, which a plan's nodes hand on.
    pub(crate) fn add_tensor(&mut self, tensor: Tensor) {
        self.tensors.push(tensor);
    }

    /// The same tensors with other nodes, which a plan has made of these.
    pub(crate) fn with_nodes(&self, nodes: Vec<Node>) -> Self {
        Tape { nodes, ..self.clone() }
    }

    /// The extents of `id` in PyTorch's order.
    pub fn shape(&self, id: TensorId) -> &Shape {
        &self.tensors[id.0].shape
    }

    /// The parameters in the order in which they were declared.
    pub fn parameters(&self) -> Vec<TensorId> {
        in_order(&self.parameters)
    }

    /// The model's buffers in the order in which they were declared.
    pub fn buffers(&self) -> Vec<TensorId> {
        in_order(&self.buffers)
    }

    /// The parameter called `name`.
    pub fn find_parameter(&self, name: &str) -> Option<TensorId> {
        self.parameters.get(name).copied()
    }

    /// The input called `name`.
    pub fn find_input(&self, name: &str) -> Option<TensorId> {
        self.inputs.get(name).copied()
    }

    /// The gradients of parameters that [`Tape::backward`] made, with their parameters.
    pub fn gradients(&self) -> Vec<(TensorId, TensorId)> {
        let of = |(i, tensor): (usize, &Tensor)| match tensor.role {
            Role::Gradient { of } => Some((of, TensorId(i))),
            _ => None,
        };
        self.tensors.iter().enumerate().filter_map(of).collect()
    }

    /// Runs `build` with `name` and a dot in front of every name that it declares.
    pub fn scoped<R>(&mut self, name: &str, build: impl FnOnce(&mut Self) -> R) -> R {
        self.scope.push(name.to_string());
        let result = build(self);
        self.scope.pop();
        result
    }

    /// The full name of `name` in the present scope.
    pub fn full_name(&self, name: &str) -> String {
        let mut parts: Vec<&str> = self.scope.iter().map(String::as_str).collect();
        parts.push(name);
        parts.retain(|part| !part.is_empty());
        parts.join(".")
    }

    /// The stage of the nodes that are appended from now on.
    pub fn set_stage(&mut self, stage: Stage) {
        self.stage = stage;
    }

    /// Keeps the values of `id` after a step, so that they can be read.
    pub fn keep(&mut self, id: TensorId) {
        if !self.kept.contains(&id) {
            self.kept.push(id);
        }
    }

    /// The tensors that [`Tape::keep`] named.
    pub fn kept(&self) -> &[TensorId] {
        &self.kept
    }

    /// Declares a tensor that the host writes before a step.
    pub fn input(&mut self, name: &str, spec: Spec) -> Result<TensorId> {
        if self.inputs.contains_key(name) {
            return Err(Error::name(name, "this tape has an input of that name already"));
        }
        let id = self.push(spec.tensor(name.to_string(), Role::Input));
        self.inputs.insert(name.to_string(), id);
        Ok(id)
    }

    /// [`Tape::input`] with a text for the error where a step needs the input and nobody has written it: "write .. to it before ..".
    pub fn explained_input(&mut self, name: &str, spec: Spec, how: &str) -> Result<TensorId> {
        let id = self.input(name, spec)?;
        self.explained.insert(name.to_string(), how.to_string());
        Ok(id)
    }

    /// The error of a step that needs the input called `name`, which nobody has written.
    pub(crate) fn unwritten(&self, name: &str) -> Error {
        let how = self.explained.get(name).map_or("write it before the first step that reads it", String::as_str);
        Error::name(name, format!("nobody has written this input of the tape, and a step needs it: {how}"))
    }

    /// Declares a parameter, with the present scope in front of its name.
    pub fn parameter(&mut self, name: &str, shape: impl Into<Shape>, layout: Layout, init: Init) -> Result<TensorId> {
        let name = self.unused(name)?;
        let tensor = Tensor {
            name: name.clone(),
            shape: shape.into(),
            layout,
            dtype: DType::F32,
            role: Role::Parameter { init, trainable: true, group: None },
        };
        let id = self.push(tensor);
        self.parameters.insert(name, id);
        Ok(id)
    }

    /// Declares a buffer of the model, `init` everywhere at first, with the present scope in front of its name.
    pub fn buffer(&mut self, name: &str, shape: impl Into<Shape>, dtype: DType, init: f32) -> Result<TensorId> {
        let name = self.unused(name)?;
        let spec = Spec { shape: shape.into(), layout: Layout::RowMajor, dtype };
        let id = self.push(spec.tensor(name.clone(), Role::Buffer { init }));
        self.buffers.insert(name, id);
        Ok(id)
    }

    /// The full name of `name`, if no parameter and no buffer has it yet.
    fn unused(&self, name: &str) -> Result<String> {
        let name = self.full_name(name);
        match self.parameters.contains_key(&name) || self.buffers.contains_key(&name) {
            true => Err(Error::name(name, "this tape has a parameter or buffer of that name already")),
            false => Ok(name),
        }
    }

    /// The input that says where random numbers are drawn in this step, [`RANDOM`], declared on first use.
    ///
    /// It is written before each step with [`crate::rng::draw`], so that two steps differ and a run repeats.
    pub fn random(&mut self) -> Result<TensorId> {
        match self.find_input(RANDOM) {
            Some(id) => Ok(id),
            None => self.explained_input(RANDOM, Spec::i32([4]), "write rng::draw(seed, step) to it before each step"),
        }
    }

    /// Excludes a parameter from training: no gradient is made for it.
    pub fn freeze(&mut self, id: TensorId) -> Result<()> {
        match &mut self.tensors[id.0].role {
            Role::Parameter { trainable, .. } => {
                *trainable = false;
                Ok(())
            }
            _ => Err(Error::name(self.tensors[id.0].name.clone(), "only a parameter can be frozen")),
        }
    }

    /// Puts a parameter into a group of the optimizer.
    pub(crate) fn set_group(&mut self, id: TensorId, index: usize) {
        if let Role::Parameter { group, .. } = &mut self.tensors[id.0].role {
            *group = Some(index);
        }
    }

    /// Declares a small tensor that is kept between steps and shared by name among the tapes of a run.
    pub fn state(&mut self, name: &str, shape: impl Into<Shape>) -> TensorId {
        self.push(Spec::f32(shape).tensor(name.to_string(), Role::State))
    }

    /// Declares a data set that lies on the device, shared by name among the tapes of a run.
    pub fn resident(&mut self, name: &str, spec: Spec) -> TensorId {
        self.push(spec.tensor(name.to_string(), Role::Resident))
    }

    /// Declares one number that never changes.
    pub fn constant(&mut self, value: f32) -> TensorId {
        self.push(Spec::f32([1]).tensor(value.to_string(), Role::Constant(value)))
    }

    /// Declares the number 1 in the shape of `id`, which has one element.
    pub(crate) fn one_like(&mut self, id: TensorId) -> TensorId {
        let spec = Spec::like(self.tensor(id));
        self.push(spec.tensor("1".into(), Role::Constant(1.0)))
    }

    /// Declares what an optimizer keeps for a parameter under `name`, such as "momentum_buffer"; zero at first.
    pub fn optimizer_buffer(&mut self, of: TensorId, name: &'static str) -> TensorId {
        self.beside(of, name, Role::OptimizerBuffer { of, name })
    }

    /// Declares the sum of a parameter's gradients over several batches.
    pub(crate) fn accumulated(&mut self, of: TensorId) -> TensorId {
        self.beside(of, "accumulated_grad", Role::Accumulated { of })
    }

    fn beside(&mut self, of: TensorId, what: &str, role: Role) -> TensorId {
        let tensor = self.tensor(of);
        let tensor = Tensor { name: format!("{}.{what}", tensor.name), role, ..tensor.clone() };
        self.push(tensor)
    }

    /// Makes `id`, which a node has made, the gradient of the parameter `of`.
    pub(crate) fn set_gradient(&mut self, id: TensorId, of: TensorId) {
        self.tensors[id.0].role = Role::Gradient { of };
        self.tensors[id.0].name = format!("{}.grad", self.tensors[of.0].name);
    }

    fn push(&mut self, tensor: Tensor) -> TensorId {
        self.tensors.push(tensor);
        TensorId(self.tensors.len() - 1)
    }

    /// Appends a node after its shape rule has agreed; the outputs' ids come back in the operation's order.
    pub fn append(
        &mut self,
        name: &str,
        op: impl Operation + 'static,
        inputs: &[TensorId],
        updates: &[TensorId],
    ) -> Result<Vec<TensorId>> {
        self.append_shared(name, Arc::new(op), inputs, updates)
    }

    /// [`Tape::append`] for an operation that another tape has too.
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

//! The CPU executor: runs every node of a tape by its twin, in order.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::graph::{Stage, Tape};
use crate::tensor::{Role, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Value};

/// Data kept between steps and shared by the programs of a run: parameters, buffers, momentum buffers, states, data
/// sets, by name.
#[derive(Clone, Debug, Default)]
pub struct HostStore<R> {
    values: HashMap<String, Value<R>>,
}

impl<R: Real> HostStore<R> {
    /// Creates a store with the parameters of `tape`, initialised under `seed`.
    pub fn new(tape: &Tape, seed: u64) -> Self {
        let mut values = HashMap::new();
        for id in tape.parameters() {
            let tensor = tape.tensor(id);
            if let Role::Parameter { init, .. } = tensor.role {
                let first = init.values(seed, &tensor.name, tensor.shape.len());
                let first = first.into_iter().map(|v| R::of(f64::from(v))).collect();
                values.insert(tensor.name.clone(), Value::Real(first));
            }
        }
        let mut store = HostStore { values };
        store.declare_buffers(tape);
        store
    }

    /// Initialises every buffer of `tape` that has no value yet.
    fn declare_buffers(&mut self, tape: &Tape) {
        for id in tape.buffers() {
            let tensor = tape.tensor(id);
            if let Role::Buffer { init } = tensor.role {
                let first = || Value::filled(tensor.dtype, tensor.shape.len(), init);
                self.values.entry(tensor.name.clone()).or_insert_with(first);
            }
        }
    }

    /// True if there is a value called `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Returns the value called `name`.
    pub fn get(&self, name: &str) -> Option<&Value<R>> {
        self.values.get(name)
    }

    /// Sets the value called `name`.
    pub fn set(&mut self, name: &str, value: Value<R>) {
        self.values.insert(name.to_string(), value);
    }
}

/// A tape with the values of its inputs and of its last run.
pub struct Program<R> {
    tape: Arc<Tape>,
    values: Vec<Option<Value<R>>>,
}

impl<R: Real> Program<R> {
    /// Creates a program for `tape`, with unwritten inputs.
    pub fn new(tape: Arc<Tape>) -> Self {
        let values = tape.tensors().iter().map(initial).collect();
        Program { tape, values }
    }

    /// Returns the tape.
    pub fn tape(&self) -> &Tape {
        &self.tape
    }

    /// Writes the input called `name`.
    pub fn write(&mut self, name: &str, value: Value<R>) -> Result<()> {
        let id = self.tape.find_input(name).ok_or_else(|| Error::name(name, "the tape has no input of that name"))?;
        let tensor = self.tape.tensor(id);
        if value.len() != tensor.shape.len() {
            let message = format!("is {} of {:?}, got {} values", tensor.shape, tensor.dtype, value.len());
            return Err(Error::shape("input", name, message).between(&tensor.shape, value.len()));
        }
        self.values[id.0] = Some(value);
        Ok(())
    }

    /// Returns the values of `id` after the last run.
    pub fn read(&self, id: TensorId) -> Option<&Value<R>> {
        self.values[id.0].as_ref()
    }

    /// Replaces the values of `id`, for example a gradient between backward and update.
    pub fn set(&mut self, id: TensorId, value: Value<R>) {
        self.values[id.0] = Some(value);
    }

    /// Runs the nodes of `stages` over the tensors in `store`.
    pub fn run(&mut self, store: &mut HostStore<R>, stages: &[Stage]) -> Result<()> {
        let tape = Arc::clone(&self.tape);
        store.declare_buffers(&tape);
        for node in tape.nodes().iter().filter(|node| stages.contains(&node.stage)) {
            let mut updates = Vec::with_capacity(node.updates.len());
            for &id in &node.updates {
                let tensor = tape.tensor(id);
                let kept = match tensor.role {
                    Role::Gradient { .. } => self.values[id.0].take(),
                    _ => store.values.remove(&tensor.name),
                };
                updates.push(kept.unwrap_or_else(|| Value::zeros(tensor.dtype, tensor.shape.len())));
            }
            let mut outputs = Outputs {
                outputs: node
                    .outputs
                    .iter()
                    .map(|&id| Value::zeros(tape.tensor(id).dtype, tape.shape(id).len()))
                    .collect(),
                updates,
            };
            let mut values = Vec::with_capacity(node.inputs.len());
            for &id in &node.inputs {
                let tensor = tape.tensor(id);
                let value = match tensor.role {
                    Role::Parameter { .. }
                    | Role::Buffer { .. }
                    | Role::OptimizerBuffer { .. }
                    | Role::State
                    | Role::Resident => store.values.get(&tensor.name),
                    _ => self.values[id.0].as_ref(),
                };
                let value = value.ok_or_else(|| match tensor.role {
                    Role::Input => tape.unwritten(&tensor.name),
                    _ => Error::name(&tensor.name, "has no value yet"),
                })?;
                values.push((&tensor.shape, value));
            }
            let inputs = Inputs { values, outputs: node.outputs.iter().map(|&id| tape.shape(id)).collect() };
            R::eval(&*node.op, &inputs, &mut outputs);
            for (&id, value) in node.outputs.iter().zip(outputs.outputs) {
                self.values[id.0] = Some(value);
            }
            for (&id, value) in node.updates.iter().zip(outputs.updates) {
                match tape.tensor(id).role {
                    Role::Gradient { .. } => self.values[id.0] = Some(value),
                    _ => {
                        store.values.insert(tape.tensor(id).name.clone(), value);
                    }
                }
            }
        }
        Ok(())
    }
}

fn initial<R: Real>(tensor: &Tensor) -> Option<Value<R>> {
    match tensor.role {
        Role::Constant(value) => Some(Value::Real(vec![R::of(f64::from(value))])),
        _ => None,
    }
}

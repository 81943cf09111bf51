//! Correctness checks of kernels on a device: their results on given values against the twins' results in f64.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::gpu::{Device, Session, SessionOptions, Store};
use crate::graph::{Stage, Tape};
use crate::kernel::Choices;
use crate::plan::{ParameterLayout, Plan};
use crate::reference::{self, Program};
use crate::shape::{DType, Shape};
use crate::tensor::{Role, Tensor, TensorId};
use crate::twin::{Real, Value};

/// Allowed difference between a result and the twin's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// Bitwise equality (all NaNs are equal).
    Exact,
    /// For a sum of `depth` products: 4 eps √depth Σ|a b|, with the twin's sum over absolute inputs.
    Sum {
        /// Number of products.
        depth: usize,
    },
    /// For a few roundings: this many eps of the larger of the result and 1.
    Rounding(f64),
    /// This fraction of the tensor's root mean square.
    RootMeanSquare(f64),
}

/// A test case for kernels: a program, usually of one node, the values of its inputs, and the tensors to compare.
///
/// The twins' results are computed once, so that many candidates can be judged by them.
#[derive(Clone, Debug)]
pub struct Specimen {
    tape: Arc<Tape>,
    values: Vec<(String, Value<f32>)>,
    compared: Vec<(TensorId, Tolerance)>,
    expected: Vec<Vec<f64>>,
    /// The twins' results on absolute values, if a tolerance needs them.
    magnitudes: Option<Vec<Vec<f64>>>,
}

/// The result of judging a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything compared is within tolerance, and nothing else was written.
    Right,
    /// The fault: the first element out of tolerance with both values, or the place of an invalid write.
    Wrong(String),
}

impl Specimen {
    /// Prepares `tape` and runs its twins on `values`: inputs, buffers of the model, states and data sets by name, in
    /// PyTorch's element order. Tensors that are not given start as in a run. `compared` names the tensors to compare:
    /// results, or buffers and states that the nodes update in place.
    pub fn new(
        mut tape: Tape,
        values: Vec<(String, Value<f32>)>,
        compared: Vec<(TensorId, Tolerance)>,
    ) -> Result<Self> {
        for &(id, _) in &compared {
            tape.keep(id);
        }
        let mut specimen = Specimen { tape: Arc::new(tape), values, compared, expected: Vec::new(), magnitudes: None };
        specimen.expected = specimen.twins(f64::from)?;
        if specimen.compared.iter().any(|(_, tolerance)| matches!(tolerance, Tolerance::Sum { .. })) {
            specimen.magnitudes = Some(specimen.twins(|x| f64::from(x).abs())?);
        }
        Ok(specimen)
    }

    /// Runs the program on `device` with these choices and compares.
    pub fn judge(&self, device: &Device, choices: &Choices, options: SessionOptions) -> Result<Verdict> {
        let layout = Arc::new(ParameterLayout::new(&self.tape, device.caps())?);
        let store = match options.guarded {
            true => Store::guarded(device, Arc::clone(&layout)),
            false => Store::new(device, Arc::clone(&layout)),
        };
        let store = Arc::new(store?);
        let is_resident = |name: &str| self.named(name).is_ok_and(|tensor| tensor.role == Role::Resident);
        let (residents, others): (Vec<_>, Vec<_>) = self.values.iter().partition(|(name, _)| is_resident(name));
        for (name, value) in residents {
            self.upload(&store, name, value)?;
        }
        let plan = Plan::new(Arc::clone(&self.tape), layout, device.caps(), choices)?;
        let mut session = Session::new(&store, Arc::new(plan), options)?;
        for (name, value) in others {
            match (self.named(name)?.role, value) {
                (Role::Input, Value::Real(values)) => session.write(name, values)?,
                (Role::Input, Value::Int(values)) => session.write(name, values)?,
                (Role::Buffer { .. }, value) => store.set_buffer(name, value)?,
                (Role::State, Value::Real(values)) => store.set_state(name, values)?,
                _ => return Err(Error::name(name, "is nothing that such a value can be given for")),
            }
        }
        session.step()?;
        for i in 0..self.compared.len() {
            if let Some(difference) = self.difference(&session, i)? {
                return Ok(Verdict::Wrong(difference));
            }
        }
        Ok(session.breach()?.map_or(Verdict::Right, Verdict::Wrong))
    }

    fn named(&self, name: &str) -> Result<&Tensor> {
        let found = self.tape.tensors().iter().find(|tensor| tensor.name == name);
        found.ok_or_else(|| Error::name(name, "the program has no tensor of that name"))
    }

    /// Uploads a data set to the device.
    fn upload(&self, store: &Store, name: &str, value: &Value<f32>) -> Result<()> {
        let tensor = self.named(name)?;
        let rows = tensor.shape.dims().first().copied().unwrap_or(1);
        match value {
            Value::Real(values) => {
                let memory = tensor.layout.to_memory(&tensor.shape, values);
                store.set_resident(name, rows, bytemuck::cast_slice(&memory))
            }
            Value::Int(values) => store.set_resident(name, rows, bytemuck::cast_slice(values)),
            Value::Bytes(values) => store.set_resident(name, rows, values),
        }
    }

    /// Runs the twins on the values, each mapped to f64 by `map`.
    fn twins(&self, map: fn(f32) -> f64) -> Result<Vec<Vec<f64>>> {
        let mut program = Program::<f64>::new(Arc::clone(&self.tape));
        let mut store = reference::HostStore::default();
        for (name, value) in &self.values {
            let value = match value {
                Value::Real(values) => Value::Real(values.iter().map(|&x| map(x)).collect()),
                Value::Int(values) => Value::Int(values.clone()),
                Value::Bytes(values) => Value::Bytes(values.clone()),
            };
            match self.tape.find_input(name) {
                Some(_) => program.write(name, value)?,
                None => store.set(name, value),
            }
        }
        let stages: BTreeSet<Stage> = self.tape.nodes().iter().map(|node| node.stage).collect();
        program.run(&mut store, &stages.into_iter().collect::<Vec<_>>())?;
        let read = |&(id, _): &(TensorId, Tolerance)| {
            let tensor = self.tape.tensor(id);
            let value = match tensor.role {
                Role::Buffer { .. } | Role::State => store.get(&tensor.name),
                _ => program.read(id),
            };
            let value = value.ok_or_else(|| Error::name(&tensor.name, "has no value to compare"))?;
            Ok(match value {
                Value::Int(values) => values.iter().map(|&x| f64::from(x)).collect(),
                value => value.real().to_vec(),
            })
        };
        self.compared.iter().map(read).collect()
    }

    /// Describes the first element of tensor number `i` out of tolerance, with its index in PyTorch's order and both
    /// values.
    fn difference(&self, session: &Session, i: usize) -> Result<Option<String>> {
        let (id, tolerance) = self.compared[i];
        let tensor = self.tape.tensor(id);
        let actual: Vec<f64> = match tensor.dtype {
            DType::I32 => session.read_i32(id)?.into_iter().map(f64::from).collect(),
            _ => session.read_f32(id)?.into_iter().map(Real::to_f64).collect(),
        };
        let expected = &self.expected[i];
        if actual.len() != expected.len() {
            return Ok(Some(format!("{} elements, not {}", actual.len(), expected.len())));
        }
        let magnitude = |at: usize| self.magnitudes.as_ref().map_or(0.0, |magnitudes| magnitudes[i][at]);
        Ok(first_off(&actual, expected, tolerance, magnitude).map(|(at, allowed)| {
            let index = index_of(at, &tensor.shape);
            let Tensor { name, shape, .. } = tensor;
            let (actual, expected) = (actual[at], expected[at]);
            format!(
                "at {index:?} of {name} {shape}: {actual} on the device, {expected} by the twin, allowed {allowed:e}"
            )
        }))
    }
}

/// The first element out of tolerance, and its tolerance. `magnitude` gives the sum of [`Tolerance::Sum`] at an
/// element.
pub(super) fn first_off(
    actual: &[f64],
    expected: &[f64],
    tolerance: Tolerance,
    magnitude: impl Fn(usize) -> f64,
) -> Option<(usize, f64)> {
    let root_mean_square = || {
        let squares: f64 = expected.iter().filter(|x| x.is_finite()).map(|x| x * x).sum();
        (squares / expected.len().max(1) as f64).sqrt()
    };
    let of_all = if let Tolerance::RootMeanSquare(part) = tolerance { part * root_mean_square() } else { 0.0 };
    let allowed = |at: usize| match tolerance {
        Tolerance::Exact => 0.0,
        Tolerance::Sum { depth } => 4.0 * f64::from(f32::EPSILON) * (depth as f64).sqrt() * magnitude(at),
        Tolerance::Rounding(count) => count * f64::from(f32::EPSILON) * expected[at].abs().max(1.0),
        Tolerance::RootMeanSquare(_) => of_all,
    };
    let far = (0..actual.len().min(expected.len())).find(|&at| !is_close(actual[at], expected[at], allowed(at)))?;
    Some((far, allowed(far)))
}

/// True if two numbers are equal or at most `allowed` apart. A NaN difference is not close.
fn is_close(actual: f64, expected: f64, allowed: f64) -> bool {
    actual == expected || (actual.is_nan() && expected.is_nan()) || (actual - expected).abs() <= allowed
}

/// Index of element `at` in PyTorch's order.
fn index_of(mut at: usize, shape: &Shape) -> Vec<usize> {
    let mut index: Vec<usize> = Vec::new();
    for &extent in shape.dims().iter().rev() {
        index.push(at % extent);
        at /= extent;
    }
    index.reverse();
    index
}

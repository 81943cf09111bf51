//! One node of a plan in isolation: the same operation on the same shapes, over random numbers, by any of its
//! candidates.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::judge::{Specimen, Tolerance, first_off};
use crate::error::{Error, Result};
use crate::gpu::{Device, Session, SessionOptions, Store};
use crate::graph::{Node, Tape};
use crate::kernel::{Choice, Choices, Kernel, Key};
use crate::plan::{Chosen, ParameterLayout, Plan};
use crate::rng::Init;
use crate::shape::DType;
use crate::tensor::{Role, Spec, Tensor, TensorId};
use crate::twin::Value;

/// Name of the node under trial.
const NODE: &str = "node";
/// Period of the random numbers. It is a prime, so that no tensor extent divides it.
const NOISE: usize = 65_521;
/// Tolerance of an element as a fraction of the outputs' root mean square. The error of summing thousands of products
/// in f32 is several times smaller, and that of one missing product in ten thousand is larger.
const TOLERANCE: f64 = 3e-4;

/// A node in isolation.
pub(in crate::gpu) struct Excerpt {
    tape: Arc<Tape>,
    layout: Arc<ParameterLayout>,
    store: Arc<Store>,
    key: Key,
    inputs: Vec<TensorId>,
    outputs: Vec<TensorId>,
    /// Created on first use, since the twin is slow.
    specimen: OnceCell<Specimen>,
}

impl Excerpt {
    /// Extracts the node of `plan` that `chosen` describes; `None` if it reads or changes values that random numbers
    /// cannot replace.
    pub fn new(device: &Device, plan: &Plan, chosen: &Chosen) -> Result<Option<Self>> {
        let mut copy = Copy { from: &plan.tape, to: Tape::new(plan.tape.purpose()), ids: HashMap::new() };
        let Some(outputs) = copy.node(NODE, &chosen.node) else { return Ok(None) };
        let Copy { mut to, .. } = copy;
        outputs.iter().for_each(|&id| to.keep(id));
        let made: Vec<TensorId> = to.nodes().iter().flat_map(|node| node.outputs.clone()).collect();
        let ids = (0..to.tensors().len()).map(TensorId);
        let inputs = ids.filter(|id| !made.contains(id) && to.tensor(*id).role == Role::Resident).collect();
        let layout = Arc::new(ParameterLayout::new(&to, device.caps())?);
        let store = Arc::new(Store::new(device, Arc::clone(&layout))?);
        Ok(Some(Excerpt {
            tape: Arc::new(to),
            layout,
            store,
            key: chosen.key.clone(),
            inputs,
            outputs,
            specimen: OnceCell::new(),
        }))
    }

    /// Number of multiply-adds of the node, which determines the twin's time.
    pub fn multiply_adds(&self) -> u64 {
        let of_node = |node: &Node| {
            let inputs: Vec<&Tensor> = node.inputs.iter().map(|&id| self.tape.tensor(id)).collect();
            node.op.multiply_adds(&inputs)
        };
        self.tape.nodes().iter().map(of_node).sum()
    }

    /// The test case for the node's candidates, over the same numbers.
    pub fn specimen(&self, noise: &[f32]) -> Result<&Specimen> {
        if let Some(specimen) = self.specimen.get() {
            return Ok(specimen);
        }
        let made = self.make_specimen(noise)?;
        Ok(self.specimen.get_or_init(|| made))
    }

    fn make_specimen(&self, noise: &[f32]) -> Result<Specimen> {
        let value = |(i, &id): (usize, &TensorId)| {
            let tensor = self.tape.tensor(id);
            let values = tensor.layout.to_logical(&tensor.shape, &numbers(noise, i, tensor.shape.len()));
            (tensor.name.clone(), Value::Real(values))
        };
        let values = self.inputs.iter().enumerate().map(value).collect();
        let changed = self.tape.nodes().iter().flat_map(|node| &node.updates);
        let compared = self.outputs.iter().chain(changed);
        let compared = compared.map(|&id| (id, tolerance(self.tape.tensor(id).dtype))).collect();
        Specimen::new(Tape::clone(&self.tape), values, compared)
    }

    /// Choices that make a plan take `choice` for the node.
    pub fn choices(&self, choice: &Choice) -> Choices {
        Choices { by_shape: [(self.key.clone(), choice.clone())].into(), ..Choices::default() }
    }

    /// The distinct kernels of the node by `choice`: one per pipeline.
    pub fn kernels(&self, choice: &Choice) -> Result<BTreeSet<Kernel>> {
        let plan = self.plan(choice)?;
        let of_node = plan.steps.iter().filter(|step| step.node == NODE);
        Ok(of_node.map(|step| step.kernel.clone()).collect())
    }

    /// Compiles the pipelines of these candidates in parallel. Compile errors are reported when the candidate is tried.
    pub fn prepare(&self, candidates: &[&Choice]) -> Result<()> {
        let mut kernels = BTreeSet::new();
        for choice in candidates {
            kernels.extend(self.kernels(choice).unwrap_or_default());
        }
        match self.store.device().prepare(&kernels.iter().collect::<Vec<_>>(), false) {
            Err(error @ (Error::DeviceLost(_) | Error::OutOfMemory(_))) => Err(error),
            _ => Ok(()),
        }
    }

    /// The plan that takes `choice`.
    pub fn plan(&self, choice: &Choice) -> Result<Plan> {
        let choices = self.choices(choice);
        Plan::new(Arc::clone(&self.tape), Arc::clone(&self.layout), self.store.device().caps(), &choices)
    }

    /// Uploads the inputs to the device.
    pub fn upload(&self, noise: &[f32]) -> Result<()> {
        for (i, &id) in self.inputs.iter().enumerate() {
            let tensor = self.tape.tensor(id);
            let rows = tensor.shape.dims().first().copied().unwrap_or(1);
            let values = numbers(noise, i, tensor.shape.len());
            self.store.set_resident(&tensor.name, rows, bytemuck::cast_slice(&values))?;
        }
        Ok(())
    }

    /// Creates a session of the node by `choice`, over the uploaded inputs.
    pub fn session(&self, choice: &Choice) -> Result<Session> {
        Session::new(&self.store, Arc::new(self.plan(choice)?), SessionOptions::default())
    }

    /// Milliseconds of one run of the node, out of `count` in a row, by the device's best clock.
    pub fn time(session: &Session, count: usize) -> Result<f64> {
        Ok(session.time_dispatches(&Self::dispatches(session), count)?.best() * 1e-6)
    }

    /// Number of runs of the node in a row for a reliable [`Excerpt::time`] of at least `least` milliseconds, and the
    /// milliseconds of one run.
    pub fn settled(session: &Session, least: f64) -> Result<(usize, f64)> {
        let (count, nanoseconds) = session.settled(&Self::dispatches(session), least * 1e6)?;
        Ok((count, nanoseconds * 1e-6))
    }

    fn dispatches(session: &Session) -> Vec<usize> {
        session.numbers(|step| step.node == NODE)
    }

    /// Compares the outputs of two sessions after a step of each, and describes the difference; `None` if they agree.
    pub fn differ(&self, session: &mut Session, right: &mut Session) -> Result<Option<String>> {
        // The timed runs may have changed their input each time.
        session.step()?;
        right.step()?;
        for &id in &self.outputs {
            let dtype = self.tape.tensor(id).dtype;
            let of = |session: &Session| -> Result<Vec<f64>> {
                Ok(match dtype {
                    DType::F32 => session.read_memory::<f32>(id)?.into_iter().map(f64::from).collect(),
                    DType::I32 => session.read_memory::<i32>(id)?.into_iter().map(f64::from).collect(),
                    DType::U8 => Vec::new(),
                })
            };
            if let Some(difference) = difference(&of(session)?, &of(right)?, tolerance(dtype)) {
                return Ok(Some(difference));
            }
        }
        Ok(None)
    }
}

/// The random numbers used as inputs.
pub(in crate::gpu) fn noise() -> Vec<f32> {
    Init::Uniform(1.0).values(1, "tuner", NOISE)
}

/// Returns `len` numbers for input `i`, in memory order.
fn numbers(noise: &[f32], i: usize, len: usize) -> Vec<f32> {
    noise.iter().copied().cycle().skip(i * 7919 % NOISE).take(len).collect()
}

/// Copies nodes of one tape to another.
struct Copy<'a> {
    from: &'a Tape,
    to: Tape,
    ids: HashMap<TensorId, TensorId>,
}

impl Copy<'_> {
    /// Appends `node`, with residents in place of its inputs' sources; `None` if that is not possible.
    fn node(&mut self, name: &str, node: &Node) -> Option<Vec<TensorId>> {
        let mut inputs = node.inputs.iter().map(|&id| self.input(id)).collect::<Option<Vec<_>>>()?;
        if node.op.is_in_place() {
            // It updates its input in place, which must be restored for the next run.
            inputs[0] = self.to.copy("source", inputs[0]).ok()?;
        }
        let updates = node.updates.iter().map(|&id| self.update(id)).collect::<Option<Vec<_>>>()?;
        self.to.append_shared(name, Arc::clone(&node.op), &inputs, &updates).ok()
    }

    /// A separate buffer or state for one that the node updates in place.
    fn update(&mut self, id: TensorId) -> Option<TensorId> {
        let tensor = self.from.tensor(id);
        match tensor.role {
            Role::Buffer { init } => self.to.buffer(&tensor.name, tensor.shape.clone(), tensor.dtype, init).ok(),
            Role::State => Some(self.to.state(&tensor.name, tensor.shape.clone())),
            _ => None,
        }
    }

    fn input(&mut self, id: TensorId) -> Option<TensorId> {
        if let Some(&copied) = self.ids.get(&id) {
            return Some(copied);
        }
        let tensor = self.from.tensor(id);
        let copied = match tensor.dtype {
            DType::F32 => self.to.resident(&format!("tuner.{}", self.ids.len()), Spec::like(tensor)),
            // Integers are positions; only the node that computes them knows the valid range.
            DType::I32 => {
                let node = self.from.nodes().iter().find(|node| node.outputs.contains(&id))?;
                let reals = node.inputs.iter().all(|&id| self.from.tensor(id).dtype == DType::F32);
                if !reals || !node.updates.is_empty() {
                    return None;
                }
                let output = node.outputs.iter().position(|&output| output == id)?;
                *self.node("source", &node.clone())?.get(output)?
            }
            DType::U8 => return None,
        };
        self.ids.insert(id, copied);
        Some(copied)
    }
}

/// Tolerance for elements of this type.
fn tolerance(dtype: DType) -> Tolerance {
    match dtype {
        DType::F32 => Tolerance::RootMeanSquare(TOLERANCE),
        DType::I32 | DType::U8 => Tolerance::Exact,
    }
}

/// Describes the first element out of tolerance.
fn difference(actual: &[f64], expected: &[f64], tolerance: Tolerance) -> Option<String> {
    let (at, allowed) = first_off(actual, expected, tolerance, |_| 0.0)?;
    Some(format!("element {at} is {}, not {} (allowed {allowed:e})", actual[at], expected[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_passes_and_a_product_left_out_does_not() {
        let expected: Vec<f64> = (0..100).map(|i| f64::from(i) - 50.0).collect();
        let differ = |actual: &[f64], expected: &[f64]| difference(actual, expected, tolerance(DType::F32));
        let with = |value: f64| [&expected[..40], &[value], &expected[41..]].concat();
        assert_eq!(differ(&with(-10.001), &expected), None);
        assert!(differ(&with(-10.1), &expected).is_some_and(|text| text.contains("element 40 is -10.1, not -10")));
        assert!(differ(&with(f64::NAN), &expected).is_some());
        assert_eq!(differ(&with(f64::NAN), &with(f64::NAN)), None);
        assert_eq!(difference(&[1.0, 2.0], &[1.0, 2.0], tolerance(DType::I32)), None);
        assert!(difference(&[1.0, 3.0], &[1.0, 2.0], tolerance(DType::I32)).is_some());
    }
}

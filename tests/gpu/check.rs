//! `check_op`: an operation's kernels against its twin in f64, every candidate, with and without bounds checks, on
//! inputs that lie between NaNs and outputs that start as NaN.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use tilegrad::gpu::{Device, DeviceOptions, Session, SessionOptions, Store};
use tilegrad::graph::{Node, Role, Tape, Tensor, TensorId};
use tilegrad::kernel::{Caps, Choices};
use tilegrad::plan::{ParameterLayout, Plan, candidates};
use tilegrad::reference::{Program, Store as HostStore};
use tilegrad::shape::DType;
use tilegrad::twin::Value;

/// The device that all tests of this binary share; `None` where the tests are to be skipped.
pub fn device() -> Option<&'static Device> {
    static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
    let open = || match Device::new(DeviceOptions::default()) {
        Ok(device) => Some(device),
        Err(error) if std::env::var_os("TILEGRAD_SKIP_GPU").is_some() => {
            eprintln!("SKIPPED: the tests that need a GPU, because TILEGRAD_SKIP_GPU is set and there is {error}");
            None
        }
        Err(error) => panic!("{error}; or set TILEGRAD_SKIP_GPU=1 to go without the tests that need one"),
    };
    DEVICE.get_or_init(open).as_ref()
}

/// How far a result may lie from the twin's.
#[derive(Clone, Copy, Debug)]
pub enum Tolerance {
    /// Not at all, to the bit (NaN is NaN).
    Exact,
    /// Of a sum of `depth` products: 4 eps √depth Σ|a b|, the sum being the twin's on absolute inputs.
    Sum {
        /// How many products.
        depth: usize,
    },
    /// A few roundings: this many eps of the larger of the result and 1.
    Rounding(f64),
}

/// An operation on inputs, and what is compared.
pub struct Case {
    /// What a failure prints first.
    pub label: String,
    /// The program.
    pub tape: Tape,
    /// The values of its inputs.
    pub inputs: Vec<(&'static str, Value<f32>)>,
    /// The tensors that are compared.
    pub outputs: Vec<(TensorId, Tolerance)>,
}

/// A session over a tape without an optimizer.
pub fn session(device: &Device, tape: Tape, choices: &Choices, options: SessionOptions) -> tilegrad::Result<Session> {
    let layout = Arc::new(ParameterLayout::new(&tape, device.caps())?);
    let store = Arc::new(Store::guarded(device, Arc::clone(&layout))?);
    let plan = Plan::new(Arc::new(tape), layout, device.caps(), choices)?;
    Session::new(&store, Arc::new(plan), options)
}

/// Writes an input of either type.
pub fn write(session: &Session, name: &str, value: &Value<f32>) -> tilegrad::Result<()> {
    match value {
        Value::Real(values) => session.write_f32(name, values),
        Value::Int(values) => session.write_i32(name, values),
        Value::Bytes(_) => panic!("inputs are no bytes"),
    }
}

/// Runs the case by every algorithm that is right on the device, checked and trusted, and compares it with the twin.
pub fn check_op(device: &Device, case: Case) {
    let algorithms: Vec<String> = all_algorithms(&case.tape, device.caps()).into_iter().collect();
    let algorithms: Vec<&str> = algorithms.iter().map(String::as_str).collect();
    check_choices(device, case, &algorithms, &[true, false]);
}

/// Runs the case under each of these choices wherever it is valid, checked or trusted or both, and compares it with the twin.
pub fn check_choices(device: &Device, mut case: Case, choices: &[&str], checks: &[bool]) {
    for &(id, _) in &case.outputs {
        case.tape.keep(id);
    }
    let expected = twin(&case, f64::from);
    let magnitude = twin(&case, |x| f64::from(x).abs());
    for &choice in choices {
        for &checked in checks {
            let choices = Choices::everywhere(choice);
            let options = SessionOptions { checked, guarded: true };
            let label = format!("{}, by {choice}, {}", case.label, if checked { "checked" } else { "trusted" });
            let mut session =
                session(device, case.tape.clone(), &choices, options).unwrap_or_else(|e| panic!("{label}: {e}"));
            for (name, value) in &case.inputs {
                write(&session, name, value).unwrap_or_else(|e| panic!("{label}: {e}"));
            }
            session.step().unwrap_or_else(|e| panic!("{label}: {e}"));
            for (i, &(id, tolerance)) in case.outputs.iter().enumerate() {
                let tensor = case.tape.tensor(id);
                let actual: Vec<f64> = match tensor.dtype {
                    DType::I32 => session.read_i32(id).unwrap().into_iter().map(f64::from).collect(),
                    _ => session.read_f32(id).unwrap().into_iter().map(f64::from).collect(),
                };
                compare(&format!("{label}, output {i}"), tensor, &actual, &expected[i], &magnitude[i], tolerance);
            }
            assert_eq!(session.breach().unwrap(), None, "{label}");
        }
    }
}

/// The algorithms of the candidates of `node`, each once, the one preferred first.
pub fn algorithms(tape: &Tape, node: &Node, caps: &Caps) -> Vec<String> {
    let mut names: Vec<String> = candidates(tape, node, caps).into_iter().map(|choice| choice.name).collect();
    names.dedup();
    names
}

/// The algorithms that some node of the tape can be computed by on this device.
fn all_algorithms(tape: &Tape, caps: &Caps) -> BTreeSet<String> {
    tape.nodes().iter().flat_map(|node| algorithms(tape, node, caps)).collect()
}

/// What the twin makes of the case's inputs, each number brought to f64 by `map`.
fn twin(case: &Case, map: fn(f32) -> f64) -> Vec<Vec<f64>> {
    let mut program = Program::<f64>::new(Arc::new(case.tape.clone()));
    let mut store = HostStore::default();
    for (name, value) in &case.inputs {
        let value = match value {
            Value::Real(values) => Value::Real(values.iter().map(|&x| map(x)).collect()),
            Value::Int(values) => Value::Int(values.clone()),
            Value::Bytes(values) => Value::Bytes(values.clone()),
        };
        program.write(name, value).unwrap();
    }
    let stages = case.tape.nodes().iter().map(|node| node.stage).collect::<BTreeSet<_>>();
    program.run(&mut store, &stages.into_iter().collect::<Vec<_>>()).unwrap();
    let value = |id: TensorId| match case.tape.tensor(id) {
        tensor if matches!(tensor.role, Role::Buffer { .. }) => store.get(&tensor.name),
        _ => program.read(id),
    };
    let read = |&(id, _): &(TensorId, Tolerance)| match value(id).unwrap() {
        Value::Int(values) => values.iter().map(|&x| f64::from(x)).collect(),
        value => value.real().to_vec(),
    };
    case.outputs.iter().map(read).collect()
}

/// Panics at the first element that is too far off, with its index in PyTorch's order and both values.
fn compare(label: &str, tensor: &Tensor, actual: &[f64], expected: &[f64], magnitude: &[f64], tolerance: Tolerance) {
    const EPS: f64 = f32::EPSILON as f64;
    assert_eq!(actual.len(), expected.len(), "{label}");
    for (i, (&actual, &expected)) in actual.iter().zip(expected).enumerate() {
        let allowed = match tolerance {
            Tolerance::Exact => 0.0,
            Tolerance::Sum { depth } => 4.0 * EPS * (depth as f64).sqrt() * magnitude[i],
            Tolerance::Rounding(count) => count * EPS * expected.abs().max(1.0),
        };
        let same = actual == expected || (actual.is_nan() && expected.is_nan());
        // A difference that is NaN is not close.
        let close = (actual - expected).abs() <= allowed;
        if !same && !close {
            let mut index = Vec::new();
            let mut rest = i;
            for &extent in tensor.shape.dims().iter().rev() {
                index.insert(0, rest % extent);
                rest /= extent;
            }
            panic!(
                "{label}: at {index:?} of {} {}: {actual} on the device, {expected} by the twin, allowed {allowed:e}",
                tensor.name, tensor.shape
            );
        }
    }
}

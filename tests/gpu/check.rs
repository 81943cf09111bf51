//! `check_op`: an operation's kernels against its twin in f64, every candidate, with and without bounds checks, on
//! inputs that lie between NaNs and outputs that start as NaN.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

pub use tilegrad::gpu::Tolerance;
use tilegrad::gpu::{Device, DeviceOptions, Session, SessionOptions, Specimen, Store, Verdict};
use tilegrad::graph::{Node, Stage, Tape, TensorId};
use tilegrad::kernel::{Caps, Choices, DeviceClass};
use tilegrad::plan::{ParameterLayout, Plan, candidates};
use tilegrad::reference::{self, Program};
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
        Value::Real(values) => session.write(name, values),
        Value::Int(values) => session.write(name, values),
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
pub fn check_choices(device: &Device, case: Case, choices: &[&str], checks: &[bool]) {
    let values = case.inputs.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
    let specimen = Specimen::new(case.tape, values, case.outputs).unwrap_or_else(|e| panic!("{}: {e}", case.label));
    for &choice in choices {
        for &checked in checks {
            let label = format!("{}, by {choice}, {}", case.label, if checked { "checked" } else { "trusted" });
            let options = SessionOptions::default().checked(checked).guarded(true);
            let verdict = specimen.judge(device, &Choices::everywhere(choice), options);
            assert_eq!(verdict.unwrap_or_else(|e| panic!("{label}: {e}")), Verdict::Right, "{label}");
        }
    }
}

/// The algorithms of the candidates of `node`, each once, the one preferred first.
pub fn algorithms(tape: &Tape, node: &Node, caps: &Caps) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for choice in candidates(tape, node, caps) {
        if !names.contains(&choice.name) {
            names.push(choice.name);
        }
    }
    names
}

/// The algorithms that some node of the tape can be computed by on this device.
fn all_algorithms(tape: &Tape, caps: &Caps) -> BTreeSet<String> {
    tape.nodes().iter().flat_map(|node| algorithms(tape, node, caps)).collect()
}

/// What the twins make of the case's inputs, each number brought to f64 by `map`; what is compared has to be a result or a buffer.
fn twins(case: &Case, map: fn(f32) -> f64) -> Vec<Vec<f64>> {
    let mut program = Program::<f64>::new(Arc::new(case.tape.clone()));
    let mut store = reference::HostStore::default();
    for (name, value) in &case.inputs {
        let value = match value {
            Value::Real(values) => Value::Real(values.iter().map(|&x| map(x)).collect()),
            Value::Int(values) => Value::Int(values.clone()),
            Value::Bytes(_) => panic!("inputs are no bytes"),
        };
        program.write(name, value).unwrap();
    }
    program.run(&mut store, &[Stage::Forward, Stage::Backward]).unwrap();
    let value =
        |&(id, _): &(TensorId, Tolerance)| match program.read(id).or_else(|| store.get(&case.tape.tensor(id).name)) {
            Some(Value::Int(values)) => values.iter().map(|&x| f64::from(x)).collect(),
            Some(value) => value.real().to_vec(),
            None => panic!("{}: {} has no value", case.label, case.tape.tensor(id).name),
        };
    case.outputs.iter().map(value).collect()
}

/// This device as a card of 64 compute units.
pub fn card(device: &Device) -> Caps {
    Caps { class: DeviceClass::Discrete, compute_units: 64, ..device.caps().clone() }
}

/// Runs the case as it is planned for a card, whose workgroups and runs of rows are not a software device's, checked and trusted, and
/// compares it with the twin.
pub fn check_as_card(device: &Device, case: &Case) {
    let caps = card(device);
    let (expected, magnitudes) = (twins(case, f64::from), twins(case, |x| f64::from(x).abs()));
    for checked in [true, false] {
        let mut tape = case.tape.clone();
        case.outputs.iter().for_each(|&(id, _)| tape.keep(id));
        let layout = Arc::new(ParameterLayout::new(&tape, &caps).unwrap());
        let store = Arc::new(Store::guarded(device, Arc::clone(&layout)).unwrap());
        let plan = Plan::new(Arc::new(tape), layout, &caps, &Choices::default()).unwrap();
        let mut session =
            Session::new(&store, Arc::new(plan), SessionOptions::default().checked(checked).guarded(true)).unwrap();
        case.inputs.iter().for_each(|(name, value)| write(&session, name, value).unwrap());
        session.run(&[Stage::Forward, Stage::Backward]).unwrap();
        assert_eq!(session.breach().unwrap(), None, "{}", case.label);
        for (i, &(id, tolerance)) in case.outputs.iter().enumerate() {
            let actual: Vec<f64> = match case.tape.tensor(id).dtype {
                DType::I32 => session.read_i32(id).unwrap().into_iter().map(f64::from).collect(),
                _ => session.read_f32(id).unwrap().into_iter().map(f64::from).collect(),
            };
            assert_eq!(actual.len(), expected[i].len(), "{}", case.label);
            for (at, (&actual, &expected)) in actual.iter().zip(&expected[i]).enumerate() {
                let eps = f64::from(f32::EPSILON);
                let allowed = match tolerance {
                    Tolerance::Exact => 0.0,
                    Tolerance::Sum { depth } => 4.0 * eps * (depth as f64).sqrt() * magnitudes[i][at],
                    Tolerance::Rounding(count) => count * eps * expected.abs().max(1.0),
                    Tolerance::RootMeanSquare(_) => panic!("{}: no such tolerance here", case.label),
                };
                let near = actual == expected
                    || (actual.is_nan() && expected.is_nan())
                    || (actual - expected).abs() <= allowed;
                let name = &case.tape.tensor(id).name;
                assert!(
                    near,
                    "{} as a card's, checked {checked}: {name} at {at}: {actual}, not {expected}",
                    case.label
                );
            }
        }
    }
}

/// Holds numbers against those that the host has made of the same bytes: to the bit on a software device. A GPU's compiler may
/// make one rounding of a multiplication and the addition after it, which WGSL can't forbid.
pub fn same_as_host(device: &Device, actual: &[f32], expected: &[f32], label: &str) {
    assert_eq!(actual.len(), expected.len(), "{label}");
    let software = device.caps().class == DeviceClass::Software;
    for (i, (a, b)) in actual.iter().zip(expected).enumerate() {
        let near = !software && (a - b).abs() <= 2e-5 * b.abs().max(1.0);
        assert!(near || a.to_bits() == b.to_bits(), "{label}: {i} is {a}, the host has {b}");
    }
}

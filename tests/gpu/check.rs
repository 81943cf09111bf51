//! `check_op`: an operation's kernels against its twin in f64, every candidate, with and without bounds checks, on
//! inputs that lie between NaNs and outputs that start as NaN.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

pub use tilegrad::gpu::Tolerance;
use tilegrad::gpu::{Device, DeviceOptions, Session, SessionOptions, Specimen, Store, Verdict};
use tilegrad::graph::{Node, Tape, TensorId};
use tilegrad::kernel::{Caps, Choices};
use tilegrad::plan::{ParameterLayout, Plan, candidates};
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
pub fn check_choices(device: &Device, case: Case, choices: &[&str], checks: &[bool]) {
    let values = case.inputs.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
    let specimen = Specimen::new(case.tape, values, case.outputs).unwrap_or_else(|e| panic!("{}: {e}", case.label));
    for &choice in choices {
        for &checked in checks {
            let label = format!("{}, by {choice}, {}", case.label, if checked { "checked" } else { "trusted" });
            let options = SessionOptions { checked, guarded: true };
            let verdict = specimen.judge(device, &Choices::everywhere(choice), options);
            assert_eq!(verdict.unwrap_or_else(|e| panic!("{label}: {e}")), Verdict::Right, "{label}");
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

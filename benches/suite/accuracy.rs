//! How far each candidate of a network's convolutions is from the same computed in f64, beside the direct kernel.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use tilegrad::Result;
use tilegrad::error::Error;
use tilegrad::graph::{Role, Tape, TensorId};
use tilegrad::kernel::Choices;
use tilegrad::reference::{HostStore, Program};
use tilegrad::rng::Init;
use tilegrad::twin::Value;

use crate::Bench;
use crate::convolutions::{Convolution, Direction};
use crate::networks::Network;
use crate::timing::{Job, STEP, algorithms};

/// Enough images that sums are as long as they get, few enough for the twin.
const BATCH: usize = 2;

pub fn run(bench: &mut Bench) -> Result<()> {
    let columns = [("input, channels, kernel", -30), ("", -11), ("direct", 9), ("others, as so many times that", -40)];
    let networks = match bench.options.networks.is_empty() {
        true => vec![Network::Resnet18],
        false => bench.options.networks.clone(),
    };
    let (width, mut seen) = (bench.options.width as usize, HashSet::new());
    for network in networks {
        let title = format!("Error of the convolutions of {}, batch {BATCH}", network.name());
        bench.report.table(&format!("{title}: root mean square, as a share of the result's own"), &columns);
        for convolution in Convolution::distinct(network, BATCH, width, &mut seen)? {
            for direction in Direction::ALL {
                let what = format!("{} {}", convolution.label, direction.name());
                // The twin and the direct kernel do far less in a second than the device's peak.
                if bench.has_time_for(&what, 10 * convolution.multiply_adds) {
                    one(bench, &convolution, direction)?;
                }
            }
        }
    }
    Ok(())
}

fn one(bench: &mut Bench, convolution: &Convolution, direction: Direction) -> Result<()> {
    let (tape, result) = convolution.tape(direction)?;
    let expected = in_f64(&tape, result)?;
    let node = tape.nodes().iter().find(|node| node.outputs.contains(&result));
    let node = node.ok_or_else(|| Error::Validation("a result that no node makes".into()))?;
    let mut errors = Vec::new();
    for choice in algorithms(&tape, node, &bench.device) {
        let choices = Choices::everywhere(choice.clone());
        let job = Job { choices, ..Job::new(tape.clone(), &STEP) };
        let mut session = job.session(&bench.device)?;
        session.step()?;
        let error = relative_error(&session.read_f32(result)?, &expected);
        errors.push((choice.name, error));
    }
    let direct = errors.iter().find(|(name, _)| name == "direct").map_or(f64::NAN, |(_, error)| *error);
    let others = errors.iter().filter(|(name, _)| name != "direct");
    let others: Vec<String> = others.map(|(name, error)| format!("{name} {:.2}", error / direct)).collect();
    let by_candidate: serde_json::Map<String, Json> =
        errors.iter().map(|(name, error)| (name.clone(), Json::from(*error))).collect();
    bench.report.row(
        &[convolution.label.clone(), direction.name().into(), format!("{direct:.2e}"), others.join(", ")],
        json!({"convolution": convolution.label, "direction": direction.name(), "relative_error": by_candidate}),
    );
    Ok(())
}

/// The result by the reference executor in f64, from the inputs that [`Job::session`] writes.
fn in_f64(tape: &Tape, result: TensorId) -> Result<Vec<f64>> {
    let mut program = Program::<f64>::new(Arc::new(tape.clone()));
    for tensor in tape.tensors().iter().filter(|tensor| tensor.role == Role::Input) {
        let values = Init::Uniform(1.0).values(1, &tensor.name, tensor.shape.len());
        program.write(&tensor.name, Value::Real(values.into_iter().map(f64::from).collect()))?;
    }
    program.run(&mut HostStore::new(tape, 1), &STEP)?;
    Ok(program.read(result).map(|value| value.real().to_vec()).unwrap_or_default())
}

fn relative_error(found: &[f32], expected: &[f64]) -> f64 {
    let squares: f64 = found.iter().zip(expected).map(|(&found, expected)| (f64::from(found) - expected).powi(2)).sum();
    (squares / expected.iter().map(|value| value * value).sum::<f64>()).sqrt()
}

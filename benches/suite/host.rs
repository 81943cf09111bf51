//! What the host spends: on recording and submitting a dispatch, and on a step beyond the time that the device is busy.

use std::time::Instant;

use serde_json::json;
use tilegrad::Result;
use tilegrad::gpu::Clock;

use crate::Bench;
use crate::networks::Network;
use crate::report::ms;
use crate::timing::{Job, STEP, median};

/// Steps in one submission, of which each takes the device's time.
const COPIES: usize = 4;

pub fn run(bench: &mut Bench) -> Result<()> {
    let columns = [
        ("network", -13),
        ("batch", 5),
        ("dispatches", 11),
        ("µs/dispatch", 12),
        ("least ms", 10),
        ("device ms", 10),
        ("beyond it", 10),
    ];
    bench.report.table("The host: recording and submitting, and a step's time beyond the device's", &columns);
    let networks = match bench.options.networks.is_empty() {
        true => vec![Network::Lenet5, Network::Vgg11, Network::Resnet18, Network::Resnet50],
        false => bench.options.networks.clone(),
    };
    for network in networks {
        let batch = if bench.software() && bench.options.batch.is_empty() { 1 } else { bench.batch() };
        one(bench, network, batch)?;
    }
    Ok(())
}

fn one(bench: &mut Bench, network: Network, batch: usize) -> Result<()> {
    let what = format!("{} batch {batch}", network.name());
    let training = network.training(batch, bench.options.width as usize)?;
    // Each sample is several steps.
    if !bench.has_time_for(&what, 4 * COPIES as u64 * training.multiply_adds()) {
        return Ok(());
    }
    let job = Job { inputs: training.hyperparameters, ..Job::new(training.tape, &STEP) };
    let session = job.session(&bench.device);
    let Some(mut session) = bench.fits(&what, session)? else { return Ok(()) };
    let dispatches = session.plan().steps.len();
    session.time(&STEP, 1)?;
    let (mut submitting, mut step, mut several, mut device) = (Vec::new(), f64::INFINITY, f64::INFINITY, f64::INFINITY);
    for _ in 0..if bench.options.quick { 5 } else { 15 } {
        let began = Instant::now();
        session.step()?;
        submitting.push(began.elapsed().as_secs_f64() * 1e3);
        bench.device.wait()?;
        step = step.min(began.elapsed().as_secs_f64() * 1e3);
        let timed = session.time(&STEP, COPIES)?;
        several = several.min(timed.wall * COPIES as f64 * 1e-6);
        device = device.min(timed.device.unwrap_or(f64::INFINITY) * 1e-6);
    }
    // Without timestamps: a step more in the same submission costs what the device needs, and what the host cannot hide
    // behind it. It is a difference, so the least times are taken: medians would be of different disturbances.
    let clock = if device.is_finite() { Clock::Passes } else { Clock::Host };
    if clock == Clock::Host {
        device = (several - step) / (COPIES - 1) as f64;
    }
    let each = median(&mut submitting) * 1e3 / dispatches as f64;
    bench.report.row(
        &[
            network.name().into(),
            batch.to_string(),
            dispatches.to_string(),
            format!("{each:.2}"),
            ms(step),
            ms(device),
            format!("{:.1}%", 100.0 * (step - device) / step),
        ],
        json!({
            "network": network.name(), "batch": batch, "dispatches": dispatches, "microseconds_per_dispatch": each,
            "min_ms": step, "device_ms": device, "clock": clock.name(),
        }),
    );
    Ok(())
}

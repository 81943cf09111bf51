//! What the host spends: on recording and submitting a dispatch, and on a step beyond the time that the device is busy.

use std::time::Instant;

use serde_json::json;
use tilegrad::Result;

use crate::Bench;
use crate::networks::Network;
use crate::report::ms;
use crate::timing::{Job, STEP, median};

/// Steps in the longer of the two submissions whose difference is the device's time.
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
    let session = job.session(&bench.device, 1);
    let Some(mut session) = bench.fits(&what, session)? else { return Ok(()) };
    let dispatches = session.plan().steps.len();
    let mut longer = job.session(&bench.device, COPIES)?;
    job.submission(&bench.device, &mut session)?;
    job.submission(&bench.device, &mut longer)?;
    let (mut submitting, mut step, mut several) = (Vec::new(), f64::INFINITY, f64::INFINITY);
    for _ in 0..if bench.options.quick { 5 } else { 15 } {
        let began = Instant::now();
        session.step()?;
        submitting.push(began.elapsed().as_secs_f64() * 1e3);
        bench.device.wait()?;
        step = step.min(began.elapsed().as_secs_f64() * 1e3);
        several = several.min(job.submission(&bench.device, &mut longer)?);
    }
    // A step more in the same submission costs what the device needs, and what the host cannot hide behind it. It is a
    // difference, so the least times are taken: medians would be of different disturbances.
    let device = (several - step) / (COPIES - 1) as f64;
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
            "min_ms": step, "device_ms": device,
        }),
    );
    Ok(())
}

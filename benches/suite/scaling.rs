//! A step's time against the size of the batch and the depth of the network: beyond what a step costs in any case it should
//! grow no faster than the work.

use serde_json::json;
use tilegrad::Result;

use crate::Bench;
use crate::networks::Network;
use crate::report::{ms, rate};
use crate::timing::{Job, STEP, Times};

const BATCHES: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

pub fn run(bench: &mut Bench) -> Result<()> {
    let networks = match bench.options.networks.is_empty() {
        true => vec![Network::Lenet5, Network::Resnet18],
        false => bench.options.networks.clone(),
    };
    for network in networks {
        let title = format!(
            "{}: a step against the batch; twice the images should take at most twice the time",
            network.name()
        );
        let columns = [("batch", 6), ("step ms", 10), ("ms/image", 10), ("images/s", 10), ("twice the images", 17)];
        bench.report.table(&title, &columns);
        let mut before: Option<f64> = None;
        for batch in BATCHES {
            let Some((times, _)) = step(bench, network, batch)? else { break };
            let step = times.wall;
            let ratio = before.map(|before| step / before);
            let each = step / batch as f64;
            let against = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}x the time"));
            bench.report.row(
                &[batch.to_string(), ms(step), ms(each), rate(1e3 / each), against],
                json!({
                    "network": network.name(), "batch": batch, "median_ms": step, "device_ms": times.device,
                    "of_half_the_batch": ratio,
                }),
            );
            before = Some(step);
        }
    }
    let batch = bench.batch();
    let title = format!("A step against the depth, batch {batch}");
    let columns = [("network", -10), ("GMAC", 8), ("step ms", 10), ("ms/GMAC", 9), ("of ResNet-18's", 15)];
    bench.report.table(&title, &columns);
    let mut least: Option<f64> = None;
    for network in [Network::Resnet18, Network::Resnet34, Network::Resnet50] {
        let Some((times, multiply_adds)) = step(bench, network, batch)? else { continue };
        let step = times.wall;
        let work = 1e-9 * multiply_adds as f64;
        let each = step / work;
        let ratio = each / *least.get_or_insert(each);
        bench.report.row(
            &[network.name().into(), rate(work), ms(step), ms(each), format!("{ratio:.2}")],
            json!({
                "network": network.name(), "batch": batch, "gmac": work, "median_ms": step, "device_ms": times.device,
                "of_resnet18": ratio,
            }),
        );
    }
    Ok(())
}

/// The median step, and its multiply-adds.
fn step(bench: &mut Bench, network: Network, batch: usize) -> Result<Option<(Times, u64)>> {
    let what = format!("{} batch {batch}", network.name());
    let training = network.training(batch, bench.options.width as usize)?;
    let multiply_adds = training.multiply_adds();
    if !bench.has_time_for(&what, multiply_adds) {
        return Ok(None);
    }
    let job = Job { inputs: training.hyperparameters, ..Job::new(training.tape, &STEP) };
    // One step a submission, as in training: what a step costs in any case is part of it.
    let times = job.session(&bench.device).and_then(|mut session| {
        session.step()?;
        let mut samples = Vec::new();
        let began = std::time::Instant::now();
        let enough = if bench.options.quick { 0.5 } else { 3.0 };
        while samples.is_empty() || (samples.len() < 20 && began.elapsed().as_secs_f64() < enough) {
            samples.push(session.time(&STEP, 1)?);
        }
        Ok(Times::of(&samples))
    });
    let times = bench.fits(&what, times)?;
    Ok(times.map(|times| (times, multiply_adds)))
}

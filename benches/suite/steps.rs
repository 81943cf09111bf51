//! Training steps of whole networks: the first one, the median of the others, and where the time goes.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};
use tilegrad::Result;
use tilegrad::error::Error;
use tilegrad::gpu::{Device, DeviceOptions, Elapsed, Profile, Session, Tuner};
use tilegrad::graph::Tape;
use tilegrad::kernel::Choices;

use crate::networks::Network;
use crate::options::Options;
use crate::report::{ms, percent, rate};
use crate::timing::{Job, STEP, Times};
use crate::{Bench, profile};

/// What the processes that measure a first step are told about where drivers and this library keep compiled shaders: the
/// caches of Mesa, of NVIDIA, and whatever follows the XDG rules.
const CACHES: [&str; 3] = ["MESA_SHADER_CACHE_DIR", "__GL_SHADER_DISK_CACHE_PATH", "XDG_CACHE_HOME"];

pub fn run(bench: &mut Bench) -> Result<()> {
    let columns = [
        ("network", -13),
        ("batch", 5),
        ("first, cold", 12),
        ("warm", 9),
        ("step ms", 9),
        ("least", 9),
        ("device", 9),
        ("images/s", 9),
        ("GFLOP/s", 8),
        ("of peak", 8),
    ];
    bench.report.table(
        "Training steps: forward, loss, backward, SGD with momentum; ms by the wall, and by the device",
        &columns,
    );
    let networks = match bench.options.networks.is_empty() {
        true => vec![Network::Lenet5, Network::Vgg11, Network::Resnet18, Network::Resnet50Large],
        false => bench.options.networks.clone(),
    };
    for network in networks {
        for (i, batch) in bench.batches(network).into_iter().enumerate() {
            one(bench, network, batch, i == 0)?;
        }
    }
    Ok(())
}

fn one(bench: &mut Bench, network: Network, batch: usize, first_batch: bool) -> Result<()> {
    let what = format!("{} batch {batch}", network.name());
    let training = network.training(batch, bench.options.width as usize)?;
    let multiply_adds = training.multiply_adds();
    if !bench.has_time_for(&what, multiply_adds) {
        return Ok(());
    }
    let mut job = Job { inputs: training.hyperparameters, ..Job::new(training.tape, &STEP) };
    let tuned = bench.options.tuned;
    if tuned {
        job.choices = winners(bench, network, batch, &job.tape)?;
    }
    let session = job.session(&bench.device);
    let Some(mut session) = bench.fits(&what, session)? else { return Ok(()) };
    session.step()?;
    let samples = samples(bench, &mut session)?;
    let Times { device, wall } = Times::of(&samples);
    let walls = samples.iter().map(|elapsed| elapsed.wall * 1e-6);
    let (least, most) = walls.fold((f64::INFINITY, 0.0), |(least, most), ms| (ms.min(least), ms.max(most)));
    // A second batch compiles the same kernels.
    let first = match tuned || (bench.options.quick && !first_batch) {
        true => [None; 2],
        false => first_steps(bench, network, batch),
    };
    let profile = match bench.options.kinds || bench.options.each {
        true => Some(profile::of(bench, &mut session)?),
        false => None,
    };
    let (gflops, share) = bench.rate(multiply_adds, wall);
    let images = batch as f64 / wall * 1e3;
    let show = |value: Option<f64>| value.map_or("-".into(), ms);
    bench.report.row(
        &[
            network.name().into(),
            batch.to_string(),
            show(first[0]),
            show(first[1]),
            ms(wall),
            ms(least),
            show(device),
            rate(images),
            rate(gflops),
            percent(share),
        ],
        json!({
            "network": network.name(), "batch": batch, "width": bench.options.width, "tuned": tuned,
            "first_cold_ms": first[0], "first_ms": first[1], "median_ms": wall, "min_ms": least, "max_ms": most,
            "device_ms": device, "clock": Times::of(&samples).clock(), "steps": samples.len(),
            "images_per_second": images, "gflops": gflops, "share": share, "profile": profile.as_ref().map(profile::record),
        }),
    );
    if let Some(profile) = profile {
        kernels(bench, &profile);
    }
    Ok(())
}

/// Steps one by one, as in training, on a batch that lies on the device: of at most 20, as many as there is time for.
fn samples(bench: &Bench, session: &mut Session) -> Result<Vec<Elapsed>> {
    let most = bench.options.steps.map_or(20, |steps| steps as usize);
    let budget = if bench.options.quick { 2.0 } else { 12.0 };
    let mut samples = Vec::new();
    let all = Instant::now();
    while samples.is_empty()
        || (samples.len() < most && (bench.options.steps.is_some() || all.elapsed().as_secs_f64() < budget))
    {
        samples.push(session.time(&STEP, 1)?);
    }
    Ok(samples)
}

/// What the tuner takes for this step, within the time that it gives itself.
fn winners(bench: &Bench, network: Network, batch: usize, tape: &Tape) -> Result<Choices> {
    let began = Instant::now();
    let smaller = network.training((batch / 8).max(2), bench.options.width as usize)?.tape;
    let tuning = Tuner::new(&bench.device).tune(tape, Some(&smaller).filter(|_| batch > 2), &mut |_| {})?;
    println!(
        "  {} batch {batch}: {} shapes measured in {:.1} s, {} known, {} left",
        network.name(),
        tuning.measured,
        began.elapsed().as_secs_f64(),
        tuning.cached,
        tuning.left
    );
    Ok(tuning.choices)
}

/// The time of each kind of kernel, or of every dispatch, and what they are of the step.
fn kernels(bench: &Bench, profile: &Profile) {
    if bench.options.each {
        for timing in &profile.timings {
            println!("    {:9.3} ms  {:32} {}", timing.duration * 1e-6, timing.kernel, timing.node);
        }
    }
    for kind in profile.by_kernel() {
        let share = percent(profile.share(&kind));
        println!("    {:9.3} ms {share:>6}  {:4} of {}", kind.duration * 1e-6, kind.dispatches, kind.name);
    }
    println!("    {}", profile::summary(profile));
}

/// The first step of a process whose shader caches are empty, and of a second one that finds them filled; nothing where
/// that could not be measured, which is said.
fn first_steps(bench: &mut Bench, network: Network, batch: usize) -> [Option<f64>; 2] {
    let folder = std::env::temp_dir().join(format!("tilegrad-bench-{}", std::process::id()));
    let both = || {
        std::fs::create_dir_all(&folder).map_err(|source| Error::io(&folder, source))?;
        Ok([
            first_step_in(&folder, network, batch, &bench.options)?,
            first_step_in(&folder, network, batch, &bench.options)?,
        ])
    };
    let result: Result<[f64; 2]> = both();
    // It lies in the folder for temporary files anyway.
    let _ = std::fs::remove_dir_all(&folder);
    match result {
        Ok(first) => first.map(Some),
        Err(error) => {
            bench.report.skip(&format!("first step of {} batch {batch}", network.name()), &error.to_string());
            [None, None]
        }
    }
}

/// Runs this program again for one first step, with its caches in `folder`.
fn first_step_in(folder: &Path, network: Network, batch: usize, options: &Options) -> Result<f64> {
    let failed = |message: String| Error::config("benchmark", format!("its second process failed: {message}"));
    let mut command = Command::new(std::env::current_exe().map_err(|error| failed(error.to_string()))?);
    command.args(["--first-step", network.name()]);
    command.args(["--batch", &batch.to_string(), "--width", &options.width.to_string()]);
    command.envs(CACHES.map(|cache| (cache, folder)));
    let output = command.output().map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.trim().parse().map_err(|_| failed(String::from_utf8_lossy(&output.stderr).trim().to_string()))
}

/// Prints the milliseconds from a tape to the end of its first step.
pub fn first_step_alone(network: Network, options: &Options) -> Result<()> {
    let batch = options.batch.first().map_or(64, |&batch| batch as usize);
    let device = Device::new(DeviceOptions::default())?;
    let training = network.training(batch, options.width as usize)?;
    let job = Job { inputs: training.hyperparameters, ..Job::new(training.tape, &STEP) };
    let began = Instant::now();
    let mut session = job.session(&device)?;
    session.step()?;
    device.wait()?;
    println!("{}", Value::from(began.elapsed().as_secs_f64() * 1e3));
    Ok(())
}

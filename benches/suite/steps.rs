//! Training steps of whole networks: the first one, the median of the others, and where the time goes.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};
use tilegrad::Result;
use tilegrad::error::Error;
use tilegrad::gpu::{Device, DeviceOptions, Session};
use tilegrad::rng::Init;

use crate::Bench;
use crate::networks::Network;
use crate::options::Options;
use crate::report::{ms, percent, rate};
use crate::timing::{Job, STEP, median};

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
        ("images/s", 9),
        ("GFLOP/s", 8),
        ("of peak", 8),
    ];
    bench.report.table("Training steps: forward, loss, backward, SGD with momentum; ms", &columns);
    let networks = match bench.options.networks.is_empty() {
        true => vec![Network::Lenet5, Network::Vgg11, Network::Resnet18, Network::Resnet50Large],
        false => bench.options.networks.clone(),
    };
    for network in networks {
        let batches = match network {
            _ if !bench.options.batch.is_empty() => bench.options.batch.iter().map(|&batch| batch as usize).collect(),
            Network::Lenet5 => vec![64, 256],
            Network::Resnet50Large => vec![4],
            _ => vec![16, 128],
        };
        for (i, batch) in batches.into_iter().enumerate() {
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
    let job = Job { inputs: training.hyperparameters, ..Job::new(training.tape, &STEP) };
    let session = job.session(&bench.device, 1);
    let Some(mut session) = bench.fits(&what, session)? else { return Ok(()) };
    session.step()?;
    bench.device.wait()?;
    let budget = if bench.options.quick { 2.0 } else { 12.0 };
    let most = bench.options.steps.map_or(20, |steps| steps as usize);
    let mut times = times(&bench.device, &mut session, network.shape(batch), most, |count, seconds| {
        bench.options.steps.is_some() || count == 0 || seconds < budget
    })?;
    let step = median(&mut times);
    // A second batch compiles the same kernels.
    let first = match bench.options.quick && !first_batch {
        true => [None; 2],
        false => first_steps(bench, network, batch),
    };
    let (gflops, share) = bench.rate(multiply_adds, step);
    let images = batch as f64 / step * 1e3;
    let show = |value: Option<f64>| value.map_or("-".into(), ms);
    bench.report.row(
        &[
            network.name().into(),
            batch.to_string(),
            show(first[0]),
            show(first[1]),
            ms(step),
            ms(times[0]),
            rate(images),
            rate(gflops),
            percent(share),
        ],
        json!({
            "network": network.name(), "batch": batch, "width": bench.options.width, "first_cold_ms": first[0], "first_ms": first[1],
            "median_ms": step, "min_ms": times[0], "max_ms": times[times.len() - 1], "steps": times.len(),
            "images_per_second": images, "gflops": gflops, "share": share,
        }),
    );
    if bench.options.kinds || bench.options.each {
        kernels(bench, &mut session)?;
    }
    Ok(())
}

/// The milliseconds of steps with their batch written anew, of at most `most`, as long as `more` of their number and the
/// seconds so far.
fn times(
    device: &Device,
    session: &mut Session,
    shape: [usize; 4],
    most: usize,
    more: impl Fn(usize, f64) -> bool,
) -> Result<Vec<f64>> {
    let images = Init::Uniform(1.0).values(1, "input", shape.iter().product());
    let mut times = Vec::new();
    let all = Instant::now();
    while times.len() < most && more(times.len(), all.elapsed().as_secs_f64()) {
        let began = Instant::now();
        session.write_f32("input", &images)?;
        session.step()?;
        device.wait()?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}

/// The time of each kind of kernel, or of every dispatch, run alone.
fn kernels(bench: &mut Bench, session: &mut Session) -> Result<()> {
    let each = session.time_each(if bench.options.quick { 3 } else { 10 })?;
    let mut kinds: BTreeMap<&str, (f64, usize)> = BTreeMap::new();
    for (step, ms) in session.plan().steps.iter().zip(each) {
        if bench.options.each {
            println!("    {ms:9.3} ms  {:32} {}", step.kernel.name, step.node);
        }
        let sum = kinds.entry(step.kernel.name).or_default();
        *sum = (sum.0 + ms, sum.1 + 1);
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by(|a, b| b.1.0.total_cmp(&a.1.0));
    for (kernel, (ms, count)) in kinds {
        println!("    {ms:9.2} ms  {count:4} of {kernel}");
    }
    Ok(())
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
    let mut session = job.session(&device, 1)?;
    session.step()?;
    device.wait()?;
    println!("{}", Value::from(began.elapsed().as_secs_f64() * 1e3));
    Ok(())
}

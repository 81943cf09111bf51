//! Where the time of training steps goes, by kernel and by layer.

use serde_json::{Value, json};
use tilegrad::Result;
use tilegrad::gpu::{Clock, Group, Profile, Session};

use crate::Bench;
use crate::networks::Network;
use crate::report::{ms, percent, rate};
use crate::timing::{Job, STEP};

/// How often a step is timed, at least and at most, and in how many milliseconds.
const RUNS: [usize; 2] = [5, 15];
const ENOUGH: f64 = 15e3;

pub fn run(bench: &mut Bench) -> Result<()> {
    let networks = match bench.options.networks.is_empty() {
        true => vec![Network::Lenet5, Network::Resnet18, Network::Resnet50Large],
        false => bench.options.networks.clone(),
    };
    for network in networks {
        let batches = match bench.options.batch.is_empty() {
            true if network == Network::Lenet5 => vec![64],
            true if network == Network::Resnet50Large => vec![if bench.software() { 4 } else { 32 }],
            true => vec![bench.batch()],
            false => bench.batches(network),
        };
        for batch in batches {
            one(bench, network, batch)?;
        }
    }
    Ok(())
}

fn one(bench: &mut Bench, network: Network, batch: usize) -> Result<()> {
    let what = format!("{} batch {batch}", network.name());
    let training = network.training(batch, bench.options.width as usize)?;
    // Each run is two steps.
    if !bench.has_time_for(&what, RUNS[0] as u64 * training.multiply_adds()) {
        return Ok(());
    }
    let job = Job { inputs: training.hyperparameters, ..Job::new(training.tape, &STEP) };
    let profile = job.session(&bench.device).and_then(|mut session| of(bench, &mut session));
    let Some(profile) = bench.fits(&what, profile)? else { return Ok(()) };
    println!("\n{what}: {}", summary(&profile));
    let mut whole = record(&profile);
    whole["network"] = network.name().into();
    whole["batch"] = batch.into();
    bench.report.keep(whole);
    let columns = [
        ("", -40),
        ("dispatches", 10),
        ("ms", 9),
        ("share", 6),
        ("GFLOP/s", 8),
        ("of peak", 8),
        ("GB/s", 7),
        ("of copy", 8),
    ];
    for (by, groups) in [("kernel", profile.by_kernel()), ("layer", profile.by_layer())] {
        bench.report.table(&format!("{what}, by {by}"), &columns);
        for group in groups {
            row(bench, &profile, &group);
        }
    }
    Ok(())
}

/// The profile of a step, from as many runs as there is time for.
pub fn of(bench: &Bench, session: &mut Session) -> Result<Profile> {
    session.step()?;
    let step = session.time(&STEP, 1)?.wall * 1e-6;
    let runs = match bench.options.quick {
        true => RUNS[0],
        false => ((ENOUGH / step) as usize).clamp(RUNS[0], RUNS[1]),
    };
    Ok(session.profile(&STEP, runs)?.against(bench.peak))
}

fn row(bench: &mut Bench, profile: &Profile, group: &Group) {
    let [compute, memory] = profile.of_peak(group).unwrap_or_default();
    let shown = |value: f64, text: String| if value > 0.0 { text } else { String::new() };
    bench.report.print(&[
        group.name.clone(),
        group.dispatches.to_string(),
        ms(group.duration * 1e-6),
        percent(profile.share(group)),
        shown(group.gflops(), rate(group.gflops())),
        shown(compute, percent(compute)),
        shown(group.gigabytes(), rate(group.gigabytes())),
        shown(memory, percent(memory)),
    ]);
}

/// What the dispatches take of the step, in a line.
pub fn summary(profile: &Profile) -> String {
    let [sum, step, wall] =
        [profile.total().duration, profile.step, profile.wall].map(|nanoseconds| nanoseconds * 1e-6);
    let clock = profile.clock.name();
    match profile.clock {
        Clock::Host => format!("a step takes {} ms, its dispatches one by one {}, by {clock}", ms(wall), ms(sum)),
        _ => format!(
            "a step takes {} ms on the device, its dispatches {} ({:.1}%), by {clock}; {} by the wall",
            ms(step),
            ms(sum),
            100.0 * sum / step,
            ms(wall)
        ),
    }
}

/// A profile for the file: the step, and its kernels and layers.
pub fn record(profile: &Profile) -> Value {
    let group = |group: Group| {
        json!({
            "name": group.name, "dispatches": group.dispatches, "ms": group.duration * 1e-6, "share": profile.share(&group),
            "gflops": group.gflops(), "gigabytes": group.gigabytes(), "of_peak": profile.of_peak(&group),
        })
    };
    let groups = |groups: Vec<Group>| groups.into_iter().map(group).collect::<Vec<_>>();
    json!({
        "clock": profile.clock.name(),
        "device_ms": profile.step * 1e-6,
        "dispatches_ms": profile.total().duration * 1e-6,
        "wall_ms": profile.wall * 1e-6,
        "kernels": groups(profile.by_kernel()),
        "layers": groups(profile.by_layer()),
    })
}

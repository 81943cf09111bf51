//! Sessions for tapes, and the time of a part of one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tilegrad::gpu::{Clock, Device, Elapsed, Session, SessionOptions, Store};
use tilegrad::graph::{Node, Role, Stage, Tape};
use tilegrad::kernel::{Choice, Choices, DeviceClass};
use tilegrad::plan::{ParameterLayout, Plan, candidates};
use tilegrad::rng::Init;
use tilegrad::shape::DType;
use tilegrad::{Error, Result};

/// Milliseconds that a submission should last, so that a device that had nothing to do is at its usual clock.
const SUBMISSION: f64 = 10.0;
/// The most submissions that are timed.
const MOST_SAMPLES: usize = 15;
pub const STEP: [Stage; 4] = [Stage::Gather, Stage::Forward, Stage::Backward, Stage::Update];

/// The algorithms that can compute `node`, each in the tile that it takes without a choice.
pub fn algorithms(tape: &Tape, node: &Node, device: &Device) -> Vec<Choice> {
    let mut found: Vec<Choice> = Vec::new();
    for choice in candidates(tape, node, device.caps()) {
        if !found.iter().any(|other| other.name == choice.name) {
            found.push(Choice { tile: None, ..choice });
        }
    }
    found
}

/// What is to be timed.
pub struct Job {
    pub tape: Tape,
    /// The stages that are timed; all run once before, so that what they read is there.
    pub stages: Vec<Stage>,
    pub choices: Choices,
    /// Inputs that are not to be random.
    pub inputs: Vec<(String, Vec<f32>)>,
}

/// What came out.
pub struct Timed {
    /// The medians for one run of the stages.
    pub times: Times,
    /// The kernels that ran, by name.
    pub kernels: Vec<&'static str>,
    /// The bytes of every operand and result, each once, and of what is changed in place twice.
    pub bytes: u64,
}

/// Medians of several submissions, in ms, by the device's clock and by the host's.
#[derive(Clone, Copy)]
pub struct Times {
    /// Nothing where the device has no timestamps.
    pub device: Option<f64>,
    pub wall: f64,
}

impl Times {
    pub fn of(samples: &[Elapsed]) -> Self {
        let device: Option<Vec<f64>> = samples.iter().map(|elapsed| elapsed.device).collect();
        let ms = |mut nanoseconds: Vec<f64>| median(&mut nanoseconds) * 1e-6;
        Times { device: device.map(ms), wall: ms(samples.iter().map(|elapsed| elapsed.wall).collect()) }
    }

    /// By the better clock.
    pub fn ms(&self) -> f64 {
        self.device.unwrap_or(self.wall)
    }

    /// Whose clock that is.
    pub fn clock(&self) -> &'static str {
        if self.device.is_some() { Clock::Passes.name() } else { Clock::Host.name() }
    }
}

impl Job {
    pub fn new(tape: Tape, stages: &[Stage]) -> Self {
        Job { tape, stages: stages.to_vec(), choices: Choices::default(), inputs: Vec::new() }
    }

    /// A session whose inputs are written.
    pub fn session(&self, device: &Device) -> Result<Session> {
        let caps = device.caps();
        let layout = Arc::new(ParameterLayout::new(&self.tape, caps)?);
        let plan = Plan::new(Arc::new(self.tape.clone()), Arc::clone(&layout), caps, &self.choices)?;
        if caps.class == DeviceClass::Software {
            has_memory(plan.memory().total())?;
        }
        let store = Arc::new(Store::new(device, layout)?);
        store.initialise(&self.tape, 1)?;
        let session = Session::new(&store, Arc::new(plan), SessionOptions::default())?;
        for tensor in self.tape.tensors().iter().filter(|tensor| tensor.role == Role::Input) {
            let read = self.tape.find_input(&tensor.name).is_some_and(|id| session.plan().place(id).is_some());
            match tensor.dtype {
                _ if !read => {}
                DType::F32 => {
                    let values = match self.inputs.iter().find(|(name, _)| *name == tensor.name) {
                        Some((_, values)) => values.to_vec(),
                        None => Init::Uniform(1.0).values(1, &tensor.name, tensor.shape.len()),
                    };
                    session.write(&tensor.name, &values)?;
                }
                // Class numbers, of which every network has ten.
                _ => {
                    let values: Vec<i32> = (0..tensor.shape.len() as i32).map(|i| i % 10).collect();
                    session.write(&tensor.name, &values)?;
                }
            }
        }
        Ok(session)
    }

    /// Times the stages on a device: many runs in one submission where one is short, and several submissions.
    pub fn time(&self, device: &Device, quick: bool) -> Result<Timed> {
        let mut session = self.session(device)?;
        session.step()?;
        device.wait()?;
        let dispatches = session.plan().steps.iter().filter(|step| self.stages.contains(&step.stage));
        let kernels: Vec<&'static str> = dispatches.map(|step| step.kernel.name).collect();
        let bytes = self.bytes(session.plan());
        let repeats = session.repeats(&self.stages, SUBMISSION * 1e6)?;
        let mut samples: Vec<Elapsed> = Vec::new();
        let enough = Duration::from_millis(if quick { 150 } else { 1000 });
        let began = Instant::now();
        while samples.is_empty() || (samples.len() < MOST_SAMPLES && began.elapsed() < enough) {
            samples.push(session.time(&self.stages, repeats)?);
        }
        Ok(Timed { times: Times::of(&samples), kernels, bytes })
    }

    fn bytes(&self, plan: &Plan) -> u64 {
        let tape = &self.tape;
        let mut total = 0;
        for node in tape.nodes().iter().filter(|node| self.stages.contains(&node.stage)) {
            let place = |id: Option<&_>| id.and_then(|id| plan.place(*id));
            let output = place(node.outputs.first());
            // What nothing needs does not run, and a view costs nothing.
            if node.updates.is_empty() && (output.is_none() || output == place(node.inputs.first())) {
                continue;
            }
            total += node.inputs.iter().chain(&node.outputs).map(|&id| tape.tensor(id).bytes()).sum::<u64>();
            total += 2 * node.updates.iter().map(|&id| tape.tensor(id).bytes()).sum::<u64>();
        }
        total
    }
}

pub fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Whether the host has so much memory left, as far as it says: a software device would be killed rather than refuse.
fn has_memory(bytes: u64) -> Result<()> {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = info.lines().find_map(|line| {
        let kib = line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB")?;
        kib.parse::<u64>().ok().map(|kib| kib << 10)
    });
    match available.filter(|&available| bytes > available / 4 * 3) {
        Some(available) => Err(Error::limit(
            "the plan",
            format!("{} MiB", bytes >> 20),
            format!("three quarters of the {} MiB that the host has left", available >> 20),
            "use a smaller batch",
        )),
        None => Ok(()),
    }
}

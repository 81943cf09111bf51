//! Where the time of a step goes: each dispatch timed, and grouped by layer and by kernel.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use serde_json::{Value, json};

use super::timestamps::Timestamps;
use super::{Peak, Session};
use crate::error::Result;
use crate::graph::Stage;
use crate::shape::Shape;

/// Which clock has timed the dispatches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The device's timestamps, at the beginning and the end of a pass for each dispatch.
    Timestamps,
    /// The host's, from before a submission of one dispatch to after it is done: longer than the dispatch by what that
    /// takes, which is most of the time of a small one.
    Host,
}

/// One dispatch and its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Timing {
    /// The node that it belongs to: the layer's name, in the backward stage too.
    pub node: String,
    /// The node's operation.
    pub operation: &'static str,
    /// The kernel's name.
    pub kernel: &'static str,
    /// When it runs.
    pub stage: Stage,
    /// The shape of the node's first output, where it has one.
    pub output: Option<Shape>,
    /// Nanoseconds from the beginning of the step.
    pub start: f64,
    /// Nanoseconds that it takes.
    pub duration: f64,
    /// The products that it adds up.
    pub multiply_adds: u64,
    /// The bytes that it reads and writes if it touches everything that it binds once.
    pub bytes: u64,
}

/// Some dispatches together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// What they have in common: the layer's or the kernel's name.
    pub name: String,
    /// How many dispatches there are.
    pub dispatches: usize,
    /// The nanoseconds of all of them.
    pub duration: f64,
    /// Their multiply-adds.
    pub multiply_adds: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Group {
    fn add(&mut self, timing: &Timing) {
        self.dispatches += 1;
        self.duration += timing.duration;
        self.multiply_adds += timing.multiply_adds;
        self.bytes += timing.bytes;
    }

    /// GFLOP/s, at two operations a multiply-add.
    pub fn gflops(&self) -> f64 {
        rate(2.0 * self.multiply_adds as f64, self.duration)
    }

    /// GB/s, at 10⁹ bytes a GB.
    pub fn gigabytes(&self) -> f64 {
        rate(self.bytes as f64, self.duration)
    }
}

/// So many in so many nanoseconds, in 10⁹ a second; 0 where the clock saw no time pass.
fn rate(count: f64, nanoseconds: f64) -> f64 {
    if nanoseconds > 0.0 { count / nanoseconds } else { 0.0 }
}

/// Where the time of a step goes. Prints as two tables, by kernel and by layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The device's name.
    pub device: String,
    /// What has timed the dispatches.
    pub clock: Clock,
    /// How often each was timed; times are medians.
    pub repeats: usize,
    /// The dispatches in the order in which they run.
    pub timings: Vec<Timing>,
    /// Nanoseconds of the same step as it runs otherwise, recorded and submitted at once, until the device is done with it.
    pub wall: f64,
    /// What the device can do at best, where somebody has measured it.
    pub peak: Option<Peak>,
}

impl Session {
    /// Times every dispatch of `stages`: the median of `repeats` runs, each dispatch in a pass of its own between two
    /// timestamps, or, on a device without them, submitted alone and timed by the host ([`Profile::clock`] says which).
    ///
    /// The stages really run, 2 `repeats` + 1 times, on the inputs that were written last: with [`Stage::Update`] among
    /// them parameters change, and so do states such as running statistics. [`Profile::peak`] is left open.
    pub fn profile(&mut self, stages: &[Stage], repeats: usize) -> Result<Profile> {
        let repeats = repeats.max(1);
        // A driver may compile with the first dispatch, and uploads that wait are done with here.
        self.run(stages)?;
        self.device().wait()?;
        let mut wall = Vec::new();
        for _ in 0..repeats {
            let began = Instant::now();
            self.run(stages)?;
            self.device().wait()?;
            wall.push(began.elapsed().as_secs_f64() * 1e9);
        }
        let steps = &self.plan().steps;
        let numbers: Vec<usize> = (0..steps.len()).filter(|&i| stages.contains(&steps[i].stage)).collect();
        let (clock, runs) = match Timestamps::new(self.device(), numbers.len())? {
            Some(timestamps) if !numbers.is_empty() => {
                (Clock::Timestamps, self.by_timestamps(&timestamps, &numbers, repeats)?)
            }
            _ => (Clock::Host, self.by_host(&numbers, repeats)?),
        };
        let mut end: f64 = 0.0;
        let mut timings = Vec::new();
        for (i, &number) in numbers.iter().enumerate() {
            let step = &self.plan().steps[number];
            let of = |part: usize| median(runs.iter().map(|run| run[i][part]).collect());
            // Medians of beginnings and of durations need not fit each other, but a step's dispatches follow one another.
            let (start, duration) = (of(0).max(end), of(1));
            end = start + duration;
            timings.push(Timing {
                node: step.node.clone(),
                operation: step.operation,
                kernel: step.kernel.name,
                stage: step.stage,
                output: step.output.clone(),
                start,
                duration,
                multiply_adds: step.multiply_adds,
                bytes: step.bytes(),
            });
        }
        let device = self.device().name();
        Ok(Profile { device, clock, repeats, timings, wall: median(wall), peak: None })
    }

    /// Beginning and duration of each dispatch in each run.
    fn by_timestamps(&self, timestamps: &Timestamps, numbers: &[usize], repeats: usize) -> Result<Vec<Vec<[f64; 2]>>> {
        let mut runs = Vec::new();
        for _ in 0..repeats {
            let mut encoder = self.device().raw().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            for (pass, &number) in numbers.iter().enumerate() {
                self.record_alone(&mut encoder, number, Some(timestamps.of_pass(pass)));
            }
            timestamps.resolve(&mut encoder);
            self.device().submit(encoder.finish())?;
            let times = timestamps.read(self.device())?;
            runs.push(times.into_iter().map(|[begin, end]| [begin, (end - begin).max(0.0)]).collect());
        }
        Ok(runs)
    }

    /// The same by the host's clock, as if the dispatches followed one another at once.
    fn by_host(&self, numbers: &[usize], repeats: usize) -> Result<Vec<Vec<[f64; 2]>>> {
        let mut runs = Vec::new();
        for _ in 0..repeats {
            let mut run = Vec::new();
            let mut start = 0.0;
            for &number in numbers {
                let began = Instant::now();
                let mut encoder =
                    self.device().raw().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                self.record_alone(&mut encoder, number, None);
                self.device().submit(encoder.finish())?;
                self.device().wait()?;
                let duration = began.elapsed().as_secs_f64() * 1e9;
                run.push([start, duration]);
                start += duration;
            }
            runs.push(run);
        }
        Ok(runs)
    }
}

/// The middle one, or the upper of the two in the middle; 0 of nothing.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

impl Profile {
    /// Sets what shares of the peak are read against.
    pub fn against(mut self, peak: Peak) -> Self {
        self.peak = Some(peak);
        self
    }

    /// All dispatches together.
    pub fn total(&self) -> Group {
        let mut total = Group { name: "total".into(), ..Group::default() };
        self.timings.iter().for_each(|timing| total.add(timing));
        total
    }

    /// The layers, forward and backward together, those that take most time first.
    pub fn by_layer(&self) -> Vec<Group> {
        self.grouped(|timing| &timing.node)
    }

    /// The kernels, those that take most time first.
    pub fn by_kernel(&self) -> Vec<Group> {
        self.grouped(|timing| timing.kernel)
    }

    fn grouped<'a>(&'a self, key: impl Fn(&'a Timing) -> &'a str) -> Vec<Group> {
        let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
        for timing in &self.timings {
            let name = key(timing);
            groups.entry(name).or_insert_with(|| Group { name: name.into(), ..Group::default() }).add(timing);
        }
        let mut groups: Vec<Group> = groups.into_values().collect();
        groups.sort_by(|a, b| b.duration.total_cmp(&a.duration));
        groups
    }

    /// A share of the whole time, 0 to 1.
    pub fn share(&self, group: &Group) -> f64 {
        rate(group.duration, self.total().duration)
    }

    /// Shares of the peak, 0 to 1: of its multiply-adds, and of its bytes; `None` where no peak was measured.
    ///
    /// More than 1 is possible where caches hold what a copy of large buffers gets from memory, or where a kernel needs
    /// fewer products than are counted.
    pub fn of_peak(&self, group: &Group) -> Option<[f64; 2]> {
        self.peak.map(|peak| [group.gflops() / peak.gflops(), group.gigabytes() / peak.gigabytes()])
    }

    /// The step as JSON in the Trace Event Format, which chrome://tracing and <https://ui.perfetto.dev> open: a track for
    /// each stage, and on it the dispatches by their layers' names.
    pub fn to_chrome_trace(&self) -> String {
        let stages = [Stage::Gather, Stage::Forward, Stage::Backward, Stage::Update];
        let track = |stage: Stage| stages.iter().position(|&other| other == stage).unwrap_or_default();
        let meta = |name: &str, track: usize, value: String| json!({ "name": name, "ph": "M", "pid": 0, "tid": track, "args": { "name": value } });
        let mut events = vec![meta("process_name", 0, self.device.clone())];
        for stage in stages.into_iter().filter(|stage| self.timings.iter().any(|timing| timing.stage == *stage)) {
            events.push(meta("thread_name", track(stage), name_of(stage)));
        }
        for timing in &self.timings {
            let mut group = Group::default();
            group.add(timing);
            let mut arguments = json!({
                "kernel": timing.kernel,
                "operation": timing.operation,
                "shape": timing.output.as_ref().map(ToString::to_string),
                "multiply_adds": timing.multiply_adds,
                "bytes": timing.bytes,
                "GFLOP/s": group.gflops(),
                "GB/s": group.gigabytes(),
            });
            if let Some([compute, memory]) = self.of_peak(&group) {
                arguments["of peak GFLOP/s"] = compute.into();
                arguments["of peak GB/s"] = memory.into();
            }
            events.push(json!({
                "name": timing.node,
                "cat": timing.kernel,
                "ph": "X",
                "pid": 0,
                "tid": track(timing.stage),
                "ts": timing.start / 1e3,
                "dur": timing.duration / 1e3,
                "args": arguments,
            }));
        }
        let other: Value = json!({
            "device": self.device,
            "clock": self.clock_name(),
            "repeats": self.repeats,
            "step_ms": self.wall / 1e6,
            "dispatches_ms": self.total().duration / 1e6,
            "peak_gflops": self.peak.map(|peak| peak.gflops()),
            "peak_gigabytes": self.peak.map(|peak| peak.gigabytes()),
        });
        let trace = json!({ "traceEvents": events, "displayTimeUnit": "ms", "otherData": other });
        format!("{trace:#}\n")
    }

    fn clock_name(&self) -> &'static str {
        match self.clock {
            Clock::Timestamps => "device timestamps",
            Clock::Host => "the host's clock, a submission each: the device has no timestamps",
        }
    }
}

fn name_of(stage: Stage) -> String {
    format!("{stage:?}").to_lowercase()
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        writeln!(f, "{}", self.device)?;
        writeln!(f, "{} dispatches by {}; medians of {}", total.dispatches, self.clock_name(), self.repeats)?;
        if let Some(peak) = &self.peak {
            writeln!(f, "at best {:.1} GFLOP/s, {:.1} GB/s", peak.gflops(), peak.gigabytes())?;
        }
        let (kernels, layers) = (self.by_kernel(), self.by_layer());
        let wide = kernels.iter().chain(&layers).map(|group| group.name.len()).max().unwrap_or(0).max(10);
        for (head, groups) in [("kernel", &kernels), ("layer", &layers)] {
            let columns = ["dispatches", "ms", "share", "GFLOP/s", "of best", "GB/s", "of best"];
            write!(f, "\n{head:<wide$}")?;
            columns.iter().try_for_each(|column| write!(f, " {column:>10}"))?;
            writeln!(f)?;
            groups.iter().chain([&total]).try_for_each(|group| self.write_row(f, group, wide))?;
        }
        let (wall, sum) = (self.wall / 1e6, total.duration / 1e6);
        write!(f, "\na step takes {wall:.3} ms, its dispatches {sum:.3} ms")?;
        match self.clock {
            Clock::Timestamps if wall > sum => write!(f, ": {:.3} ms beyond them", wall - sum),
            // Passes of one dispatch each, or waits between them, may take longer than they do together.
            _ => write!(f, " one by one"),
        }
    }
}

impl Profile {
    fn write_row(&self, f: &mut fmt::Formatter<'_>, group: &Group, wide: usize) -> fmt::Result {
        let percent = |share: f64| format!("{:.1}%", share * 100.0);
        let shown = |rate: f64, text: String| if rate > 0.0 { text } else { String::new() };
        let (gflops, gigabytes) = (group.gflops(), group.gigabytes());
        let [compute, memory] = self.of_peak(group).map_or([const { String::new() }; 2], |shares| shares.map(percent));
        writeln!(
            f,
            "{:<wide$} {:>10} {:>10.3} {:>10} {:>10} {:>10} {:>10} {:>10}",
            group.name,
            group.dispatches,
            group.duration / 1e6,
            percent(self.share(group)),
            shown(gflops, format!("{gflops:.1}")),
            shown(gflops, compute),
            shown(gigabytes, format!("{gigabytes:.2}")),
            shown(gigabytes, memory),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile() -> Profile {
        let timing = |node: &str, kernel, stage, start: f64, duration: f64, multiply_adds| Timing {
            node: node.into(),
            operation: "conv2d",
            kernel,
            stage,
            output: Some(Shape::from([2, 3])),
            start,
            duration,
            multiply_adds,
            bytes: 6_000,
        };
        let timings = vec![
            timing("conv", "conv2d/vec4", Stage::Forward, 0.0, 1_000.0, 5_000),
            timing("relu", "relu", Stage::Forward, 1_000.0, 500.0, 0),
            timing("conv", "conv2d_grad_weight/vec4", Stage::Backward, 1_500.0, 2_000.0, 5_000),
            timing("fc", "relu", Stage::Backward, 3_500.0, 500.0, 0),
        ];
        let peak = Peak { multiply_adds_per_second: 1e10, copy_bytes_per_second: 1e10 };
        Profile { device: "a GPU".into(), clock: Clock::Timestamps, repeats: 3, timings, wall: 5_000.0, peak: None }
            .against(peak)
    }

    #[test]
    fn groups_add_up_and_come_by_time() {
        let profile = profile();
        let layers = profile.by_layer();
        let names: Vec<&str> = layers.iter().map(|group| group.name.as_str()).collect();
        assert_eq!(names, ["conv", "fc", "relu"]);
        let conv = &layers[0];
        assert_eq!((conv.dispatches, conv.duration, conv.multiply_adds, conv.bytes), (2, 3_000.0, 10_000, 12_000));
        assert_eq!(profile.share(conv), 0.75);
        // 20,000 operations and 12,000 bytes in 3 µs.
        assert!((conv.gflops() - 20.0 / 3.0).abs() < 1e-9 && (conv.gigabytes() - 4.0).abs() < 1e-9);
        let [compute, memory] = profile.of_peak(conv).unwrap();
        assert!((compute - 1.0 / 3.0).abs() < 1e-9 && (memory - 0.4).abs() < 1e-9);
        let kernels = profile.by_kernel();
        let times: Vec<_> = kernels.iter().map(|group| (group.name.as_str(), group.duration)).collect();
        assert_eq!(times, [("conv2d_grad_weight/vec4", 2_000.0), ("conv2d/vec4", 1_000.0), ("relu", 1_000.0)]);
        for groups in [layers, kernels] {
            assert_eq!(groups.iter().map(|group| group.dispatches).sum::<usize>(), 4);
            assert_eq!(groups.iter().map(|group| group.duration).sum::<f64>(), profile.total().duration);
        }
    }

    #[test]
    fn the_trace_has_complete_events_on_a_track_for_each_stage() {
        let trace: Value = serde_json::from_str(&profile().to_chrome_trace()).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        let of = |phase: &str| events.iter().filter(|event| event["ph"] == phase).collect::<Vec<_>>();
        let names: Vec<&Value> = of("M").iter().map(|event| &event["args"]["name"]).collect();
        assert_eq!(names, ["a GPU", "forward", "backward"]);
        let dispatches = of("X");
        assert_eq!(dispatches.len(), 4);
        let grad = dispatches[2];
        assert_eq!((&grad["name"], &grad["ts"], &grad["dur"]), (&json!("conv"), &json!(1.5), &json!(2.0)));
        assert_eq!(
            (&grad["args"]["kernel"], &grad["args"]["shape"]),
            (&json!("conv2d_grad_weight/vec4"), &json!("[2,3]"))
        );
        assert_eq!((&grad["args"]["GFLOP/s"], &grad["args"]["of peak GFLOP/s"]), (&json!(5.0), &json!(0.25)));
        assert_ne!(grad["tid"], dispatches[0]["tid"]);
        assert_eq!(dispatches[0]["tid"], dispatches[1]["tid"]);
    }

    #[test]
    fn the_tables_have_a_row_for_each_group_and_equal_columns() {
        let text = profile().to_string();
        for part in ["a GPU", "4 dispatches by device timestamps", "at best 20.0 GFLOP/s, 10.0 GB/s"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(text.ends_with("a step takes 0.005 ms, its dispatches 0.004 ms: 0.001 ms beyond them"), "{text}");
        let rows: Vec<&str> = text.lines().filter(|line| line.contains('%') || line.contains("GB/s  ")).collect();
        assert_eq!(rows.iter().filter(|row| row.starts_with("total")).count(), 2, "{text}");
        assert!(rows.iter().all(|row| row.chars().count() == rows[0].chars().count()), "{text}");
        let host = Profile { clock: Clock::Host, peak: None, ..profile() };
        assert!(host.to_string().contains("the host's clock"), "{host}");
    }
}

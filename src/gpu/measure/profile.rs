//! Profiles of a step: each dispatch timed, and grouped by layer and by kernel.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use crate::gpu::{Clock, Peak};
use crate::graph::Stage;
use crate::shape::Shape;

/// One dispatch and its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Timing {
    /// Name of the node that it belongs to, which is the layer's name in the backward stage too.
    pub node: String,
    /// The node's operation.
    pub operation: &'static str,
    /// The kernel's name.
    pub kernel: &'static str,
    /// The stage in which it runs.
    pub stage: Stage,
    /// Shape of the node's first output, if it has one.
    pub output: Option<Shape>,
    /// Start in nanoseconds since the beginning of the step, as if dispatches ran without gaps.
    pub start: f64,
    /// Duration in nanoseconds.
    pub duration: f64,
    /// Number of multiply-adds.
    pub multiply_adds: u64,
    /// Bytes read and written, if it touches everything that it binds once.
    pub bytes: u64,
}

/// Several dispatches grouped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// The common property: the layer's or the kernel's name.
    pub name: String,
    /// Number of dispatches.
    pub dispatches: usize,
    /// Total duration in nanoseconds.
    pub duration: f64,
    /// Total multiply-adds.
    pub multiply_adds: u64,
    /// Total bytes read and written.
    pub bytes: u64,
}

impl Group {
    fn add(&mut self, timing: &Timing) {
        self.dispatches += 1;
        self.duration += timing.duration;
        self.multiply_adds += timing.multiply_adds;
        self.bytes += timing.bytes;
    }

    /// GFLOP/s, at two operations per multiply-add.
    pub fn gflops(&self) -> f64 {
        rate(2.0 * self.multiply_adds as f64, self.duration)
    }

    /// GB/s, at 10⁹ bytes per GB.
    pub fn gigabytes(&self) -> f64 {
        rate(self.bytes as f64, self.duration)
    }
}

/// Rate in 10⁹ per second of `count` in so many nanoseconds; 0 if the clock measured no time.
fn rate(count: f64, nanoseconds: f64) -> f64 {
    if nanoseconds > 0.0 { count / nanoseconds } else { 0.0 }
}

/// The time of a step by dispatch. Prints as two tables, by kernel and by layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Name of the device.
    pub device: String,
    /// The clock that timed the dispatches.
    pub clock: Clock,
    /// Number of runs. Times are means over the runs whose sums are in the middle half.
    pub repeats: usize,
    /// The dispatches in execution order.
    pub timings: Vec<Timing>,
    /// Nanoseconds by the device's clock of the same step in one pass without timestamps inside, the reference for
    /// shares. On a device without timestamps only the host times dispatches, and this is the sum of their times.
    pub step: f64,
    /// Nanoseconds of that step by the host's clock: recording, one submission, and waiting for the device.
    pub wall: f64,
    /// Peak rates of the device, if measured.
    pub peak: Option<Peak>,
}

impl Profile {
    /// Sets the peak rates to which shares refer.
    pub fn against(mut self, peak: Peak) -> Self {
        self.peak = Some(peak);
        self
    }

    /// All dispatches as one group.
    pub fn total(&self) -> Group {
        let mut total = Group { name: "total".into(), ..Group::default() };
        self.timings.iter().for_each(|timing| total.add(timing));
        total
    }

    /// Groups by layer, forward and backward together, the slowest first.
    pub fn by_layer(&self) -> Vec<Group> {
        self.grouped(|timing| &timing.node)
    }

    /// Groups by kernel, the slowest first.
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

    /// Share of the group in the step's time, 0 to 1. Over all groups, shares sum to the part that the dispatches
    /// account for.
    pub fn share(&self, group: &Group) -> f64 {
        rate(group.duration, self.step)
    }

    /// Shares of the peak in multiply-adds and in bytes, 0 to 1; `None` if no peak was measured.
    ///
    /// Shares above 1 are possible: caches may serve what a copy of large buffers reads from memory, and a kernel may
    /// need fewer multiply-adds than are counted.
    pub fn of_peak(&self, group: &Group) -> Option<[f64; 2]> {
        self.peak.map(|peak| [group.gflops() / peak.gflops(), group.gigabytes() / peak.gigabytes()])
    }

    /// The step as JSON in the Trace Event Format, which chrome://tracing and <https://ui.perfetto.dev> open. Each
    /// stage has a track with its dispatches under their layers' names.
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
            "clock": self.clock.name(),
            "repeats": self.repeats,
            "wall_ms": self.wall / 1e6,
            "step_ms": self.step / 1e6,
            "dispatches_ms": self.total().duration / 1e6,
            "peak_gflops": self.peak.map(|peak| peak.gflops()),
            "peak_gigabytes": self.peak.map(|peak| peak.gigabytes()),
        });
        let trace = json!({ "traceEvents": events, "displayTimeUnit": "ms", "otherData": other });
        format!("{trace:#}\n")
    }
}

fn name_of(stage: Stage) -> String {
    format!("{stage:?}").to_lowercase()
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        writeln!(f, "{}", self.device)?;
        writeln!(f, "{} dispatches by {}; {} runs", total.dispatches, self.clock.name(), self.repeats)?;
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
        let [step, sum, wall] = [self.step, total.duration, self.wall].map(|nanoseconds| nanoseconds / 1e6);
        match self.clock {
            Clock::Host => {
                write!(f, "\na step takes {wall:.3} ms, its dispatches one by one {sum:.3} ms, by the host's clock")
            }
            _ => {
                write!(
                    f,
                    "\na step takes {step:.3} ms on the device, its dispatches {sum:.3} ms ({:+.3} ms beyond them); ",
                    step - sum
                )?;
                write!(f, "{wall:.3} ms by the host's clock")
            }
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
            timing("conv", "conv2d/subgroup8", Stage::Forward, 0.0, 1_000.0, 5_000),
            timing("relu", "relu", Stage::Forward, 1_000.0, 500.0, 0),
            timing("conv", "conv2d_grad_weight/vec4", Stage::Backward, 1_500.0, 2_000.0, 5_000),
            timing("fc", "relu", Stage::Backward, 3_500.0, 500.0, 0),
        ];
        let peak = Peak { multiply_adds_per_second: 1e10, copy_bytes_per_second: 1e10 };
        Profile {
            device: "a GPU".into(),
            clock: Clock::Dispatches,
            repeats: 3,
            timings,
            step: 4_100.0,
            wall: 5_000.0,
            peak: None,
        }
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
        assert_eq!(profile.share(conv), 3_000.0 / 4_100.0, "of the step, not of what was found of it");
        // 20,000 operations and 12,000 bytes in 3 µs.
        assert!((conv.gflops() - 20.0 / 3.0).abs() < 1e-9 && (conv.gigabytes() - 4.0).abs() < 1e-9);
        let [compute, memory] = profile.of_peak(conv).unwrap();
        assert!((compute - 1.0 / 3.0).abs() < 1e-9 && (memory - 0.4).abs() < 1e-9);
        let kernels = profile.by_kernel();
        let times: Vec<_> = kernels.iter().map(|group| (group.name.as_str(), group.duration)).collect();
        assert_eq!(times, [("conv2d_grad_weight/vec4", 2_000.0), ("conv2d/subgroup8", 1_000.0), ("relu", 1_000.0)]);
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
        for part in
            ["a GPU", "4 dispatches by device timestamps inside a pass; 3 runs", "at best 20.0 GFLOP/s, 10.0 GB/s"]
        {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        let end = "a step takes 0.004 ms on the device, its dispatches 0.004 ms (+0.000 ms beyond them); 0.005 ms by the host's clock";
        assert!(text.ends_with(end), "{text}");
        let rows: Vec<&str> = text.lines().filter(|line| line.contains('%') || line.contains("GB/s  ")).collect();
        assert_eq!(rows.iter().filter(|row| row.starts_with("total")).count(), 2, "{text}");
        assert!(rows.iter().all(|row| row.chars().count() == rows[0].chars().count()), "{text}");
        let host = Profile { clock: Clock::Host, peak: None, ..profile() };
        assert!(host.to_string().contains("the host's clock"), "{host}");
    }
}

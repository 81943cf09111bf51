//! Measured peak rates of a device, as a reference for kernels.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::timestamps::Timestamps;
use crate::error::{Error, Result};
use crate::gpu::Device;
use crate::gpu::memory::Allocation;
use crate::gpu::pipelines::Pipeline;
use crate::gpu::session::fold;
use crate::kernel::{DeviceClass, Extent, Kernel, Params, source};
use crate::params;
use crate::plan::DeviceRates;

/// Invocations per workgroup.
const WG: u32 = 64;
/// Multiply-adds in one round of shaders/measure/multiply_add.wgsl.
const PER_ROUND: u32 = 32 * 12;
/// Minimum length of a sample in seconds, so that its launch is negligible.
const SAMPLE: f64 = 0.01;
/// Maximum number of dispatches in a sample.
const MOST_REPEATS: f64 = 500.0;
/// Number of samples, of which the best is the peak. Other load on the machine only slows a sample down.
const SAMPLES: usize = 8;
/// Time after which no further sample starts.
const ENOUGH: Duration = Duration::from_millis(400);
/// Maximum size in bytes of each of the copy's buffers, several times that of the caches.
const LARGEST_COPY: u64 = 256 << 20;
/// The same for a software device, which moves memory through a kernel more slowly than the memory could.
const LARGEST_COPY_SOFTWARE: u64 = 64 << 20;
/// Minimum size in bytes, for when memory is short.
const SMALLEST_COPY: u64 = 4 << 20;

params! {
    /// Params of shaders/measure/multiply_add.wgsl.
    pub(crate) struct MultiplyAdd { rounds: u32, factor: f32, addend: f32 }
}

params! {
    /// Params of shaders/elementwise/activation.wgsl.
    pub(crate) struct Copy { len: u32 }
}

/// Measured peak rates of a device in f32.
///
/// The rates depend on the machine's current load; a busy machine gives lower ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Multiply-adds per second, in chains of nothing else.
    pub multiply_adds_per_second: f64,
    /// Bytes read plus bytes written per second, in a copy between buffers of the maximum binding size, up to 256 MiB.
    pub copy_bytes_per_second: f64,
}

impl Peak {
    /// Measures `device`, which takes about half a second and up to 512 MiB of device memory.
    ///
    /// Two kernels run several times, and the best time of each counts, by the device's timestamps if it has them.
    pub fn measure(device: &Device) -> Result<Self> {
        let [multiply_add, copy, _] = Peak::kernels();
        let peak = Peak {
            multiply_adds_per_second: multiply_adds(device, &multiply_add)?,
            copy_bytes_per_second: copied_bytes(device, &copy)?,
        };
        device.measured(peak.rates());
        log::info!("{}: at best {:.1} GFLOP/s, {:.1} GB/s", device.name(), peak.gflops(), peak.gigabytes());
        Ok(peak)
    }

    /// Measures the multiply-adds per second in half precision in the same way; `None` if the device's shaders have no
    /// half precision.
    pub fn measure_f16(device: &Device) -> Result<Option<f64>> {
        let [.., kernel] = Peak::kernels();
        let has_f16 = device.raw().features().contains(wgpu::Features::SHADER_F16);
        has_f16.then(|| multiply_adds(device, &kernel)).transpose()
    }

    /// The same rates in the form that plans use for estimates.
    pub fn rates(&self) -> DeviceRates {
        DeviceRates { multiply_adds: self.multiply_adds_per_second, bytes: self.copy_bytes_per_second }
    }

    /// GFLOP/s, at two operations per multiply-add.
    pub fn gflops(&self) -> f64 {
        2e-9 * self.multiply_adds_per_second
    }

    /// GB/s of a copy, read plus written, at 10⁹ bytes per GB.
    pub fn gigabytes(&self) -> f64 {
        1e-9 * self.copy_bytes_per_second
    }

    /// The measurement kernels (multiply-adds, copy, multiply-adds in half precision). No plan contains them, so tests
    /// find them here.
    pub fn kernels() -> [Kernel; 3] {
        let multiply_add = [source!("measure/multiply_add.wgsl"), source!("lib/workgroup.wgsl")];
        let copy = [source!("elementwise/copy.wgsl"), source!("elementwise/activation.wgsl"), source!("lib/each.wgsl")];
        [
            Kernel::new("measure/multiply_add", &multiply_add).params::<MultiplyAdd>().constant("WG", WG),
            Kernel::new("measure/copy", &copy).params::<Copy>().constant("WG", WG).elements(4),
            Kernel {
                f16: true,
                ..Kernel::new("measure/multiply_add_f16", &multiply_add).params::<MultiplyAdd>().constant("WG", WG)
            },
        ]
    }
}

/// Best rate of chains of multiply-adds.
fn multiply_adds(device: &Device, kernel: &Kernel) -> Result<f64> {
    // Many times what the widest devices run at once, so that the tail is negligible; the slowest devices need about
    // 0.1 s.
    let workgroups: u32 = match device.caps().class {
        DeviceClass::Software => 1 << 9,
        DeviceClass::Integrated => 1 << 12,
        DeviceClass::Discrete => 1 << 15,
    };
    let rounds = 32;
    let output = Allocation::new(device, "output", 4 * u64::from(workgroups * WG))?;
    let params = MultiplyAdd { rounds, factor: 0.75, addend: 0.5 };
    let run = Run::new(device, kernel, workgroups, &params, &[("output", &output)])?;
    let of_one = f64::from(rounds * PER_ROUND) * f64::from(workgroups * WG);
    Ok(of_one / run.best_seconds(device)?)
}

/// Best rate of a copy, in bytes read plus bytes written.
fn copied_bytes(device: &Device, kernel: &Kernel) -> Result<f64> {
    let caps = device.caps();
    let largest = if caps.class == DeviceClass::Software { LARGEST_COPY_SOFTWARE } else { LARGEST_COPY };
    let mut bytes = caps.max_binding.min(caps.max_buffer).min(largest) & !1023;
    let (input, output) = loop {
        let new = |name| Allocation::new(device, name, bytes);
        match new("input").and_then(|input| Ok((input, new("output")?))) {
            // Full memory makes the measurement less accurate, not impossible.
            Err(Error::OutOfMemory(_)) if bytes > SMALLEST_COPY => bytes /= 2,
            other => break other?,
        }
    };
    let params = Copy { len: (bytes / 16) as u32 };
    let workgroups = params.len.div_ceil(WG);
    let run = Run::new(device, kernel, workgroups, &params, &[("input", &input), ("output", &output)])?;
    Ok(2.0 * bytes as f64 / run.best_seconds(device)?)
}

/// One dispatch that runs many times.
struct Run {
    pipeline: Arc<Pipeline>,
    bind_group: wgpu::BindGroup,
    workgroups: [u32; 2],
    timestamps: Option<Timestamps>,
}

impl Run {
    fn new(
        device: &Device,
        kernel: &Kernel,
        workgroups: u32,
        params: &impl Params,
        bound: &[(&str, &Allocation)],
    ) -> Result<Self> {
        let pipeline = device.pipeline(kernel, false)?;
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let uniform = device.buffer("params", (params.bytes().len() as u64).next_multiple_of(16), usage)?;
        device.queue().write_buffer(&uniform, 0, &params.bytes());
        let mut entries = Vec::new();
        for (name, binding, _) in &pipeline.reflection.bindings {
            let resource = match bound.iter().find(|(other, _)| other == name) {
                Some((_, allocation)) => allocation.binding(0, allocation.bytes),
                None => uniform.as_entire_binding(),
            };
            entries.push(wgpu::BindGroupEntry { binding: *binding, resource });
        }
        let bind_group = device.bind_group(&wgpu::BindGroupDescriptor {
            label: Some(kernel.name),
            layout: &pipeline.layout,
            entries: &entries,
        })?;
        let workgroups = fold(Extent::Workgroups(u64::from(workgroups)), WG, device.caps().max_workgroups);
        Ok(Run { pipeline, bind_group, workgroups, timestamps: Timestamps::new(device, 2)? })
    }

    /// Minimum time of one dispatch in seconds.
    fn best_seconds(&self, device: &Device) -> Result<f64> {
        // The first dispatch may include compilation and memory allocation.
        self.seconds(device, 1)?;
        let once = self.seconds(device, 1)?;
        let repeats = (SAMPLE / once.max(1e-9)).clamp(1.0, MOST_REPEATS).ceil() as u32;
        let mut best = once;
        let began = Instant::now();
        for _ in 0..SAMPLES {
            best = best.min(self.seconds(device, repeats)? / f64::from(repeats));
            if began.elapsed() > ENOUGH {
                break;
            }
        }
        // A clock too coarse for a sample would give an infinite rate.
        Ok(best.max(1e-9))
    }

    /// Seconds that `repeats` dispatches in one pass take.
    fn seconds(&self, device: &Device, repeats: u32) -> Result<f64> {
        let began = Instant::now();
        let mut encoder = device.raw().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some("measure"),
                timestamp_writes: self.timestamps.as_ref().map(|timestamps| timestamps.of_pass(0)),
            });
            pass.set_pipeline(&self.pipeline.pipeline);
            pass.set_bind_group(0, &self.bind_group, &[]);
            for _ in 0..repeats {
                pass.dispatch_workgroups(self.workgroups[0], self.workgroups[1], 1);
            }
        }
        device.submit(encoder.finish())?;
        device.wait()?;
        let waited = began.elapsed().as_secs_f64();
        let Some(timestamps) = &self.timestamps else { return Ok(waited) };
        let nanoseconds = timestamps.read(device)?[1];
        // Some drivers leave timestamps at zero.
        Ok(if nanoseconds > 0.0 { 1e-9 * nanoseconds } else { waited })
    }
}

//! What a device can do at best, measured: the numbers with which kernels are compared.

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

/// Invocations of a workgroup.
const WG: u32 = 64;
/// Multiply-adds of one round of shaders/measure/multiply_add.wgsl.
const PER_ROUND: u32 = 32 * 12;
/// Seconds that a sample lasts at least, so that starting it does not count.
const SAMPLE: f64 = 0.01;
/// The most dispatches in a sample.
const MOST_REPEATS: f64 = 500.0;
/// The best of so many samples is a peak: whatever else the machine does only makes a sample slower.
const SAMPLES: usize = 8;
/// No further sample is begun after this time.
const ENOUGH: Duration = Duration::from_millis(400);
/// The most bytes of each buffer of the copy, several times what caches hold.
const LARGEST_COPY: u64 = 256 << 20;
/// The same on a software device, which is slower at moving memory through a kernel than the memory is.
const LARGEST_COPY_SOFTWARE: u64 = 64 << 20;
/// The least, where memory is short.
const SMALLEST_COPY: u64 = 4 << 20;

params! {
    /// Of shaders/measure/multiply_add.wgsl.
    pub(crate) struct MultiplyAdd { rounds: u32, factor: f32, addend: f32 }
}

params! {
    /// Of shaders/elementwise/activation.wgsl.
    pub(crate) struct Copy { len: u32 }
}

/// The best rates that a device reaches in f32.
///
/// Rates of the moment, that is: on a machine that is busy with something else they are lower.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Multiplications with an addition in a second, in chains that do nothing else.
    pub multiply_adds_per_second: f64,
    /// Bytes read and bytes written in a second, by a copy of buffers as large as a binding may be, up to 256 MiB.
    pub copy_bytes_per_second: f64,
}

impl Peak {
    /// Measures `device`, which takes about half a second and, while it lasts, up to 512 MiB of its memory.
    ///
    /// Two kernels are run several times and the best time of each counts, by the device's timestamps where it has them.
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

    /// The multiplications with an addition in a second in half precision, measured in the same way; `None` where the
    /// device's shaders have no half precision.
    pub fn measure_f16(device: &Device) -> Result<Option<f64>> {
        let [.., kernel] = Peak::kernels();
        let has_f16 = device.raw().features().contains(wgpu::Features::SHADER_F16);
        has_f16.then(|| multiply_adds(device, &kernel)).transpose()
    }

    /// The same as plans estimate by.
    pub fn rates(&self) -> DeviceRates {
        DeviceRates { multiply_adds: self.multiply_adds_per_second, bytes: self.copy_bytes_per_second }
    }

    /// GFLOP/s, at two operations a multiply-add.
    pub fn gflops(&self) -> f64 {
        2e-9 * self.multiply_adds_per_second
    }

    /// GB/s of a copy, read and written, at 10⁹ bytes a GB.
    pub fn gigabytes(&self) -> f64 {
        1e-9 * self.copy_bytes_per_second
    }

    /// The kernels that measure (multiply-adds, the copy, multiply-adds in half precision): no plan has them, so this is where
    /// tests find them.
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

/// The best rate of chains of multiply-adds.
fn multiply_adds(device: &Device, kernel: &Kernel) -> Result<f64> {
    // Many times what the widest devices hold at once, so that the last of them hardly count; the slowest need about 0.1 s.
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

/// The best rate of a copy: bytes read and written.
fn copied_bytes(device: &Device, kernel: &Kernel) -> Result<f64> {
    let caps = device.caps();
    let largest = if caps.class == DeviceClass::Software { LARGEST_COPY_SOFTWARE } else { LARGEST_COPY };
    let mut bytes = caps.max_binding.min(caps.max_buffer).min(largest) & !1023;
    let (input, output) = loop {
        let new = |name| Allocation::new(device, name, bytes);
        match new("input").and_then(|input| Ok((input, new("output")?))) {
            // Full memory makes the measurement worse, not impossible.
            Err(Error::OutOfMemory(_)) if bytes > SMALLEST_COPY => bytes /= 2,
            other => break other?,
        }
    };
    let params = Copy { len: (bytes / 16) as u32 };
    let workgroups = params.len.div_ceil(WG);
    let run = Run::new(device, kernel, workgroups, &params, &[("input", &input), ("output", &output)])?;
    Ok(2.0 * bytes as f64 / run.best_seconds(device)?)
}

/// One dispatch, to be run many times.
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

    /// The least seconds of one dispatch.
    fn best_seconds(&self, device: &Device) -> Result<f64> {
        // A driver may compile with the first dispatch, and memory is got when it is first touched.
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
        // A clock too coarse to see a sample would give an infinite rate.
        Ok(best.max(1e-9))
    }

    /// The seconds of `repeats` dispatches in one pass.
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
        // Drivers have been seen to leave timestamps zero.
        Ok(if nanoseconds > 0.0 { 1e-9 * nanoseconds } else { waited })
    }
}

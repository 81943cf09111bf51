//! Timestamps of the device's clock, at pass boundaries, or inside passes where the device supports it.

use crate::error::Result;
use crate::gpu::Device;

/// WebGPU's maximum number of queries in a set. The results of a full set end where those of the next may begin.
const IN_A_SET: usize = 4096;

/// A fixed number of timestamps.
///
/// wgpu writes a timestamp (Vulkan's BOTTOM_OF_PIPE, DX12's EndQuery) when all earlier commands have run. The
/// difference of two timestamps is therefore the time of the commands between them, in either form.
pub(in crate::gpu) struct Timestamps {
    sets: Vec<wgpu::QuerySet>,
    resolved: wgpu::Buffer,
    count: usize,
}

impl Timestamps {
    /// Creates `count` timestamps; `None` if the device has none.
    pub fn new(device: &Device, count: usize) -> Result<Option<Self>> {
        if !device.raw().features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Ok(None);
        }
        let count = count.max(1);
        let set = |first: usize| {
            device.raw().create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: (count - first).min(IN_A_SET) as u32,
            })
        };
        let sets = (0..count).step_by(IN_A_SET).map(set).collect();
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = device.buffer("timestamps", 8 * count as u64, usage)?;
        device.check()?;
        Ok(Some(Timestamps { sets, resolved, count }))
    }

    /// Descriptor of a pass that begins at timestamp 2 `number` and ends at the next.
    pub fn of_pass(&self, number: usize) -> wgpu::ComputePassTimestampWrites<'_> {
        let first = (2 * number % IN_A_SET) as u32;
        wgpu::ComputePassTimestampWrites {
            query_set: &self.sets[2 * number / IN_A_SET],
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        }
    }

    /// Records timestamp `number` inside a pass, on devices for which [`inside`] is true.
    pub fn write(&self, pass: &mut wgpu::ComputePass<'_>, number: usize) {
        pass.write_timestamp(&self.sets[number / IN_A_SET], (number % IN_A_SET) as u32);
    }

    /// Waits, and returns the timestamps in ticks of the device's clock. All must have been submitted.
    pub fn ticks(&self, device: &Device) -> Result<Vec<u64>> {
        // A separate submission, so that the copy does not add to the host's time of the measured work.
        let mut encoder = device.raw().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for (i, set) in self.sets.iter().enumerate() {
            let count = (self.count - i * IN_A_SET).min(IN_A_SET) as u32;
            encoder.resolve_query_set(set, 0..count, &self.resolved, 8 * (i * IN_A_SET) as u64);
        }
        device.submit(encoder.finish())?;
        let bytes = device.read(&self.resolved, 0, 8 * self.count as u64)?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    /// Waits, and returns the timestamps in nanoseconds since the first.
    pub fn read(&self, device: &Device) -> Result<Vec<f64>> {
        let ticks = self.ticks(device)?;
        let period = f64::from(device.queue().get_timestamp_period());
        // Signed differences: a pass may begin before the first in the list if a device overlaps passes.
        Ok(ticks.iter().map(|tick| tick.wrapping_sub(ticks[0]) as i64 as f64 * period).collect())
    }
}

/// True if the device can write timestamps inside a pass, between dispatches.
pub(in crate::gpu) fn inside(device: &Device) -> bool {
    device.raw().features().contains(wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES)
}

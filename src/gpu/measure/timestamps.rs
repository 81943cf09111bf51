//! Moments by the device's own clock, written at the borders of passes, or inside them where the device can.

use crate::error::Result;
use crate::gpu::Device;

/// The most queries that WebGPU allows in one set; the results of a set of so many end where the next may begin.
const IN_A_SET: usize = 4096;

/// Room for a number of moments.
///
/// wgpu writes them (Vulkan's BOTTOM_OF_PIPE, DX12's EndQuery) when all commands before have run, so that the difference of
/// two is the time of what lies between, whichever form they have been written in.
pub(in crate::gpu) struct Timestamps {
    sets: Vec<wgpu::QuerySet>,
    resolved: wgpu::Buffer,
    count: usize,
}

impl Timestamps {
    /// Room for `count` moments, or `None` where the device has no timestamps.
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

    /// What the descriptor of a pass wants that begins at moment 2 `number` and ends at the next.
    pub fn of_pass(&self, number: usize) -> wgpu::ComputePassTimestampWrites<'_> {
        let first = (2 * number % IN_A_SET) as u32;
        wgpu::ComputePassTimestampWrites {
            query_set: &self.sets[2 * number / IN_A_SET],
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        }
    }

    /// Records inside a pass that this is moment `number`; for devices with [`inside`].
    pub fn write(&self, pass: &mut wgpu::ComputePass<'_>, number: usize) {
        pass.write_timestamp(&self.sets[number / IN_A_SET], (number % IN_A_SET) as u32);
    }

    /// Waits, and gives the moments in ticks of the device's clock; all must have been submitted before.
    pub fn ticks(&self, device: &Device) -> Result<Vec<u64>> {
        // Not with what is timed, so that it does not make that longer for the host's clock.
        let mut encoder = device.raw().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for (i, set) in self.sets.iter().enumerate() {
            let count = (self.count - i * IN_A_SET).min(IN_A_SET) as u32;
            encoder.resolve_query_set(set, 0..count, &self.resolved, 8 * (i * IN_A_SET) as u64);
        }
        device.submit(encoder.finish())?;
        let bytes = device.read(&self.resolved, 0, 8 * self.count as u64)?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    /// Waits, and gives the moments in nanoseconds after the first.
    pub fn read(&self, device: &Device) -> Result<Vec<f64>> {
        let ticks = self.ticks(device)?;
        let period = f64::from(device.queue().get_timestamp_period());
        // As signed differences: a pass may begin before the first of the list where a device runs passes side by side.
        Ok(ticks.iter().map(|tick| tick.wrapping_sub(ticks[0]) as i64 as f64 * period).collect())
    }
}

/// Whether the device writes moments inside a pass, between its dispatches.
pub(in crate::gpu) fn inside(device: &Device) -> bool {
    device.raw().features().contains(wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES)
}

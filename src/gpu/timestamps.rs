//! When passes began and ended, by the device's own clock.

use super::Device;
use crate::error::Result;

/// The most queries that WebGPU allows in one set; the results of a set of so many end where the next may begin.
const IN_A_SET: usize = 4096;

/// Room for the beginning and the end of a number of passes.
pub(super) struct Timestamps {
    sets: Vec<wgpu::QuerySet>,
    resolved: wgpu::Buffer,
    passes: usize,
}

impl Timestamps {
    /// Room for `passes` passes, or `None` where the device has no timestamps.
    pub fn new(device: &Device, passes: usize) -> Result<Option<Self>> {
        if !device.raw().features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Ok(None);
        }
        let queries = 2 * passes.max(1);
        let set = |first: usize| {
            device.raw().create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: (queries - first).min(IN_A_SET) as u32,
            })
        };
        let sets = (0..queries).step_by(IN_A_SET).map(set).collect();
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = device.buffer("timestamps", 8 * queries as u64, usage)?;
        device.check()?;
        Ok(Some(Timestamps { sets, resolved, passes }))
    }

    /// What the descriptor of pass `number` wants.
    pub fn of_pass(&self, number: usize) -> wgpu::ComputePassTimestampWrites<'_> {
        let first = (2 * number % IN_A_SET) as u32;
        wgpu::ComputePassTimestampWrites {
            query_set: &self.sets[2 * number / IN_A_SET],
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        }
    }

    /// Records that the results go where [`Timestamps::read`] finds them; all passes must have been recorded before.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        for (i, set) in self.sets.iter().enumerate() {
            let count = (2 * self.passes - i * IN_A_SET).min(IN_A_SET) as u32;
            encoder.resolve_query_set(set, 0..count, &self.resolved, 8 * (i * IN_A_SET) as u64);
        }
    }

    /// Waits, and gives beginning and end of each pass in nanoseconds after the beginning of the first.
    pub fn read(&self, device: &Device) -> Result<Vec<[f64; 2]>> {
        let bytes = device.read(&self.resolved, 0, 16 * self.passes as u64)?;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes);
        let period = f64::from(device.queue().get_timestamp_period());
        let first = ticks.first().copied().unwrap_or_default();
        // As signed differences: a pass may begin before the first of the list where a device runs passes side by side.
        let after = |tick: u64| tick.wrapping_sub(first) as i64 as f64 * period;
        Ok(ticks.chunks_exact(2).map(|pass| [after(pass[0]), after(pass[1])]).collect())
    }
}

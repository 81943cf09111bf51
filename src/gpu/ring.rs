//! A ring of staging buffers, which uploads a batch while earlier batches are still in use.

use std::collections::VecDeque;

use super::Device;
use super::device::IN_FLIGHT;
use super::mapping::Mapping;
use crate::error::{Error, Result};

/// Batches in flight: one per step in flight, and one being filled.
const DEPTH: usize = IN_FLIGHT + 1;

/// Staging buffers of one input, used in turn.
pub(super) struct Ring {
    bytes: u64,
    /// The free buffers, oldest first. Each can be mapped once the submission that used it has run.
    free: VecDeque<(wgpu::Buffer, Mapping)>,
    filled: Option<wgpu::Buffer>,
}

impl Ring {
    pub fn new(device: &Device, name: &str, bytes: u64) -> Result<Self> {
        let mut free = VecDeque::new();
        for _ in 0..DEPTH {
            let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
            let buffer = device.buffer(&format!("{name} upload"), bytes, usage)?;
            let mapping = Mapping::new(&buffer, wgpu::MapMode::Write, None);
            free.push_back((buffer, mapping));
        }
        Ok(Ring { bytes, free, filled: None })
    }

    /// Copies `data` into the next staging buffer, after waiting for the device to finish with it.
    pub fn fill(&mut self, device: &Device, data: &[u8]) -> Result<()> {
        // A second fill before a run replaces the first content.
        self.recycle(None);
        // There is one more than submissions in flight.
        let no_buffer = || Error::Validation("an upload found no staging buffer that is free".into());
        let (buffer, mut mapping) = self.free.pop_front().ok_or_else(no_buffer)?;
        mapping.wait(device)?;
        let lost = |error: wgpu::MapRangeError| Error::DeviceLost(format!("an upload failed: {error}"));
        let mut view = buffer.slice(..).get_mapped_range_mut().map_err(lost)?;
        view.slice(..data.len()).copy_from_slice(data);
        drop(view);
        buffer.unmap();
        self.filled = Some(buffer);
        Ok(())
    }

    /// Records the copy of the filled buffer, if there is one.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder, to: &wgpu::Buffer, offset: u64) {
        if let Some(buffer) = &self.filled {
            encoder.copy_buffer_to_buffer(buffer, 0, to, offset, self.bytes);
        }
    }

    /// Marks the copy as submitted. The staging buffer becomes free when that submission has run.
    pub fn submitted(&mut self, index: &wgpu::SubmissionIndex) {
        self.recycle(Some(index));
    }

    /// Frees the filled buffer once the submission that reads it has run, or at once if there is none.
    fn recycle(&mut self, used_by: Option<&wgpu::SubmissionIndex>) {
        let Some(buffer) = self.filled.take() else { return };
        let mapping = Mapping::new(&buffer, wgpu::MapMode::Write, used_by.cloned());
        match used_by {
            Some(_) => self.free.push_back((buffer, mapping)),
            None => self.free.push_front((buffer, mapping)),
        }
    }
}

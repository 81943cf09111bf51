//! Asynchronous readback of a few values while the device continues.

use super::Device;
use super::failure::locked;
use super::mapping::Mapping;
use crate::error::{Error, Result};

/// The content of a buffer at the time of the request, available once the work submitted before has run.
pub struct Readback {
    device: Device,
    bytes: u64,
    /// The staging copy; `None` after it was read.
    copy: Option<(wgpu::Buffer, Mapping)>,
}

impl Readback {
    /// Requests `bytes` bytes of `from`, without waiting. After the first few requests no buffer is created.
    pub(super) fn new(device: &Device, from: &wgpu::Buffer, offset: u64, bytes: u64) -> Result<Self> {
        let spare = {
            let mut spare = locked(device.spare());
            spare.iter().position(|buffer| buffer.size() == bytes).map(|at| spare.swap_remove(at))
        };
        let buffer = match spare {
            Some(buffer) => buffer,
            None => {
                let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
                device.buffer("readback under way", bytes, usage)?
            }
        };
        let mut encoder = device.raw().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(from, offset, &buffer, 0, bytes);
        let index = device.submit_part(encoder.finish())?;
        let mapping = Mapping::new(&buffer, wgpu::MapMode::Read, Some(index));
        Ok(Readback { device: device.clone(), bytes, copy: Some((buffer, mapping)) })
    }

    /// Returns the bytes if they have arrived. They are returned once.
    pub fn poll(&mut self) -> Result<Option<Vec<u8>>> {
        let here = match &mut self.copy {
            Some((_, mapping)) => mapping.poll(&self.device)?,
            None => false,
        };
        if here { self.take().map(Some) } else { Ok(None) }
    }

    /// Waits for the work submitted before the request, and returns the bytes. Later work may still be running.
    pub fn wait(&mut self) -> Result<Vec<u8>> {
        if let Some((_, mapping)) = &mut self.copy {
            mapping.wait(&self.device)?;
        }
        self.take()
    }

    fn take(&mut self) -> Result<Vec<u8>> {
        let failed = |reason: String| Error::DeviceLost(format!("a readback failed: {reason}"));
        let (buffer, _) = self.copy.take().ok_or_else(|| failed("it was read before".into()))?;
        let view = buffer.slice(..self.bytes).get_mapped_range().map_err(|error| failed(error.to_string()))?;
        let data = view.to_vec();
        drop(view);
        buffer.unmap();
        locked(self.device.spare()).push(buffer);
        Ok(data)
    }
}

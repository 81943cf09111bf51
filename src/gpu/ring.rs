//! A ring of staging buffers, which brings a batch to the device while the one before it is still being used.

use std::collections::VecDeque;

use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};

use super::Device;
use crate::error::{Error, Result};

/// Batches under way at once: one being filled, one waiting, one in use.
const DEPTH: usize = 3;

type Mapped = OneshotReceiver<Result<(), wgpu::BufferAsyncError>>;

/// Staging buffers for one input, used in turn.
pub(super) struct Ring {
    bytes: u64,
    free: VecDeque<(wgpu::Buffer, Option<Mapped>)>,
    filled: Option<wgpu::Buffer>,
}

impl Ring {
    pub fn new(device: &Device, name: &str, bytes: u64) -> Result<Self> {
        let mut free = VecDeque::new();
        for _ in 0..DEPTH {
            let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
            let buffer = device.buffer(&format!("{name} upload"), bytes, usage)?;
            let mapped = map(&buffer);
            free.push_back((buffer, Some(mapped)));
        }
        Ok(Ring { bytes, free, filled: None })
    }

    /// Copies `data` into the next staging buffer, waiting for the device to be done with it.
    pub fn fill(&mut self, device: &Device, data: &[u8]) -> Result<()> {
        if let Some(unused) = self.filled.take() {
            // Filled twice before a run: the first content is not wanted any more.
            let mapped = map(&unused);
            self.free.push_front((unused, Some(mapped)));
        }
        let Some((buffer, mapped)) = self.free.pop_front() else { return Ok(()) };
        if let Some(mapped) = mapped {
            let lost = |reason: String| Error::DeviceLost(format!("an upload failed: {reason}"));
            let done = loop {
                device.raw().poll(wgpu::PollType::Poll).map_err(|error| lost(error.to_string()))?;
                device.check()?;
                if let Some(done) = pollster::block_on(async { poll_once(&mapped).await }) {
                    break done;
                }
                device.wait()?;
            };
            done.map_err(|error| lost(error.to_string()))?;
            let mut view = buffer.slice(..).get_mapped_range_mut().map_err(|error| lost(error.to_string()))?;
            view.slice(..data.len()).copy_from_slice(data);
        }
        buffer.unmap();
        self.filled = Some(buffer);
        Ok(())
    }

    /// Records the copy of what was filled, if anything was.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder, to: &wgpu::Buffer, offset: u64) {
        if let Some(buffer) = &self.filled {
            encoder.copy_buffer_to_buffer(buffer, 0, to, offset, self.bytes);
        }
    }

    /// After the copy was submitted: the staging buffer can be filled again when the device is done with it.
    pub fn submitted(&mut self) {
        if let Some(buffer) = self.filled.take() {
            let mapped = map(&buffer);
            self.free.push_back((buffer, Some(mapped)));
        }
    }
}

fn map(buffer: &wgpu::Buffer) -> Mapped {
    let (sender, receiver) = oneshot_channel();
    buffer.map_async(wgpu::MapMode::Write, .., move |result| {
        // The ring may be gone by then.
        let _ = sender.send(result);
    });
    receiver
}

/// The result if it is there already.
async fn poll_once(mapped: &Mapped) -> Option<Result<(), wgpu::BufferAsyncError>> {
    use std::future::Future;
    let mut future = std::pin::pin!(mapped.receive());
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        std::task::Poll::Ready(result) => std::task::Poll::Ready(result),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

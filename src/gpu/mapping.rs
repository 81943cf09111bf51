//! Asynchronous mapping of a buffer into host memory.

use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};

use super::Device;
use crate::error::{Error, Result};

/// A pending map request, which completes when the submission that uses the buffer has run.
pub(super) struct Mapping {
    receiver: OneshotReceiver<Result<(), wgpu::BufferAsyncError>>,
    /// The submission to wait for; `None` if nothing uses the buffer.
    after: Option<wgpu::SubmissionIndex>,
    here: bool,
}

impl Mapping {
    /// Requests a mapping of `buffer`, last used by the submission `after`.
    pub fn new(buffer: &wgpu::Buffer, mode: wgpu::MapMode, after: Option<wgpu::SubmissionIndex>) -> Self {
        let (sender, receiver) = oneshot_channel();
        buffer.map_async(mode, .., move |result| {
            // The receiver may be gone by then.
            let _ = sender.send(result);
        });
        Mapping { receiver, after, here: false }
    }

    /// True if the mapping is complete.
    pub fn poll(&mut self, device: &Device) -> Result<bool> {
        if !self.here {
            device.poll()?;
            let Some(result) = pollster::block_on(now(&self.receiver)) else { return Ok(false) };
            device.check()?;
            let lost = |reason: String| Error::DeviceLost(format!("a mapping failed: {reason}"));
            match result {
                Some(Ok(())) => self.here = true,
                Some(Err(error)) => return Err(lost(error.to_string())),
                None => return Err(lost("the device dropped it".into())),
            }
        }
        Ok(true)
    }

    /// Waits for the mapping, and so for the submission that uses the buffer, but for none after it.
    pub fn wait(&mut self, device: &Device) -> Result<()> {
        while !self.poll(device)? {
            match &self.after {
                Some(index) => device.wait_for(index)?,
                // Another thread is polling and about to run the callback.
                None => std::thread::yield_now(),
            }
        }
        Ok(())
    }
}

/// The value sent, if it has arrived; `Some(None)` if none will.
async fn now<T>(receiver: &OneshotReceiver<T>) -> Option<Option<T>> {
    use std::future::Future;
    use std::task::Poll;
    let mut future = std::pin::pin!(receiver.receive());
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

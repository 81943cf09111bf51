//! The memory of a buffer on its way to the host.

use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};

use super::Device;
use crate::error::{Error, Result};

/// A request for a buffer's memory, which comes when the submission that uses the buffer has run.
pub(super) struct Mapping {
    receiver: OneshotReceiver<Result<(), wgpu::BufferAsyncError>>,
    /// The submission; `None` if nothing uses the buffer.
    after: Option<wgpu::SubmissionIndex>,
    here: bool,
}

impl Mapping {
    /// Asks for the memory of `buffer`, which the submission `after` was the last to use.
    pub fn new(buffer: &wgpu::Buffer, mode: wgpu::MapMode, after: Option<wgpu::SubmissionIndex>) -> Self {
        let (sender, receiver) = oneshot_channel();
        buffer.map_async(mode, .., move |result| {
            // Who asked may be gone by then.
            let _ = sender.send(result);
        });
        Mapping { receiver, after, here: false }
    }

    /// Whether it is there.
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

    /// Waits for it, and so for the submission that uses the buffer, but for none after that.
    pub fn wait(&mut self, device: &Device) -> Result<()> {
        while !self.poll(device)? {
            match &self.after {
                Some(index) => device.wait_for(index)?,
                // Another thread polls at the same time, and is about to call back.
                None => std::thread::yield_now(),
            }
        }
        Ok(())
    }
}

/// What has been sent, if it is there already; `Some(None)` if nothing will come.
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

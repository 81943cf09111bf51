//! Errors that occurred on a device, as typed errors.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};

/// The first error since the last check, and the loss of the device.
#[derive(Default)]
pub(super) struct Failure {
    lost: Mutex<Option<String>>,
    first: Mutex<Option<Error>>,
}

impl Failure {
    /// Records the errors of `device` from now on.
    pub fn of(device: &wgpu::Device) -> Arc<Self> {
        let failure = Arc::new(Failure::default());
        let seen = Arc::clone(&failure);
        device.on_uncaptured_error(Arc::new(move |error| {
            log::error!("{error}");
            locked(&seen.first).get_or_insert(typed(error));
        }));
        let seen = Arc::clone(&failure);
        device.set_device_lost_callback(move |reason, message| {
            *locked(&seen.lost) = Some(format!("{reason:?}: {message}"));
        });
        failure
    }

    /// Marks the device as lost at once; wgpu's callback comes only with the next poll.
    pub fn lose(&self, reason: &str) {
        locked(&self.lost).get_or_insert_with(|| reason.into());
    }

    /// Returns the first error since the last call. A lost device stays lost.
    pub fn check(&self) -> Result<()> {
        if let Some(reason) = locked(&self.lost).clone() {
            return Err(Error::DeviceLost(reason));
        }
        match locked(&self.first).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The data under these locks is always consistent, so a panic elsewhere is no reason to stop.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn typed(error: wgpu::Error) -> Error {
    match error {
        wgpu::Error::OutOfMemory { source } => Error::OutOfMemory(source.to_string()),
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            Error::Validation(description)
        }
    }
}

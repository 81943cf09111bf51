//! What has gone wrong on a device, as typed errors.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};

/// The first thing that went wrong since somebody asked, and whether the device is gone.
#[derive(Default)]
pub(super) struct Failure {
    lost: Mutex<Option<String>>,
    first: Mutex<Option<Error>>,
}

impl Failure {
    /// What goes wrong on `device` from now on.
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

    /// Counts the device as lost without waiting for the callback, which comes only with the next poll.
    pub fn lose(&self, reason: &str) {
        locked(&self.lost).get_or_insert_with(|| reason.into());
    }

    /// What has gone wrong since this was last asked; a device that is lost stays lost.
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
    // What is kept under these locks is whole at every moment, so a panic elsewhere is no reason to stop.
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

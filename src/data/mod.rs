//! Data sets and sources. [`open`] reads the data set in a folder, the generators create synthetic images, and a
//! [`Dataset`] is a custom data set. An [`ImageSet`] is in host memory. Sources make batches, on the device or
//! prefetched.

pub mod cifar;
mod dataset;
mod dataset_source;
#[cfg(feature = "download")]
pub mod download;
mod draws;
pub mod folder;
mod formats;
pub mod idx;
mod image_set;
pub mod images;
mod normalisation;
pub mod shapes;
mod source;
pub mod synthetic;

pub use crate::ops::augmentation::{Augmentation, ColorJitter, ResizedCrop};
pub use crate::ops::gather::Augment;
pub use dataset::{Dataset, Subset};
pub use dataset_source::DatasetSource;
pub use folder::{FolderDataset, FolderOptions};
pub use formats::{Format, Opened, detect, open, open_lazily};
pub use image_set::ImageSet;
use image_set::misplaced_label;
pub use images::{ImageOptions, Resize, image_file};
pub use normalisation::Normalisation;
pub use source::{Batch, BatchSink, BatchSource, ResidentSource, epoch_batches, ordered_batches};
pub(crate) use source::{images_name, labels_name};

use crate::error::{Error, Result};
use crate::rng::Rng;

/// Splits the indices below `len` into (training, validation), as [`ImageSet::split_validation`] divides its images.
fn split(len: usize, fraction: f64, seed: u64) -> Result<(Vec<u32>, Vec<u32>)> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(Error::config("validation fraction", format!("is {fraction}, must be above 0 and below 1")));
    }
    let held_out = (len as f64 * fraction).round() as usize;
    if held_out == 0 || held_out >= len {
        return Err(Error::config(
            "validation fraction",
            format!(
                "{fraction} of {} images holds out {held_out}; training and validation need at least one each",
                len
            ),
        ));
    }
    let order = Rng::new(seed, "validation split").permutation(len);
    let (validation, training) = order.split_at(held_out);
    Ok((training.to_vec(), validation.to_vec()))
}

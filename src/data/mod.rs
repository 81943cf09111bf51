//! Data sets and sources. [`open`] reads the data set in a folder, the generators create synthetic images, and a
//! [`Dataset`] is a custom data set. An [`ImageSet`] is in host memory. Sources make batches, on the device or
//! prefetched.

mod arrays;
pub mod cifar;
mod conversion;
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
mod label_map;
mod normalisation;
mod npy;
mod overview;
mod pixels;
pub mod shapes;
mod source;
mod split;
pub mod synthetic;
mod table;
mod uploads;
mod views;
mod whole;

pub use crate::ops::augmentation::{Augmentation, ColorJitter, ResizedCrop};
pub use crate::ops::gather::Augment;
pub(crate) use dataset::Bytes;
pub use dataset::{Cut, Dataset, Subset};
pub use dataset_source::DatasetSource;
pub use folder::{FolderDataset, FolderOptions, ImageFiles, PassedOver};
pub use formats::{Format, Opened, detect, open, open_lazily};
pub use image_set::ImageSet;
pub use images::{ImageOptions, Pixels, Resize, image_file};
pub use normalisation::Normalisation;
pub use overview::{ClassCount, Overview};
pub use source::{Batch, BatchSink, BatchSource, ResidentSource, balanced_batches, epoch_batches, ordered_batches};
pub(crate) use source::{images_name, labels_name};
pub use split::{DataPart, Division, Shares, Split, SplitKind, split_by_class};
pub use views::{ConcatDataset, Relabelled};

//! Batch preparation: gathering from a data set, augmentation, mixup.

pub mod augmentation;
pub mod gather;
pub mod mixup;
pub mod transform;

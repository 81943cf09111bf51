//! What makes a batch: images collected from a data set, changed at random, mixed.

pub mod augmentation;
pub mod gather;
pub mod mixup;
pub mod transform;

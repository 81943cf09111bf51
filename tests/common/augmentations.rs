//! Random augmentations that are allowed for the images they come with.

use tilegrad::data::{Augmentation, ColorJitter, ResizedCrop};

/// Each augmentation alone, then all together, with what failures call it.
pub fn each() -> Vec<(&'static str, Augmentation)> {
    let none = Augmentation::default();
    let jitter = ColorJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4 };
    let only = |brightness, contrast, saturation| Augmentation {
        jitter: ColorJitter { brightness, contrast, saturation },
        ..none
    };
    let resized = Some(ResizedCrop::default());
    vec![
        ("cutout", Augmentation { cutout: 8, ..none }),
        ("resized crop", Augmentation { resized_crop: resized, ..none }),
        ("brightness", only(0.4, 0.0, 0.0)),
        ("contrast", only(0.0, 0.4, 0.0)),
        ("saturation", only(0.0, 0.0, 0.4)),
        ("strong jitter", only(7.0, 7.0, 7.0)),
        ("crop, flip and the rest", Augmentation { padding: 4, flip: 0.5, jitter, cutout: 7, ..none }),
        ("resized crop and the rest", Augmentation { flip: 0.5, resized_crop: resized, jitter, cutout: 8, ..none }),
    ]
}

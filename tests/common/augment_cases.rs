//! Random augmentations that are allowed for the images they come with.

#![allow(dead_code, reason = "each test binary that includes this file uses a part of it")]

use tilegrad::data::{Augmentation, ColorJitter, ResizedCrop};

use crate::cases::Draw;

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

/// An augmentation number `seed` for images of [channels, height, width].
pub fn augmentation(seed: u64, [channels, height, width]: [usize; 3]) -> Augmentation {
    let draw = Draw::new(seed, "augmentation case");
    let resized_crop = draw.coin().then(|| ResizedCrop {
        scale: [[0.08, 1.0], [0.2, 0.6], [1.0, 1.0]][draw.between(0, 2)],
        ratio: [[3.0 / 4.0, 4.0 / 3.0], [1.0, 1.0], [0.1, 0.3], [4.0, 9.0]][draw.between(0, 3)],
    });
    let colours = [1, 3].contains(&channels);
    let strength = || [0.0, 0.1, 0.4, 1.0, 6.5][if colours { draw.between(0, 4) } else { 0 }];
    Augmentation {
        padding: if resized_crop.is_some() { 0 } else { draw.between(0, 5) },
        flip: [0.0, 0.5, 1.0][draw.between(0, 2)],
        resized_crop,
        jitter: ColorJitter { brightness: strength(), contrast: strength(), saturation: strength() },
        cutout: [0, 1, 4, 7, 2 * height.max(width)][draw.between(0, 4)].min(2 * height.max(width)),
    }
}

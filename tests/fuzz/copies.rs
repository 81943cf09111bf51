//! Images in memory are there once while they are read.

use std::path::Path;

use tilegrad::data::{FolderOptions, Opened, idx, open};

use crate::harness::alone;
use crate::memory::measured;
use crate::scratch::Scratch;
use crate::seeds;

const SIDE: u32 = 96;
const COUNT: u32 = 400;

/// Memory at most while `read` reads, as a multiple of the images.
fn times<T>(read: impl FnOnce() -> T, bytes: fn(&T) -> usize) -> f64 {
    let (result, taken) = measured(read);
    taken.alive as f64 / bytes(&result) as f64
}

fn whole(path: &Path) -> f64 {
    let bytes = |opened: &Opened| {
        [&opened.train, &opened.validation, &opened.test].iter().map(|set| set.images.len()).sum::<usize>()
    };
    times(|| open(path, &FolderOptions::default()).unwrap(), bytes)
}

#[test]
fn images_are_in_memory_once_while_they_are_read() {
    let _alone = alone();
    let scratch = Scratch::new("copies");
    for i in 0..COUNT {
        let image = image::RgbImage::from_fn(SIDE, SIDE, |x, y| image::Rgb([i as u8, (x * y) as u8, (i / 256) as u8]));
        image.save(scratch.path(&format!("folder/{}/{i}.png", i % 2))).unwrap();
    }
    let share = whole(&scratch.join("folder"));
    assert!(share < 1.3, "a folder takes {share} times its images");

    let pixels = vec![7; (COUNT * SIDE * SIDE * 3) as usize];
    scratch.write("npy/images.npy", seeds::npy("|u1", &format!("({COUNT}, {SIDE}, {SIDE}, 3)"), &pixels));
    let labels: Vec<u8> = (0..COUNT).map(|i| (i % 2) as u8).collect();
    scratch.write("npy/labels.npy", seeds::npy("|u1", &format!("({COUNT},)"), &labels));
    let share = whole(&scratch.join("npy"));
    assert!(share < 1.3, "arrays take {share} times their images");

    for (half, count) in [("train", 4 * COUNT), ("t10k", COUNT)] {
        scratch.write(&format!("idx/{half}-images-idx3-ubyte"), seeds::idx(0x803, &[count, SIDE, SIDE]));
        scratch.write(&format!("idx/{half}-labels-idx1-ubyte"), seeds::idx(0x801, &[count]));
    }
    let share =
        times(|| idx::read(&scratch.join("idx")).unwrap(), |(train, test)| train.images.len() + test.images.len());
    assert!(share < 1.3, "IDX files take {share} times their images");
}

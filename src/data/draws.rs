//! Random choices of the generators of synthetic images.
//!
//! Only additions, multiplications, divisions and square roots are used, which IEEE 754 rounds identically everywhere.
//! A seed therefore gives the same bytes on every machine.

use crate::rng::Rng;

/// Class of image `i`. Each aligned run of `classes` images holds every class once, in random order.
pub fn class_of(seed: u64, i: usize, classes: usize) -> usize {
    let block = i / classes;
    let order = Rng::new(seed, &format!("synthetic classes {block}")).permutation(classes);
    order[i % classes] as usize
}

/// The sequence of random numbers of one image.
pub struct Draws {
    rng: Rng,
    next: u64,
}

impl Draws {
    /// Creates the sequence of `image` in the stream called `stream`.
    pub fn new(seed: u64, stream: &str, image: usize) -> Self {
        Draws {
            rng: Rng::new(seed, stream),
            // An image draws fewer than 65,536 numbers, so no two images share one.
            next: (image as u64) << 16,
        }
    }

    /// Draws four random words.
    pub fn words(&mut self) -> [u32; 4] {
        self.next += 1;
        self.rng.words(self.next)
    }

    /// Draws a uniform number in [`low`, `high`).
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        self.next += 1;
        low + (high - low) * self.rng.uniform(self.next)
    }

    /// Draws a nearly normal number with mean 0 and standard deviation 1, within 3.5: a sum of four uniform numbers,
    /// because the logarithm and cosine of [`Rng::normal`] differ between platforms.
    pub fn normal(&mut self) -> f32 {
        let sum: u32 = self.words().iter().map(|word| word >> 8).sum();
        (sum as f32 / 16_777_216.0 - 2.0) * 1.732_050_8
    }

    /// Draws an integer in 0..`bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.next += 1;
        self.rng.below(self.next, bound as u32) as usize
    }
}

//! Colour images for the examples with large networks: CIFAR-10, a folder of images by class, or synthetic shapes.

use std::path::Path;

use clap::Args;
use tilegrad::Result;
use tilegrad::data::{Augment, ImageSet, cifar, folder, shapes};

/// Synthetic images to train on, validation included, and to test on.
const SYNTHETIC: [usize; 2] = [5_000, 1_000];

/// The options of examples with colour images.
#[derive(Args, Clone, Copy, Debug)]
pub struct Colour {
    /// Crops at random after padding by 4 pixels, and flips half of the images: an image is hardly ever seen twice alike.
    #[arg(long)]
    pub augment: bool,

    /// Channels of the first stage; the others are multiples of it [default: 64 with --data, else 8].
    #[arg(long, value_name = "N")]
    pub width: Option<usize>,

    /// Leaves out files of --data that can't be read, in place of stopping at the first.
    #[arg(long)]
    pub skip_bad: bool,
}

impl Colour {
    /// Channels of the first stage.
    pub fn width(&self, data: Option<&Path>) -> Result<usize> {
        match self.width {
            Some(0) => Err(tilegrad::Error::config("width", "must be at least 1, it is 0")),
            Some(width) => Ok(width),
            None => Ok(if data.is_some() { 64 } else { 8 }),
        }
    }

    /// What is done to the images that are trained on.
    pub fn augment(&self) -> Option<Augment> {
        self.augment.then_some(Augment { padding: 4, flip: 0.5 })
    }

    /// What the images are, those to train on and those to test on.
    pub fn images(&self, data: Option<&Path>, seed: u64) -> Result<(String, ImageSet, ImageSet)> {
        let Some(dir) = data else {
            let all = shapes::shapes(seed, SYNTHETIC.iter().sum());
            let indices: Vec<u32> = (0..all.len() as u32).collect();
            let (train, test) = indices.split_at(SYNTHETIC[0]);
            return Ok(("synthetic shapes".into(), all.subset(train), all.subset(test)));
        };
        if dir.join("test_batch.bin").exists() || dir.join("data_batch_1.bin").exists() {
            let (train, test) = cifar::read(dir)?;
            return Ok((format!("CIFAR-10 of {}", dir.display()), train, test));
        }
        let options = folder::FolderOptions { skip_bad: self.skip_bad, seed, ..Default::default() };
        let read = folder::read(dir, &options)?;
        for error in &read.skipped {
            eprintln!("skipped  {error}");
        }
        Ok((format!("images of {}", dir.display()), read.train, read.test))
    }
}

//! What the examples with large networks share: their options, and their colour images, which are CIFAR-10, a folder of
//! images by class, or synthetic shapes.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use tilegrad::data::{Augment, ImageSet, Normalisation, cifar, folder, shapes};
use tilegrad::nn::Module;
use tilegrad::{Error, Result};

use super::{Defaults, Options, Problem, run};

/// Synthetic images to train on, validation included, and to test on.
const SYNTHETIC: [usize; 2] = [5_000, 1_000];

/// The options of examples with colour images.
#[derive(Args, Clone, Debug)]
pub struct Source {
    /// Those that all examples share.
    #[command(flatten)]
    pub options: Options,

    /// Crops at random after padding by 4 pixels, and flips half of the images: an image is hardly ever seen twice alike.
    #[arg(long)]
    augment: bool,

    /// Leaves out files of --data that can't be read, in place of stopping at the first.
    #[arg(long)]
    skip_bad: bool,

    /// Scales the images of a folder by class to N by N pixels, their proportions not kept; without it all must have one
    /// size.
    #[arg(long, value_name = "N")]
    resize: Option<usize>,
}

/// The options of examples that train a large network from the start.
#[derive(Args, Clone, Debug)]
pub struct Colour {
    #[command(flatten)]
    source: Source,

    /// Channels of the first stage; the others are multiples of it [default: 64 with --data, else 8].
    #[arg(long, value_name = "N")]
    width: Option<usize>,
}

/// What a network is made for.
pub struct Images {
    /// How many classes there are.
    pub classes: usize,
    /// Channels of the first stage.
    pub width: usize,
    /// Whether the images would be gone after the layers that are made for 224 by 224.
    pub small: bool,
}

/// Trains the network that `model` makes.
pub fn train(colour: &Colour, model: impl FnOnce(&Images) -> Result<Box<dyn Module>>) -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error,wgpu_hal=off")).init();
    let options = &colour.source.options;
    let epochs = if options.data.is_some() { 20 } else { 4 };
    let defaults = Defaults { epochs, lr: 0.05, momentum: 0.9, schedule: "onecycle" };
    run(options, &defaults, |options| {
        let width = colour.width()?;
        let (description, train, test) = colour.images(options)?;
        let small = train.height.max(train.width) <= 64;
        let model = model(&Images { classes: train.classes, width, small })?;
        let (normalise, augment) = (Normalisation::of, colour.source.augment());
        Ok(Problem { model, description, train, test, normalise, augment, weights: None })
    })
}

impl Colour {
    fn width(&self) -> Result<usize> {
        match self.width {
            Some(0) => Err(Error::config("width", "must be at least 1, it is 0")),
            Some(width) => Ok(width),
            None => Ok(if self.source.options.data.is_some() { 64 } else { 8 }),
        }
    }

    /// What the images are, those to train on and those to test on.
    fn images(&self, options: &Options) -> Result<(String, ImageSet, ImageSet)> {
        let Some(dir) = options.data.as_deref() else {
            let all = shapes::shapes(options.seed, SYNTHETIC.iter().sum());
            let indices: Vec<u32> = (0..all.len() as u32).collect();
            let (train, test) = indices.split_at(SYNTHETIC[0]);
            return Ok(("synthetic shapes".into(), all.subset(train), all.subset(test)));
        };
        self.source.read(dir)
    }
}

impl Source {
    /// What is done to the images that are trained on.
    pub fn augment(&self) -> Option<Augment> {
        self.augment.then_some(Augment { padding: 4, flip: 0.5 })
    }

    /// What the images in `dir` are, those to train on and those to test on.
    pub fn read(&self, dir: &Path) -> Result<(String, ImageSet, ImageSet)> {
        if dir.join("test_batch.bin").exists() || dir.join("data_batch_1.bin").exists() {
            if self.resize.is_some() {
                return Err(Error::config(
                    "resize",
                    format!("is for folders of images, {} is CIFAR-10", dir.display()),
                ));
            }
            let (train, test) = cifar::read(dir)?;
            return Ok((format!("CIFAR-10 of {}", dir.display()), train, test));
        }
        let resize = self.resize.map(|side| [side; 2]);
        let seed = self.options.seed;
        let settings = folder::FolderOptions { resize, skip_bad: self.skip_bad, seed, ..Default::default() };
        let read = folder::read(dir, &settings)?;
        for error in &read.skipped {
            eprintln!("skipped  {error}");
        }
        Ok((format!("images of {}", dir.display()), read.train, read.test))
    }
}

//! What the examples with large networks share: their options, and their colour images, which are CIFAR-10, a folder of
//! images by class, or synthetic shapes.

use std::process::ExitCode;

use clap::Args;
use tilegrad::Result;
use tilegrad::data::{Augment, ImageSet, cifar, folder, shapes};
use tilegrad::nn::Module;

use super::{Defaults, Options, Problem, run};

/// Synthetic images to train on, validation included, and to test on.
const SYNTHETIC: [usize; 2] = [5_000, 1_000];

/// The options of examples with colour images.
#[derive(Args, Clone, Debug)]
pub struct Colour {
    #[command(flatten)]
    options: Options,

    /// Crops at random after padding by 4 pixels, and flips half of the images: an image is hardly ever seen twice alike.
    #[arg(long)]
    augment: bool,

    /// Channels of the first stage; the others are multiples of it [default: 64 with --data, else 8].
    #[arg(long, value_name = "N")]
    width: Option<usize>,

    /// Leaves out files of --data that can't be read, in place of stopping at the first.
    #[arg(long)]
    skip_bad: bool,
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
    let epochs = if colour.options.data.is_some() { 20 } else { 4 };
    let defaults = Defaults { epochs, lr: 0.05, momentum: 0.9, schedule: "onecycle" };
    run(&colour.options, &defaults, |options| {
        let width = colour.width()?;
        let (description, train, test) = colour.images(options)?;
        let small = train.height.max(train.width) <= 64;
        let model = model(&Images { classes: train.classes, width, small })?;
        let augment = colour.augment.then_some(Augment { padding: 4, flip: 0.5 });
        Ok(Problem { model, description, train, test, normalise: true, augment })
    })
}

impl Colour {
    fn width(&self) -> Result<usize> {
        match self.width {
            Some(0) => Err(tilegrad::Error::config("width", "must be at least 1, it is 0")),
            Some(width) => Ok(width),
            None => Ok(if self.options.data.is_some() { 64 } else { 8 }),
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
        if dir.join("test_batch.bin").exists() || dir.join("data_batch_1.bin").exists() {
            let (train, test) = cifar::read(dir)?;
            return Ok((format!("CIFAR-10 of {}", dir.display()), train, test));
        }
        let settings = folder::FolderOptions { skip_bad: self.skip_bad, seed: options.seed, ..Default::default() };
        let read = folder::read(dir, &settings)?;
        for error in &read.skipped {
            eprintln!("skipped  {error}");
        }
        Ok((format!("images of {}", dir.display()), read.train, read.test))
    }
}

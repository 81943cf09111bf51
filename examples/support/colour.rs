//! Shared parts of the examples with large networks: their options, and their colour images (CIFAR-10, a folder of
//! images by class, or synthetic shapes).

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tilegrad::data::{
    self, Augmentation, ColorJitter, Normalisation, Opened, Overview, Resize, ResizedCrop, Split, shapes,
};
use tilegrad::nn::models::NamedModel;
use tilegrad::shape::ImageSize;
use tilegrad::{Error, Result};

use super::{Defaults, Options, Problem, Reading, Supply, run};

/// Number of synthetic images for training, validation included, and for the test.
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

    /// How likely an image is flipped from left to right; 0 where the sides tell classes apart [default: 0.5 with --augment or
    /// --resized-crop, else 0].
    #[arg(long, value_name = "P")]
    flip: Option<f32>,

    /// Pixels of padding before the random crop; 0 for no crop [default: 4 with --augment, else 0].
    #[arg(long, value_name = "N", conflicts_with = "resized_crop")]
    padding: Option<usize>,

    /// Sets a square of N by N pixels at a random place to the mean.
    #[arg(long, value_name = "N", default_value_t = 0)]
    cutout: usize,

    /// Takes a random part of each image, resized to the whole, in place of the padded crop. With --stream it is cut out of
    /// the photo before scaling. In memory, training images of --resize N keep a short side of 8/7 of N, and the part is cut
    /// out of those; --stream is sharper, and decodes all photos in each epoch.
    #[arg(long)]
    resized_crop: bool,

    /// Changes brightness, contrast and saturation at random by up to this part.
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    jitter: f32,

    /// Decodes the images of a folder while training goes on, for more of them than fit into memory.
    #[arg(long)]
    stream: bool,

    /// Keeps the decoded images of a folder in this file, which the next run reads in their place. With --stream and
    /// --resized-crop, training reads the photos all the same.
    #[arg(long, value_name = "FILE")]
    cache: Option<PathBuf>,

    /// Folder with the images that a .csv file lists, if they don't lie beside it.
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,

    /// Leaves out files of --data that can't be read, in place of stopping at the first.
    #[arg(long)]
    skip_bad: bool,

    /// How image files are read.
    #[command(flatten)]
    pub reading: Reading,
}

/// The options of examples that train a large network from the start.
#[derive(Args, Clone, Debug)]
pub struct Colour {
    #[command(flatten)]
    pub source: Source,

    /// Channels of the first stage; the others are multiples of it [default: 64 with --data, else 8].
    #[arg(long, value_name = "N")]
    pub width: Option<usize>,
}

/// The properties of the images that determine a network.
pub struct Images {
    /// Number of classes.
    pub classes: usize,
    /// Channels of the first stage.
    pub width: usize,
    /// True if a network for 224 by 224 would reduce the images to nothing.
    pub small: bool,
}

/// Trains the network that `model` returns.
pub fn train(mut colour: Colour, toml: String, model: impl FnOnce(&Images) -> Result<NamedModel>) -> ExitCode {
    colour.source.options.toml = toml;
    let options = &colour.source.options;
    let epochs = if options.data.is_some() || options.download.is_some() { 20 } else { 4 };
    let defaults = Defaults { epochs, lr: 0.05, momentum: 0.9, schedule: "onecycle" };
    run(options, &defaults, |options| {
        let width = colour.width()?;
        let read = colour.images(options)?;
        let (size, normalisation) = (read.size, read.normalisation);
        let small = size.height.max(size.width) <= 64;
        let named = model(&Images { classes: read.train.classes(), width, small })?.channels(size.channels);
        Ok(Problem {
            model: named.build()?,
            named: Some(named),
            images: read,
            normalisation,
            augment: colour.source.augment(),
            weights: None,
        })
    })
}

/// Images read from files, or generated.
pub struct Read {
    /// Description of the images.
    pub overview: Overview,
    /// Training images.
    pub train: Supply,
    /// Validation images.
    pub validation: Supply,
    /// Test images.
    pub test: Supply,
    /// Origin of validation and test images.
    pub split: Split,
    /// How image files are brought to their size.
    pub resize: Option<Resize>,
    /// The size of the images that the network sees. Training images in memory may be larger.
    pub size: ImageSize,
    /// The usual normalisation of a known set.
    pub normalisation: Option<Normalisation>,
}

impl<D: Into<Supply>> From<Opened<D>> for Read {
    fn from(opened: Opened<D>) -> Self {
        for error in &opened.skipped {
            eprintln!("skipped  {error}");
        }
        let test: Supply = opened.test.into();
        Read {
            overview: opened.overview,
            train: opened.train.into(),
            validation: opened.validation.into(),
            split: opened.split,
            resize: None,
            size: test.image_size(),
            test,
            normalisation: opened.normalisation,
        }
    }
}

impl Colour {
    fn width(&self) -> Result<usize> {
        match self.width {
            Some(0) => Err(Error::config("width", "must be at least 1, it is 0")),
            Some(width) => Ok(width),
            None if self.source.options.data.is_some() || self.source.options.download.is_some() => Ok(64),
            None => Ok(8),
        }
    }

    fn images(&self, options: &Options) -> Result<Read> {
        match self.source.read()? {
            Some(read) => Ok(read),
            None => synthetic(options),
        }
    }
}

/// Generates synthetic shapes. Training and test images are two parts of one sequence, so no image is in both.
pub fn synthetic(options: &Options) -> Result<Read> {
    let all = shapes::shapes(options.seed, SYNTHETIC.iter().sum());
    let indices: Vec<u32> = (0..all.len() as u32).collect();
    let (train, test) = indices.split_at(SYNTHETIC[0]);
    let (train, test) = (all.subset(train), all.subset(test));
    Ok(Opened::of("synthetic shapes", train, Some(test), &options.division())?.into())
}

impl Source {
    /// The augmentation of the training images.
    pub fn augment(&self) -> Option<Augmentation> {
        let (padding, flip) = match (self.augment, self.resized_crop) {
            (true, false) => (4, 0.5),
            (_, true) => (0, 0.5),
            (false, false) => (0, 0.0),
        };
        let (padding, flip) = (self.padding.unwrap_or(padding), self.flip.unwrap_or(flip));
        let jitter = ColorJitter { brightness: self.jitter, contrast: self.jitter, saturation: self.jitter };
        let resized_crop = self.resized_crop.then(ResizedCrop::default);
        let augmentation = Augmentation { padding, flip, resized_crop, jitter, cutout: self.cutout };
        (augmentation != Augmentation::default()).then_some(augmentation)
    }

    /// The images, downloaded first if requested.
    pub fn folder(&self) -> Result<Option<PathBuf>> {
        match &self.options.download {
            Some(name) => super::download(&self.options, name).map(Some),
            None => Ok(self.options.data.clone()),
        }
    }

    /// Reads the images of `--data` or `--download`; `None` without either.
    pub fn read(&self) -> Result<Option<Read>> {
        let Some(dir) = self.folder()? else { return Ok(None) };
        let images = self.reading.images()?;
        // A random box is cut out of the photo, or out of an image with a margin.
        let margin = self.resized_crop && !self.stream;
        let larger = images.resize.filter(|_| margin).map(|resize| resize.with_margin().without_crop());
        let settings = self
            .options
            .division()
            .images(images)
            .array_channels(images.channels)
            .train_resize(larger)
            .skip_bad(self.skip_bad)
            .image_dir(self.images.clone())
            .cache(self.cache.clone());
        let read: Read = match self.stream {
            true => data::open_lazily(&dir, &settings)?.into(),
            false => data::open(&dir, &settings)?.into(),
        };
        Ok(Some(Read { resize: images.resize, ..read }))
    }
}

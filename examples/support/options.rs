//! The command line.

use std::path::PathBuf;

use clap::Args;
use tilegrad::data::{BatchSource, FolderOptions};
use tilegrad::kernel::Choices;
use tilegrad::ops::mixup::Mixup;
use tilegrad::optim::{Optimizer, ParamGroup, Schedule, Sgd};
use tilegrad::train::{ClassWeights, CrossEntropyLoss, EarlyStopping, Monitor, OnNonFinite, Sampling, TrainOptions};
use tilegrad::{Error, Result};

/// Text at the end of `--help`.
pub const SGD_HELP: &str = "For each parameter p with gradient g, SGD does: g += weight_decay * p + l1 * sign(p); \
b = momentum * b + (1 - dampening) * g (b = g in the first step); p -= lr * b, or with --nesterov p -= lr * (g + momentum * b).";

/// Defaults of an example for options missing on the command line.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// Passes over the training images.
    pub epochs: usize,
    /// The learning rate.
    pub lr: f64,
    /// The momentum.
    pub momentum: f64,
    /// The schedule of the learning rate.
    pub schedule: &'static str,
}

/// The options that all training examples share.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Images to train and test on: a folder, a .npz file or a .csv file, in the formats that the example's description
    /// names; without it, synthetic images are made in memory.
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,

    /// Share of the training images of each class held out for validation, 0 for none [default: 0.1, or none where the data
    /// has validation images].
    #[arg(long, value_name = "X")]
    pub validation: Option<f64>,

    /// Share of the training images of each class held out for the test, 0 for none [default: 0.2, or none where the data
    /// has images for the test or for validation].
    #[arg(long, value_name = "X")]
    pub holdout: Option<f64>,

    /// Passes over the training images [default: the example's own, more with --data].
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,

    /// Images a step; the gradient is their mean.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub batch_size: usize,

    /// Learning rate: how far a step goes, p -= lr * g [default: the example's own].
    #[arg(long, value_name = "X")]
    pub lr: Option<f64>,

    /// Momentum: how much of the last direction is kept, b = momentum * b + (1 - dampening) * g [default: 0.9, mostly].
    #[arg(long, value_name = "X")]
    pub momentum: Option<f64>,

    /// Dampening: how much of a new gradient is left out of the direction, b = momentum * b + (1 - dampening) * g.
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub dampening: f64,

    /// L2 penalty on the weights, not the biases: minimises loss + weight_decay / 2 * sum of p^2, so g += weight_decay * p
    /// and every weight decays a little each step.
    #[arg(long, value_name = "X", default_value_t = 5e-4)]
    pub weight_decay: f64,

    /// Nesterov's momentum: looks ahead along the direction, p -= lr * (g + momentum * b); needs momentum above 0 and
    /// dampening 0.
    #[arg(long)]
    pub nesterov: bool,

    /// L1 penalty, on biases too: minimises loss + l1 * sum of |p|, so g += l1 * sign(p) and small weights go to 0.
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub l1: f64,

    /// How the learning rate changes: constant, step, multistep, exponential, cosine, cosine-warmup, onecycle, plateau or
    /// polynomial, as in torch.optim.lr_scheduler [default: the example's own].
    #[arg(long, value_name = "NAME")]
    pub schedule: Option<String>,

    /// Of the first weights, the held-out images, the order of the images and the synthetic ones: one seed on one device,
    /// one result.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// auto: the best adapter, or the CPU where there is none; cpu: the reference executor; else a part of an adapter's
    /// name.
    #[arg(long, value_name = "auto|cpu|NAME", default_value = "auto")]
    pub device: String,

    /// Measures first which kernels are fastest for this network and batch size on this device (under two minutes on a
    /// CPU, seconds on a GPU), and takes them. What was measured is kept in the user's cache directory (or that which
    /// TILEGRAD_CACHE_DIR names) for the next --tune; a run without --tune never reads it, so that it repeats.
    #[arg(long)]
    pub tune: bool,

    /// Takes the kernels that the file, a run's choices.json, names: a tuned run repeats to the bit on the same device.
    #[arg(long, value_name = "FILE")]
    pub pin: Option<PathBuf>,

    /// Fetches a known data set first, into data/NAME: mnist, fashion-mnist, cifar10 or cifar100.
    #[arg(long, value_name = "NAME", conflicts_with = "data")]
    pub download: Option<String>,

    /// Batches whose gradients add up to one update, as if they were one batch (for models without batch norm).
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub accumulate: usize,

    /// Scales the gradient down where its norm over all parameters is above this, as torch's clip_grad_norm_.
    #[arg(long, value_name = "X")]
    pub clip_grad_norm: Option<f64>,

    /// How much of each training target is spread evenly over the classes, 0 to 1.
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub label_smoothing: f32,

    /// Weights of the classes in the training loss, as in PyTorch: balanced is images / (classes * images of the class), sqrt
    /// the square roots of those with a mean of 1 over the images; FILE has lines name,weight or weights in order.
    #[arg(long, value_name = "balanced|sqrt|FILE")]
    pub class_weights: Option<String>,

    /// Draws the images of an epoch with replacement, every class equally often, in place of each image once.
    #[arg(long)]
    pub balanced_sampling: bool,

    /// Mixes each batch with itself, by shares drawn from Beta(ALPHA, ALPHA); 0.2 is usual.
    #[arg(long, value_name = "ALPHA")]
    pub mixup: Option<f64>,

    /// Ends the run after so many epochs in a row without a smaller validation loss.
    #[arg(long, value_name = "EPOCHS")]
    pub patience: Option<usize>,

    /// Ends with the parameters of the epoch that validated best (by accuracy), in place of the last.
    #[arg(long)]
    pub keep_best: bool,

    /// What to do about a loss that is infinite or NaN: stop, or warn and go on. Either says in which step and tensor it began.
    #[arg(long, value_name = "stop|warn", default_value = "stop", value_parser = ["stop", "warn"])]
    pub on_nan: String,

    /// Folder of the run: config.toml, history.csv, losses.csv, curves, confusion matrix, model.safetensors, summary.json,
    /// choices.json, and checkpoints to go on from.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Goes on with the run in this folder, from its last checkpoint and with its options; what stands beside this goes first.
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    pub resume: Option<PathBuf>,

    /// Takes the options that the file has, by their names here; what stands beside this goes first.
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,

    /// A checkpoint every N steps, with --out; besides those of --checkpoint-minutes.
    #[arg(long, value_name = "N")]
    pub checkpoint_every: Option<u32>,

    /// A checkpoint every M minutes and at the end, with --out.
    #[arg(long, value_name = "M", default_value_t = 5.0)]
    pub checkpoint_minutes: f64,

    /// Writes event files for TensorBoard to DIR/tensorboard, with --out.
    #[arg(long)]
    pub tensorboard: bool,

    /// Draws the first layer's filters, its feature maps of a test image, and test images that were named wrongly, with --out.
    #[arg(long)]
    pub pictures: bool,

    /// Draws the first training batch as the network sees it, after augmentation, with its labels: at most 64 images.
    #[arg(long, value_name = "FILE.png")]
    pub show_batch: Option<PathBuf>,

    /// Says what the run needs (memory, bindings, dispatches, about how long a step takes, the largest batch that fits) and
    /// ends.
    #[arg(long)]
    pub plan: bool,

    /// Prints nothing but what goes wrong.
    #[arg(long)]
    pub quiet: bool,

    /// The TOML that repeats the run, which goes into its folder.
    #[arg(skip)]
    pub toml: String,

    /// After the training, times every dispatch of a step and prints where the time goes, by kernel and by layer; FILE gets
    /// the step as a trace (JSON) for chrome://tracing or https://ui.perfetto.dev.
    #[arg(long, value_name = "FILE")]
    pub profile: Option<PathBuf>,
}

impl Options {
    /// Number of epochs.
    pub fn epochs(&self, defaults: &Defaults) -> usize {
        self.epochs.unwrap_or(defaults.epochs)
    }

    /// Name of the schedule.
    pub fn schedule<'a>(&'a self, defaults: &'a Defaults) -> &'a str {
        self.schedule.as_deref().unwrap_or(defaults.schedule)
    }

    /// Checks every number and name, and returns the training options.
    pub fn check(&self, defaults: &Defaults) -> Result<TrainOptions> {
        if let Some(file) = &self.pin {
            if self.tune {
                return Err(Error::config(
                    "pin",
                    "repeats choices of kernels, and --tune makes new ones: leave one out",
                ));
            }
            Choices::read(file)?;
        }
        let optimizer = self.optimizer(defaults);
        optimizer.validate()?;
        Schedule::named(self.schedule(defaults), &optimizer, 1, 1)?;
        if !(self.checkpoint_minutes.is_finite() && self.checkpoint_minutes > 0.0) {
            let message = format!("must be above 0, it is {}", self.checkpoint_minutes);
            return Err(Error::config("checkpoint_minutes", message));
        }
        if self.checkpoint_every == Some(0) {
            return Err(Error::config("checkpoint_every", "must be at least 1, it is 0"));
        }
        for (name, wanted) in
            [("tensorboard", self.tensorboard), ("pictures", self.pictures), ("keep_best", self.keep_best)]
        {
            if wanted && self.folder().is_none() {
                return Err(Error::config(name, "writes files: name a folder for them with --out DIR"));
            }
        }
        let options = TrainOptions::default()
            .epochs(self.epochs(defaults))
            .batch_size(self.batch_size)
            .seed(self.seed)
            .accumulate(self.accumulate)
            .early_stopping(self.patience.map(EarlyStopping::new))
            .on_non_finite(if self.on_nan == "warn" { OnNonFinite::Warn } else { OnNonFinite::Stop })
            .label_smoothing(self.label_smoothing)
            .mixup(self.mixup.map(|alpha| Mixup { alpha }))
            .sampling(if self.balanced_sampling { Sampling::Balanced } else { Sampling::Shuffled });
        options.validate()?;
        Ok(options)
    }

    /// The loss: that of `options`, with the weights of `--class-weights` for the classes called `names`.
    pub fn loss(&self, options: &TrainOptions, train: &dyn BatchSource, names: &[String]) -> Result<CrossEntropyLoss> {
        let weights =
            self.class_weights.as_deref().map(|given| ClassWeights::named(given, train, names)).transpose()?;
        Ok(CrossEntropyLoss::default()
            .label_smoothing(options.label_smoothing)
            .mixup(options.mixup)
            .class_weights(weights))
    }

    /// The choices of how images are divided.
    pub fn division(&self) -> FolderOptions {
        FolderOptions::default().validation(self.validation).test(self.holdout).seed(self.seed)
    }

    /// Returns an error if there are no images to validate with and an option depends on them.
    pub fn needs_validation(&self, images: usize) -> Result<()> {
        match self.patience {
            Some(_) if images == 0 => {
                Err(Error::config("patience", "looks at the validation, and there are no images to validate with"))
            }
            _ => Ok(()),
        }
    }

    /// The folder of the run.
    pub fn folder(&self) -> Option<&PathBuf> {
        self.resume.as_ref().or(self.out.as_ref())
    }

    /// The criterion for the best epoch.
    pub const BEST: Monitor = Monitor::ValidationAccuracy;

    /// Prints, unless --quiet.
    pub fn say(&self, text: impl std::fmt::Display) {
        if !self.quiet {
            println!("{text}");
        }
    }

    /// Builds the optimizer. Biases have no weight decay.
    pub fn optimizer(&self, defaults: &Defaults) -> Sgd {
        let sgd = Sgd::new(self.lr.unwrap_or(defaults.lr))
            .momentum(self.momentum.unwrap_or(defaults.momentum))
            .dampening(self.dampening)
            .weight_decay(self.weight_decay)
            .nesterov(self.nesterov)
            .l1(self.l1)
            .group(ParamGroup::new(|name| !decays(name)));
        match self.clip_grad_norm {
            Some(norm) => sgd.clip_grad_norm(norm),
            None => sgd,
        }
    }
}

/// True if weight decay applies to the parameter called `name`, that is if it is no bias.
pub fn decays(name: &str) -> bool {
    !name.ends_with(".bias")
}

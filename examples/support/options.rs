//! The command line.

use std::path::PathBuf;

use clap::Parser;
use tilegrad::optim::{ParamGroup, Sgd};

/// Trains LeNet-5 on the GPU (or the CPU where there is none). Without arguments: on synthetic digits.
///
/// For each parameter p with gradient g, SGD does: g += weight_decay * p + l1 * sign(p); b = momentum * b +
/// (1 - dampening) * g (b = g in the first step); p -= lr * b, or with --nesterov p -= lr * (g + momentum * b).
#[derive(Parser, Clone, Debug)]
#[command(version)]
pub struct Options {
    /// Folder with MNIST's or Fashion-MNIST's IDX files, plain or .gz; without it, synthetic digits are made in memory.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// Passes over the training images [default: 5; 10 with --data].
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,

    /// Images a step; the gradient is their mean.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub batch_size: usize,

    /// Learning rate: how far a step goes, p -= lr * g [default: 0.01; 0.9 with --classic].
    #[arg(long, value_name = "X")]
    pub lr: Option<f64>,

    /// Momentum: how much of the last direction is kept, b = momentum * b + (1 - dampening) * g [default: 0.9; 0 with
    /// --classic].
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

    /// Of the first weights, the order of the images and the synthetic digits: one seed on one device, one result.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Sigmoid, average pooling and Xavier's first weights, as in Dive into Deep Learning.
    #[arg(long)]
    pub classic: bool,

    /// auto: the best adapter, or the CPU where there is none; cpu: the reference executor; else a part of an adapter's
    /// name.
    #[arg(long, value_name = "auto|cpu|NAME", default_value = "auto")]
    pub device: String,

    /// Folder for history.csv, losses.csv, curves.svg, model.safetensors and summary.json.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

impl Options {
    /// How many epochs.
    pub fn epochs(&self) -> usize {
        self.epochs.unwrap_or(if self.data.is_some() { 10 } else { 5 })
    }

    /// The optimizer; biases have no weight decay.
    pub fn optimizer(&self) -> Sgd {
        let (lr, momentum) = if self.classic { (0.9, 0.0) } else { (0.01, 0.9) };
        Sgd::new(self.lr.unwrap_or(lr))
            .momentum(self.momentum.unwrap_or(momentum))
            .dampening(self.dampening)
            .weight_decay(self.weight_decay)
            .nesterov(self.nesterov)
            .l1(self.l1)
            .group(ParamGroup::new(|name| name.ends_with(".bias")))
    }
}

//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::networks::Network;

/// A part of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Section {
    Peak,
    Products,
    Convolutions,
    Layers,
    Steps,
    Profile,
    Epoch,
    Scaling,
    Accuracy,
    Host,
    Layout,
    Data,
}

impl Section {
    /// The name on the command line, in tables and in files.
    pub fn name(self) -> &'static str {
        match self {
            Section::Peak => "peak",
            Section::Products => "products",
            Section::Convolutions => "convolutions",
            Section::Layers => "layers",
            Section::Steps => "steps",
            Section::Profile => "profile",
            Section::Epoch => "epoch",
            Section::Scaling => "scaling",
            Section::Accuracy => "accuracy",
            Section::Host => "host",
            Section::Layout => "layout",
            Section::Data => "data",
        }
    }

    /// Its part of the time that `--quick` has, beside the others'.
    pub fn part(self) -> f64 {
        match self {
            Section::Peak => 0.0,
            Section::Layers | Section::Host | Section::Layout | Section::Data => 1.0,
            Section::Products => 1.5,
            Section::Convolutions | Section::Profile | Section::Scaling | Section::Accuracy => 3.0,
            Section::Steps | Section::Epoch => 5.0,
        }
    }
}

/// Measures the device, and how much of it the library makes use of.
#[derive(Parser)]
#[command(name = "cargo bench --", version)]
pub struct Options {
    /// What to measure [default: peak products convolutions layers steps]
    #[arg(value_enum, hide_default_value = true)]
    sections: Vec<Section>,
    /// Smaller sizes and fewer repetitions: ends within three minutes on two cores
    #[arg(long)]
    pub quick: bool,
    /// Writes the results to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// The networks of convolutions, steps, profile, epoch, scaling, accuracy, host and data
    #[arg(long = "network", value_name = "NAME", value_enum, value_delimiter = ',')]
    pub networks: Vec<Network>,
    /// Images of a batch, in place of each section's own; steps and profile take several
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: Vec<u32>,
    /// Channels of a network's first stage
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub width: u32,
    /// How many training steps are timed, however long they take [default: 20, fewer if they are slow]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub steps: Option<u32>,
    /// steps: also the time of each kind of kernel
    #[arg(long)]
    pub kinds: bool,
    /// steps: also the time of every dispatch
    #[arg(long)]
    pub each: bool,
    /// steps: measures first which kernels are fastest, and takes them
    #[arg(long)]
    pub tuned: bool,
    /// epoch: how many images there are [default: 50,000; 512 on a software device]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub images: Option<u32>,
    /// products, convolutions: every candidate with every tile, not only the one that is taken
    #[arg(long, visible_alias = "variants")]
    pub candidates: bool,
    /// Begins nothing new after so many seconds, in place of the 130 of --quick
    #[arg(long, value_name = "N")]
    pub seconds: Option<f64>,
    /// Makes report.md and report.json of the results in this folder, as scripts/gpu_report.sh leaves them, and measures nothing
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Measures one first step and prints it, as the section steps wants it of a process of its own
    #[arg(long, hide = true, value_enum)]
    pub first_step: Option<Network>,
    /// What cargo passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// The sections in the order of the suite, each once.
    pub fn sections(&self) -> Vec<Section> {
        let mut sections = match self.sections.is_empty() {
            true => vec![Section::Peak, Section::Products, Section::Convolutions, Section::Layers, Section::Steps],
            false => self.sections.clone(),
        };
        sections.sort_unstable();
        sections.dedup();
        sections
    }
}

//! What the device can do, and how much of it the library makes use of. See benches/README.md for how to read the numbers.
//!
//!     cargo bench                                        # the sections marked *, with sizes that a real GPU wants
//!     cargo bench -- --quick --json result.json          # ends within three minutes on two cores
//!     cargo bench -- products --candidates                 # one section
//!     cargo bench -- steps --network lenet5,resnet18 --batch 64 --steps 50 --kinds
//!
//! | section | what it measures |
//! |---|---|
//! | peak * | the device itself: multiply-adds and copies, of which everything else is a share |
//! | products * | matrix products of 256 to 4096, in the three forms that a linear layer needs |
//! | convolutions * | every distinct convolution of LeNet-5, VGG-11, VGG-16, ResNet-18 and ResNet-50, with its two gradients |
//! | layers * | pooling, batch norm, ReLU, loss, SGD: GB/s |
//! | steps * | whole training steps, and the first step with an empty and with a filled shader cache |
//! | profile | where the time of a step goes, by kernel and by layer |
//! | epoch | an epoch of training as users run it, on images in the device's memory |
//! | scaling | a step's time against batch size and depth |
//! | accuracy | how far each candidate of a convolution is from the f64 twin |
//! | host | what the host spends on a dispatch, and on a step beyond the device's time |
//! | layout | bringing images from PyTorch's order into the device's, and back |
//! | data | a training step on images that are collected, augmented, sent or decoded, beside one on a batch that stays |
//!
//! TILEGRAD_ADAPTER and WGPU_BACKEND choose the device as everywhere. What does not fit it is said and skipped.

mod accuracy;
mod compose;
mod convolutions;
mod data;
mod epoch;
mod host;
mod layers;
mod layout;
mod networks;
mod options;
mod peak;
mod products;
mod profile;
mod report;
mod scaling;
mod steps;
mod timing;

use std::process::ExitCode;

use clap::Parser;
use options::{Options, Section};
use report::Report;
use tilegrad::gpu::{Device, DeviceOptions, Peak};
use tilegrad::kernel::DeviceClass;
use tilegrad::{Error, Result};

/// What every section needs.
struct Bench {
    device: Device,
    peak: Peak,
    options: Options,
    report: Report,
}

impl Bench {
    /// Whether the device is a rasteriser on the CPU, for which sizes are smaller.
    fn software(&self) -> bool {
        self.device.caps().class == DeviceClass::Software
    }

    /// How many images a network for small images gets where the user does not say.
    fn batch(&self) -> usize {
        self.options.batch.first().map_or(if self.software() { 16 } else { 128 }, |&batch| batch as usize)
    }

    /// The batches of a network's steps: the user's, or its own.
    fn batches(&self, network: networks::Network) -> Vec<usize> {
        match self.options.batch.is_empty() {
            true => network.batches(),
            false => self.options.batch.iter().map(|&batch| batch as usize).collect(),
        }
    }

    /// GFLOP/s, at two a multiply-add, and the share of the peak.
    fn rate(&self, multiply_adds: u64, ms: f64) -> (f64, f64) {
        let gflops = 2e-6 * multiply_adds as f64 / ms;
        (gflops, gflops / self.peak.gflops())
    }

    /// Whether there is time for so many multiply-adds, guessed at a fifth of the peak; if not that is said.
    fn has_time_for(&mut self, what: &str, multiply_adds: u64) -> bool {
        let seconds = 5.0 * multiply_adds as f64 / self.peak.multiply_adds_per_second;
        let most = if self.options.quick { 8.0 } else { 150.0 };
        // It runs at least twice: once to compile and warm up.
        if seconds > most {
            self.report.skip(what, &format!("one run would take about {seconds:.0} s"));
        } else if 2.0 * seconds > self.report.seconds_left() {
            self.report.skip(what, "the time of this section is over");
        } else {
            return true;
        }
        false
    }

    /// The value, or nothing if the device is too small for it, which is said.
    fn fits<T>(&mut self, what: &str, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error @ (Error::Limit { .. } | Error::OutOfMemory(_))) => {
                self.report.skip(what, &error.to_string());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match (options.first_step, &options.report) {
        (Some(network), _) => steps::first_step_alone(network, &options),
        (None, Some(folder)) => compose::run(folder),
        (None, None) => run(options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<()> {
    // Better now than after an hour of measuring.
    if let Some(path) = &options.json
        && let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir())
    {
        return Err(Error::config("--json", format!("{} is no folder", folder.display())));
    }
    let device = Device::new(DeviceOptions::default())?;
    println!("tilegrad {} on {}", env!("CARGO_PKG_VERSION"), device.name());
    let peak = Peak::measure(&device)?;
    let report = Report::new(&device, &peak, &options);
    let mut bench = Bench { device, peak, options, report };
    let sections = bench.options.sections();
    let mut parts: f64 = sections.iter().map(|section| section.part()).sum();
    for section in sections {
        bench.report.begin(section.name(), section.part() / parts);
        parts -= section.part();
        match section {
            Section::Peak => peak::run(&mut bench)?,
            Section::Products => products::run(&mut bench)?,
            Section::Convolutions => convolutions::run(&mut bench)?,
            Section::Layers => layers::run(&mut bench)?,
            Section::Steps => steps::run(&mut bench)?,
            Section::Profile => profile::run(&mut bench)?,
            Section::Epoch => epoch::run(&mut bench)?,
            Section::Scaling => scaling::run(&mut bench)?,
            Section::Accuracy => accuracy::run(&mut bench)?,
            Section::Host => host::run(&mut bench)?,
            Section::Layout => layout::run(&mut bench)?,
            Section::Data => data::run(&mut bench)?,
        }
    }
    bench.report.end()
}

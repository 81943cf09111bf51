//! A whole run: device, training with progress, test, verdict, files.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use tilegrad::data::{Augment, BatchSource, ImageSet, Normalisation, ResidentSource};
use tilegrad::gpu::{Device, DeviceOptions};
use tilegrad::graph::{Role, Tape};
use tilegrad::nn::{Module, Summary};
use tilegrad::optim::{Schedule, Sgd};
use tilegrad::train::checkpoint::{self, Load, write_whole};
use tilegrad::train::{CpuEngine, Diagnosis, Engine, Event, GpuEngine, History, TrainOptions, Trainer};
use tilegrad::{Error, Result};

use super::options::decays;
use super::{Defaults, Options, check_profile, curves, tuning, write_profile};

/// Share of the training images that is held out for validation.
const HELD_OUT: f64 = 0.1;
/// Steps of which a profile has the medians.
const PROFILED: usize = 15;

/// A network and what to train it on.
pub struct Problem {
    /// The network.
    pub model: Box<dyn Module>,
    /// What the images are, for the first line.
    pub description: String,
    /// Training and validation images together.
    pub train: ImageSet,
    /// Test images.
    pub test: ImageSet,
    /// How bytes become numbers, seen from the images to train on.
    pub normalise: fn(&ImageSet) -> Normalisation,
    /// What is done to the images that are trained on.
    pub augment: Option<Augment>,
    /// The file that training begins with, and what of it is loaded; without it, random first weights.
    pub weights: Option<(PathBuf, Load)>,
}

/// Trains and tests; an error is printed with the way out, and ends in exit code 2.
pub fn run(options: &Options, defaults: &Defaults, problem: impl FnOnce(&Options) -> Result<Problem>) -> ExitCode {
    report(train(options, defaults, problem))
}

/// The exit code of an example; an error is printed with the way out.
pub fn report(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            eprintln!("       --help explains every option");
            ExitCode::from(2)
        }
    }
}

/// Trains and tests.
pub fn train(options: &Options, defaults: &Defaults, problem: impl FnOnce(&Options) -> Result<Problem>) -> Result<()> {
    // Everything that can be wrong with the request is looked at before anything is made.
    let train_options = options.check(defaults)?;
    let (optimizer, schedule) = (options.optimizer(defaults), options.schedule(defaults));
    let mut engine = engine(&options.device)?;
    let Problem { model, description, train, test, normalise, augment, weights } = problem(options)?;
    println!("device   {}", engine.name());
    let (train, validation) = train.split_validation(HELD_OUT, options.seed)?;
    println!(
        "data     {description}: {} to train, {} to validate, {} to test",
        train.len(),
        validation.len(),
        test.len()
    );
    let (shape, classes) = ([train.channels, train.height, train.width], train.classes);
    let summary = Summary::new(&*model, shape)?;
    println!("\n{summary}\n");

    // The training images alone say what mean 0 and standard deviation 1 are.
    let normalisation = normalise(&train);
    let source = |name, images| ResidentSource::new(name, images).normalised(normalisation);
    let (mut train, mut validation, mut test) =
        (source("train", train), source("validation", validation), source("test", test));
    if let Some(augment) = augment {
        train = train.augmented(augment);
    }
    let steps = train.len().div_ceil(options.batch_size);
    let schedule = Schedule::named(schedule, &optimizer, train_options.epochs, steps)?;
    println!("rate     {schedule}");
    let mut trainer = Trainer::new(&*model, optimizer, &mut *engine, train_options, &train)?.schedule(schedule);
    if let Some((file, load)) = &weights {
        trainer.load_model(file, load)?;
        println!("weights  {}", file.display());
    }
    let trained = trained(trainer.tape());
    if trained < summary.parameters {
        println!("trained  {trained} of {} parameters, the others are frozen", summary.parameters);
        let tested = trainer.evaluate(&mut test)?;
        println!("before   test loss {:.4}, accuracy {:.2}%", tested.loss, tested.accuracy * 100.0);
    }
    tuning::pin(options, &mut trainer, &train)?;
    // Made before the training, so that a folder that can't be made costs no run; after all checks, so that they leave none.
    if let Some(out) = &options.out {
        std::fs::create_dir_all(out).map_err(|source| Error::io(out, source))?;
    }
    if let Some(file) = &options.profile {
        check_profile(file)?;
    }
    tuning::tune(options, &mut trainer, &train)?;
    let bar = ProgressBar::new(0);
    let style = "epoch {prefix} {bar:30} {pos}/{len} {msg}";
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    let history = trainer.fit(&mut train, &mut validation, &mut |event| observe(&bar, &event))?;
    bar.finish_and_clear();
    let tested = trainer.evaluate(&mut test)?;

    println!("\ntest     loss {:.4}, accuracy {:.2}%", tested.loss, tested.accuracy * 100.0);
    if let Some(diagnosis) = Diagnosis::of_classes(&history.epochs, classes) {
        println!("fit      {diagnosis}");
        diagnosis.advice.iter().for_each(|advice| println!("         try {advice}"));
    }
    println!(
        "time     {:.1} s, first step {:.0} ms, median step {:.2} ms",
        history.seconds, history.first_step_ms, history.median_step_ms
    );
    let penalties = penalties(&options.optimizer(defaults), &*model, shape, trainer.engine())?;
    if let Some(penalties) = penalties {
        println!("penalty  {penalties} (not part of the losses above)");
    }
    if let Some(out) = &options.out {
        let last = history.epochs.last();
        let summary = serde_json::json!({
            "adapter": trainer.engine().name(),
            "parameters": summary.parameters,
            "trained_parameters": trained,
            "seed": options.seed,
            "epochs": history.epochs.len(),
            "steps": history.steps,
            "train_loss": last.map(|e| e.train_loss),
            "train_accuracy": last.map(|e| e.train_accuracy),
            "validation_loss": last.map(|e| e.validation_loss),
            "validation_accuracy": last.map(|e| e.validation_accuracy),
            "test_loss": tested.loss,
            "test_accuracy": tested.accuracy,
            "seconds": history.seconds,
            "images_per_second": last.map(|e| e.images_per_second),
            "first_step_ms": history.first_step_ms,
            "median_step_ms": history.median_step_ms,
            "peak_gpu_bytes": history.memory.map_or(0, |memory| memory.total()),
        });
        write_files(out, &history, &summary, &tape(&*model, shape)?, trainer.engine())?;
        println!("written  {}", out.display());
    }
    // Last of all, since the steps that are timed move the momentum and the running statistics.
    if let Some(file) = &options.profile {
        write_profile(trainer.profile(&mut train, PROFILED)?, file)?;
    }
    Ok(())
}

/// The engine for `--device`: only `auto` may end on the CPU, and says so.
pub fn engine(device: &str) -> Result<Box<dyn Engine>> {
    let adapter = match device {
        "cpu" => return Ok(Box::new(CpuEngine::new())),
        "auto" => None,
        name => Some(name.to_string()),
    };
    let named = adapter.is_some() || std::env::var_os("TILEGRAD_ADAPTER").is_some();
    match Device::new(DeviceOptions { adapter, ..DeviceOptions::default() }) {
        Ok(device) => Ok(Box::new(GpuEngine::new(device))),
        Err(error @ Error::NoAdapter { .. }) if !named => {
            eprintln!("{error}; running on the CPU");
            Ok(Box::new(CpuEngine::new()))
        }
        Err(error) => Err(error),
    }
}

fn observe(bar: &ProgressBar, event: &Event<'_>) {
    match event {
        Event::Ready(Some(memory)) => bar.suspend(|| println!("memory   {memory}\n")),
        Event::Ready(None) => {}
        Event::Progress { epoch, images, of, loss, images_per_second } => {
            bar.set_length(*of as u64);
            bar.set_prefix(epoch.to_string());
            bar.set_position(*images as u64);
            bar.set_message(format!("loss {loss:.4}, {images_per_second:.0} images/s"));
        }
        Event::Epoch(e) => bar.suspend(|| {
            println!(
                "epoch {:>3}  train loss {:.4} accuracy {:.2}%  validation loss {:.4} accuracy {:.2}%  {:.0} images/s",
                e.epoch,
                e.train_loss,
                e.train_accuracy * 100.0,
                e.validation_loss,
                e.validation_accuracy * 100.0,
                e.images_per_second
            );
        }),
    }
}

/// Numbers in the parameters that are trained.
fn trained(tape: &Tape) -> usize {
    let parameters = tape.parameters().into_iter().map(|id| tape.tensor(id));
    parameters.filter(|tensor| trains(&tensor.role)).map(|tensor| tensor.shape.len()).sum()
}

/// Whether a tensor with this role is trained.
fn trains(role: &Role) -> bool {
    matches!(role, Role::Parameter { trainable: true, .. })
}

/// A tape of the model alone, for its parameters' names and shapes.
fn tape(model: &dyn Module, [c, h, w]: [usize; 3]) -> Result<Tape> {
    let mut tape = Tape::new(false);
    let input = tape.input("input", tilegrad::graph::Spec::f32([1, c, h, w]))?;
    model.forward(&mut tape, input)?;
    Ok(tape)
}

/// What the penalties add to the objective at the end; `None` if there are none.
fn penalties(
    optimizer: &Sgd,
    model: &dyn Module,
    shape: [usize; 3],
    engine: &mut dyn Engine,
) -> Result<Option<String>> {
    let tape = tape(model, shape)?;
    let (mut l1, mut l2) = (0.0, 0.0);
    // What is frozen has no penalty that training could lower.
    for tensor in tape.parameters().into_iter().map(|id| tape.tensor(id)).filter(|tensor| trains(&tensor.role)) {
        let name = &tensor.name;
        let values = engine.parameter(name)?;
        l1 += optimizer.l1 * values.iter().map(|&p| f64::from(p).abs()).sum::<f64>();
        if decays(name) {
            l2 += optimizer.weight_decay / 2.0 * values.iter().map(|&p| f64::from(p).powi(2)).sum::<f64>();
        }
    }
    Ok((l1 + l2 > 0.0).then(|| format!("L2 {l2:.5}, L1 {l1:.5}")))
}

fn write_files(
    out: &Path,
    history: &History,
    summary: &serde_json::Value,
    tape: &Tape,
    engine: &mut dyn Engine,
) -> Result<()> {
    write_whole(&out.join("history.csv"), history.to_csv().as_bytes())?;
    write_whole(&out.join("losses.csv"), history.losses_to_csv().as_bytes())?;
    curves::write(&out.join("curves"), &history.epochs)?;
    checkpoint::save(&out.join("model.safetensors"), tape, engine)?;
    if let Some(taken) = engine.taken() {
        write_whole(&out.join("choices.json"), taken.to_json().as_bytes())?;
    }
    write_whole(&out.join("summary.json"), format!("{summary:#}\n").as_bytes())
}

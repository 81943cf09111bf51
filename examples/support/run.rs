//! A whole run: device, training with progress, test, verdict, files.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tilegrad::data::{Augmentation, BatchSource, Normalisation};
use tilegrad::gpu::{Device, DeviceOptions};
use tilegrad::graph::{Role, Tape};
use tilegrad::nn::models::NamedModel;
use tilegrad::nn::{Module, Summary};
use tilegrad::optim::{Schedule, Sgd};
use tilegrad::train::checkpoint::{Load, write_whole};
use tilegrad::train::{Callback, Checkpoints, CpuEngine, Diagnosis, Engine, GpuEngine, KeepBest, ModelCard, Trainer};
use tilegrad::{Error, Result};

use super::options::decays;
use super::watch::{Progress, Record, catch_interrupts, is_interrupted};
use super::{Defaults, Options, Supply, check_profile, config, files, tuning, write_profile};

/// Share of the training images that is held out for validation.
const HELD_OUT: f64 = 0.1;
/// Steps of which a profile has the medians.
const PROFILED: usize = 15;
/// Test images that pictures are made of.
const PICTURED: usize = 2_000;

/// A network and what to train it on.
pub struct Problem {
    /// The network.
    pub model: Box<dyn Module>,
    /// What its file says of it, where it is one that a file can name.
    pub named: Option<NamedModel>,
    /// What the images are, for the first line.
    pub description: String,
    /// Training and validation images together.
    pub train: Supply,
    /// Test images.
    pub test: Supply,
    /// How bytes become numbers; measured on the images to train on where nothing is said.
    pub normalisation: Option<Normalisation>,
    /// What is done to the images that are trained on.
    pub augment: Option<Augmentation>,
    /// The file that training begins with, and what of it is loaded; without it, random first weights.
    pub weights: Option<(PathBuf, Load)>,
}

/// Sends the log to the terminal: errors, or what RUST_LOG says.
pub fn log() {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error,wgpu_hal=off")).init();
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

/// An error if the folder holds a run that this one would write over.
fn check_folder(options: &Options) -> Result<()> {
    let Some(out) = &options.out else { return Ok(()) };
    let checkpoints = out.join("checkpoints");
    if checkpoints.is_dir() && !out.join("summary.json").exists() {
        let message =
            format!("{} holds a run that has not ended: go on with --resume, or name another folder", out.display());
        return Err(Error::config("out", message));
    }
    Ok(())
}

/// Trains and tests.
pub fn train(options: &Options, defaults: &Defaults, problem: impl FnOnce(&Options) -> Result<Problem>) -> Result<()> {
    // Everything that can be wrong with the request is looked at before anything is made.
    let train_options = options.check(defaults)?;
    let (optimizer, schedule) = (options.optimizer(defaults), options.schedule(defaults));
    check_folder(options)?;
    let mut engine = engine(&options.device)?;
    let Problem { model, named, description, train, test, normalisation, augment, weights } = problem(options)?;
    options.say(format_args!("device   {}", engine.name()));
    let (train, validation) = train.split(HELD_OUT, options.seed)?;
    options.say(format_args!(
        "data     {description}: {} to train, {} to validate, {} to test",
        train.len(),
        validation.len(),
        test.len()
    ));
    let (shape, class_names) = (train.shape(), train.class_names());
    let summary = Summary::new(&*model, shape)?;
    options.say(format_args!("\n{summary}\n"));

    // The training images alone say what mean 0 and standard deviation 1 are.
    let normalisation = normalisation.map_or_else(|| train.measured(), Ok)?;
    // Half of the device's memory is for the rest.
    let resident = engine.device_memory().map_or(u64::MAX, |bytes| bytes / 2);
    let source = |name, supply: &Supply, augment| supply.source(name, normalisation, augment, resident);
    let mut train_source = source("train", &train, augment);
    let mut validation_source = source("validation", &validation, None);
    let mut test_source = source("test", &test, None);
    let steps = train.len().div_ceil(options.batch_size);
    let schedule = Schedule::named(schedule, &optimizer, train_options.epochs, steps)?;
    options.say(format_args!("rate     {schedule}"));
    let card = named.map(|model| ModelCard { model, shape, class_names: class_names.clone(), normalisation });
    let mut trainer = Trainer::new(&*model, optimizer, &mut *engine, train_options, &*train_source)?
        .schedule(schedule)
        .described(card.as_ref().map(ModelCard::to_metadata).unwrap_or_default());
    if options.plan {
        return plan(options, &mut trainer, &*train_source);
    }
    if let Some((file, load)) = &weights {
        trainer.load_model(file, load)?;
        options.say(format_args!("weights  {}", file.display()));
    }
    let trained = trained(trainer.tape());
    if trained < summary.parameters {
        options.say(format_args!("trained  {trained} of {} parameters, the others are frozen", summary.parameters));
        let tested = trainer.evaluate(&mut *test_source)?;
        let (loss, accuracy) = (tested.loss, tested.accuracy * 100.0);
        options.say(format_args!("before   test loss {loss:.4}, accuracy {accuracy:.2}%"));
    }
    let resumed = resume(options, &mut trainer)?;
    if !resumed {
        tuning::pin(options, &mut trainer, &*train_source)?;
    }
    // Made before the training, so that a folder that can't be made costs no run; after all checks, so that they leave none.
    let mut callbacks: Vec<Box<dyn Callback>> = vec![Box::new(Progress::new(options.quiet))];
    let best = options.folder().map(|dir| dir.join("best.safetensors"));
    if let Some(dir) = options.folder() {
        std::fs::create_dir_all(dir).map_err(|source| Error::io(dir, source))?;
        if options.resume.is_none() {
            config::write(dir, &options.toml)?;
        }
        // A run that had ended and goes on has not, and one that begins has no checkpoint.
        let summary = dir.join("summary.json");
        if summary.exists() {
            std::fs::remove_file(&summary).map_err(|source| Error::io(&summary, source))?;
        }
        if !resumed && dir.join("checkpoints").exists() {
            let old = dir.join("checkpoints");
            std::fs::remove_dir_all(&old).map_err(|source| Error::io(&old, source))?;
        }
        let mut checkpoints = Checkpoints::new(dir.join("checkpoints"))?
            .each_epoch(false)
            .every(Duration::from_secs_f64(options.checkpoint_minutes * 60.0));
        if let Some(steps) = options.checkpoint_every {
            checkpoints = checkpoints.every_steps(steps);
        }
        let record = Record::new(dir.clone(), options.tensorboard, trainer.history().epochs.len())?;
        callbacks.push(Box::new(record));
        if let Some(best) = best.as_ref().filter(|_| options.keep_best) {
            callbacks.push(Box::new(KeepBest::new(best, Options::BEST)));
        }
        callbacks.push(Box::new(checkpoints));
    }
    if let Some(file) = &options.profile {
        check_profile(file)?;
    }
    if !resumed {
        tuning::tune(options, &mut trainer, &*train_source)?;
    }
    catch_interrupts();
    let mut looking: Vec<&mut dyn Callback> = callbacks.iter_mut().map(|callback| &mut **callback as _).collect();
    let history = trainer.fit_with(&mut *train_source, &mut *validation_source, &mut looking)?;
    if is_interrupted() {
        let steps = history.steps;
        match options.folder() {
            Some(dir) => println!("\nstopped after step {steps}; --resume {} goes on from there", dir.display()),
            None => println!("\nstopped after step {steps}; with --out DIR a run can go on later"),
        }
        return Ok(());
    }
    if let Some(file) = best.filter(|file| options.keep_best && file.exists()) {
        trainer.load_model(&file, &Load::strict())?;
        if let Some(epoch) = history.best(Options::BEST) {
            options.say(format_args!("\nbest     epoch {}, whose parameters are taken", epoch.epoch));
        }
    }
    let tested = trainer.evaluate(&mut *test_source)?;
    let confusion = trainer.confusion()?;

    let (loss, accuracy) = (tested.loss, tested.accuracy * 100.0);
    let top5 = confusion.top_k_accuracy().filter(|_| class_names.len() > 10);
    let top5 = top5.map_or(String::new(), |share| format!(", among the first five {:.2}%", share * 100.0));
    options.say(format_args!("\ntest     loss {loss:.4}, accuracy {accuracy:.2}%{top5}"));
    if let Some(diagnosis) = Diagnosis::of_classes(&history.epochs, class_names.len()) {
        options.say(format_args!("fit      {diagnosis}"));
        diagnosis.advice.iter().for_each(|advice| options.say(format_args!("         try {advice}")));
    }
    options.say(format_args!(
        "time     {:.1} s, first step {:.0} ms, median step {:.2} ms",
        history.seconds, history.first_step_ms, history.median_step_ms
    ));
    let penalties = penalties(&options.optimizer(defaults), &*model, shape, trainer.engine())?;
    if let Some(penalties) = penalties {
        options.say(format_args!("penalty  {penalties} (not part of the losses above)"));
    }
    if let Some(dir) = options.folder() {
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
            "test_top5_accuracy": confusion.top_k_accuracy(),
            "test_balanced_accuracy": confusion.balanced_accuracy(),
            "seconds": history.seconds,
            "images_per_second": last.map(|e| e.images_per_second),
            "first_step_ms": history.first_step_ms,
            "median_step_ms": history.median_step_ms,
            "peak_gpu_bytes": history.memory.map_or(0, |memory| memory.total()),
        });
        trainer.save_model(&dir.join("model.safetensors"))?;
        files::write_confusion(dir, &confusion, &class_names)?;
        if let Some(taken) = trainer.engine().taken() {
            write_whole(&dir.join("choices.json"), taken.to_json().as_bytes())?;
        }
        if options.pictures {
            let mut images = test.some(PICTURED)?;
            images.class_names.clone_from(&class_names);
            files::write_pictures(dir, &*model, trainer.engine(), &images, normalisation)?;
        }
        write_whole(&dir.join("summary.json"), format!("{summary:#}\n").as_bytes())?;
        options.say(format_args!("written  {}", dir.display()));
    }
    // Last of all, since the steps that are timed move the momentum and the running statistics.
    if let Some(file) = &options.profile {
        write_profile(trainer.profile(&mut *train_source, PROFILED)?, file)?;
    }
    Ok(())
}

/// What `--plan` prints.
fn plan(options: &Options, trainer: &mut Trainer<'_>, train: &dyn BatchSource) -> Result<()> {
    match trainer.forecast(train) {
        Ok(Some(forecast)) => println!("{forecast}"),
        Ok(None) => println!("the reference executor on the CPU plans nothing"),
        Err(error @ Error::Limit { .. }) => println!("does not fit: {error}"),
        Err(error) => return Err(error),
    }
    if let Some(batch) = trainer.largest_batch(train)? {
        println!("largest batch   {batch} of {} images (asked for: {})", train.len(), options.batch_size);
    }
    Ok(())
}

/// Goes on from the last checkpoint in the folder of `--resume`; whether there was one.
fn resume(options: &Options, trainer: &mut Trainer<'_>) -> Result<bool> {
    let Some(dir) = &options.resume else { return Ok(false) };
    let Some(found) = Checkpoints::latest(&dir.join("checkpoints"))? else {
        options.say("resumed  from the start: there is no checkpoint yet");
        return Ok(false);
    };
    for error in &found.damaged {
        eprintln!("passed over: {error}");
    }
    trainer.restore(&found.snapshot, &found.path)?;
    let (steps, epochs) = (found.snapshot.steps(), trainer.history().epochs.len());
    options.say(format_args!("resumed  after step {steps}, epoch {}: {}", epochs + 1, found.path.display()));
    Ok(true)
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

//! A whole run: device, training with progress, test, diagnosis, files.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tilegrad::data::{Augmentation, BatchSource, Normalisation};
use tilegrad::gpu::{Device, DeviceOptions};
use tilegrad::graph::Role;
use tilegrad::nn::models::NamedModel;
use tilegrad::nn::{Module, Summary};
use tilegrad::optim::{Optimizer, Rates, Schedule, Sgd};
use tilegrad::shape::ImageSize;
use tilegrad::train::weights::Load;
use tilegrad::train::{
    Callback, CpuEngine, Engine, GpuEngine, History, ModelCard, Record, RunFolder, Trainer, TrainingData,
};
use tilegrad::{Error, Result};

use super::batch::show_batch;
use super::colour::Read;
use super::options::decays;
use super::results::Results;
use super::watch::{Progress, catch_interrupts, is_interrupted};
use super::{Defaults, Options, Supply, check_profile, tuning, write_profile};

/// Number of training images used for pictures.
const PICTURED: usize = 2_000;
/// Number of steps for a profile's medians.
const PROFILED: usize = 15;

/// A network and its data.
pub struct Problem {
    /// The network.
    pub model: Box<dyn Module>,
    /// The network's description in its file, if it is a network by name.
    pub named: Option<NamedModel>,
    /// The images.
    pub images: Read,
    /// Conversion of bytes to numbers. By default measured on the training images.
    pub normalisation: Option<Normalisation>,
    /// Augmentation of the training images.
    pub augment: Option<Augmentation>,
    /// The file with initial parameters, and the names to load. Without it, initial weights are random.
    pub weights: Option<(PathBuf, Load)>,
}

/// Sends the log to the terminal: errors, or the levels of RUST_LOG.
pub fn log() {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error,tilegrad=warn,wgpu_hal=off"))
        .init();
}

/// Trains and tests. An error is printed with advice, and gives exit code 2.
pub fn run(options: &Options, defaults: &Defaults, problem: impl FnOnce(&Options) -> Result<Problem>) -> ExitCode {
    report(train(options, defaults, problem))
}

/// Returns the exit code of an example. An error is printed with advice.
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

/// The folder of the run, if it has one. An error if it holds a run that would be overwritten.
fn folder(options: &Options) -> Result<Option<RunFolder>> {
    let folder = match (&options.resume, &options.out) {
        (Some(dir), _) => RunFolder::resume(dir)?,
        (None, Some(out)) if RunFolder::is_unfinished(out) => {
            let message = format!(
                "{} holds a run that has not ended: go on with --resume, or name another folder",
                out.display()
            );
            return Err(Error::config("out", message));
        }
        (None, Some(out)) => RunFolder::begin(out)?,
        (None, None) => return Ok(None),
    };
    let folder = folder
        .config(&options.toml)
        .tensorboard(options.tensorboard)
        .checkpoint_every(Duration::from_secs_f64(options.checkpoint_minutes * 60.0));
    let folder = if options.keep_best { folder.keep_best(Options::BEST) } else { folder };
    Ok(Some(match options.checkpoint_every {
        Some(steps) => folder.checkpoint_every_steps(steps),
        None => folder,
    }))
}

/// Trains and tests.
pub fn train(options: &Options, defaults: &Defaults, problem: impl FnOnce(&Options) -> Result<Problem>) -> Result<()> {
    // Every input is checked before any file is created.
    let train_options = options.check(defaults)?;
    let (optimizer, schedule) = (options.optimizer(defaults), options.schedule(defaults));
    let folder = folder(options)?;
    let engine = engine(&options.device)?;
    let Problem { model, named, images, normalisation, augment, weights } = problem(options)?;
    let Read { overview, train, validation, test, split, resize, size: image_size, .. } = images;
    options.say(format_args!("device   {}", engine.name()));
    options.say(format_args!("data     {}", overview.lines().join("\n         ")));
    options.needs_validation(validation.len())?;
    let class_names = train.class_names();
    let summary = Summary::new(&*model, image_size)?;
    options.say(format_args!("\n{summary}\n"));

    // The normalisation to mean 0 and standard deviation 1 uses the training images alone.
    let normalisation = normalisation.map_or_else(|| train.measured(), Ok)?;
    // Half of the device's memory is left for everything else.
    let resident = engine.device_memory().map_or(u64::MAX, |bytes| bytes / 2);
    let source = |name, supply: &Supply, augment| supply.source(name, normalisation, augment, image_size, resident);
    let mut train_source = source("train", &train, augment);
    let mut validation_source = source("validation", &validation, None);
    let mut test_source = source("test", &test, None);
    let steps = train.len().div_ceil(options.batch_size);
    let schedule = Schedule::named(schedule, &optimizer, train_options.epochs, steps)?;
    options.say(format_args!("rate     {schedule}"));
    let trained_on = named.is_some().then(|| TrainingData::of(split, train.dataset())).transpose()?;
    let card = named.map(|model| {
        let card = ModelCard::new(model, image_size, class_names.clone(), normalisation);
        with_recipe(card.resize(resize).data(trained_on), options, &optimizer, &schedule, train_options.epochs)
    });
    let loss = options.loss(&train_options, &*train_source, &class_names)?;
    // These are the loss's now.
    let train_options = train_options.label_smoothing(0.0).mixup(None);
    let mut trainer = Trainer::with_loss(model, loss, optimizer, engine, train_options, &*train_source)?
        .schedule(schedule)
        .described(card.as_ref().map(ModelCard::to_metadata).unwrap_or_default());
    if options.plan {
        return plan(options, &mut trainer, &*train_source);
    }
    if let Some((file, load)) = &weights {
        trainer.load_model(file, load)?;
        options.say(format_args!("weights  {}", file.display()));
    }
    let has_test = test.len() > 0;
    say_trained(options, &mut trainer, has_test.then_some(&mut *test_source))?;
    let mut folder = folder.map(|folder| folder.class_names(&class_names));
    let resumed = folder.as_mut().map_or(Ok(false), |folder| resume(options, folder, &mut trainer))?;
    if !resumed {
        tuning::pin(options, &mut trainer, &*train_source)?;
    }
    // It comes before the training, so that a folder that can't be created costs no run. It comes after all checks, so
    // that a failed check leaves no folder.
    let mut record = folder.map(|folder| folder.start(&mut trainer)).transpose()?;
    if let Some(file) = &options.profile {
        check_profile(file)?;
    }
    if !resumed {
        tuning::tune(options, &mut trainer, &*train_source)?;
    }
    if let Some(file) = &options.show_batch {
        show_batch(options, file, &mut trainer, &mut *train_source, &class_names, &normalisation)?;
    }
    let sources: [&mut dyn BatchSource; 2] = [&mut *train_source, &mut *validation_source];
    let Some(history) = fit(options, &mut trainer, sources, record.as_mut())? else {
        return Ok(());
    };
    let tested = has_test.then(|| Ok::<_, Error>((trainer.evaluate(&mut *test_source)?, trainer.confusion()?)));
    let tested = tested.transpose()?;
    let results = Results { tested, history, class_names };
    results.say(options, trainer.diagnosis(&results.class_names));
    let penalties = penalties(&options.optimizer(defaults), &mut trainer)?;
    if let Some(penalties) = penalties {
        options.say(format_args!("penalty  {penalties} (not part of the losses above)"));
    }
    if let Some(record) = &record {
        record.save(&mut trainer)?;
        if options.pictures {
            draw(record, &mut trainer, [&test, &validation, &train], image_size, normalisation)?;
        }
        record.summarise(&mut trainer, results.tested.as_ref().map(|(tested, _)| tested))?;
        options.say(format_args!("written  {}", record.path().display()));
    }
    // The profile comes last, since its steps change momentum and running statistics.
    if let Some(file) = &options.profile {
        write_profile(trainer.profile(&mut *train_source, PROFILED)?, file)?;
    }
    Ok(())
}

/// The card with the choices of the training.
fn with_recipe(card: ModelCard, options: &Options, optimizer: &Sgd, schedule: &Schedule, epochs: usize) -> ModelCard {
    let Rates { lr, momentum } = optimizer.rates();
    card.with("optimizer", optimizer.name())
        .with("lr", lr)
        .with("momentum", momentum)
        .with("weight_decay", options.weight_decay)
        .with("schedule", schedule)
        .with("epochs", epochs)
        .with("batch_size", options.batch_size)
        .with("seed", options.seed)
}

/// Draws the pictures of the first of these parts that has images.
fn draw(
    record: &Record,
    trainer: &mut Trainer,
    parts: [&Supply; 3],
    size: ImageSize,
    normalisation: Normalisation,
) -> Result<()> {
    let Some(shown) = parts.into_iter().find(|part| part.len() > 0) else { return Ok(()) };
    if shown.image_size() == size {
        return record.draw(trainer, shown.dataset(), normalisation);
    }
    // Training images with a margin.
    let mut images = shown.some(PICTURED)?.center_crop([size.height, size.width]);
    images.class_names = shown.class_names();
    record.draw(trainer, &images, normalisation)
}

/// If only a part of the model is trained, prints that part, and the test results before training.
fn say_trained(options: &Options, trainer: &mut Trainer, test: Option<&mut dyn BatchSource>) -> Result<()> {
    let (trained, parameters) = (trainer.trained_parameters(), trainer.parameters());
    if trained < parameters {
        options.say(format_args!("trained  {trained} of {parameters} parameters, the others are frozen"));
        let Some(test) = test else { return Ok(()) };
        let tested = trainer.evaluate(test)?;
        let (loss, accuracy) = (tested.loss, tested.accuracy * 100.0);
        options.say(format_args!("before   test loss {loss:.4}, accuracy {accuracy:.2}%"));
    }
    Ok(())
}

/// Trains, and loads the parameters of the best epoch if its file is kept. Returns `None` for an interrupted run.
fn fit(
    options: &Options,
    trainer: &mut Trainer,
    [train, validation]: [&mut dyn BatchSource; 2],
    mut record: Option<&mut Record>,
) -> Result<Option<History>> {
    catch_interrupts();
    let mut progress = Progress::new(options.quiet);
    let mut callbacks: Vec<&mut dyn Callback> = vec![&mut progress];
    callbacks.extend(record.as_deref_mut().map(|record| record as &mut dyn Callback));
    let history = trainer.fit_with(train, validation, &mut callbacks)?;
    if is_interrupted() {
        let steps = history.steps;
        match options.folder() {
            Some(dir) => println!("\nstopped after step {steps}; --resume {} goes on from there", dir.display()),
            None => println!("\nstopped after step {steps}; with --out DIR a run can go on later"),
        }
        return Ok(None);
    }
    match record.map_or(Ok(None), |record| record.take_best(trainer))? {
        Some(epoch) => options.say(format_args!("\nbest     epoch {epoch}, whose parameters are taken")),
        None if options.keep_best => {
            options.say("\nbest     unknown: there are no images to validate with, so the last parameters are taken");
        }
        None => {}
    }
    Ok(Some(history))
}

/// Prints the forecast for `--plan`.
fn plan(options: &Options, trainer: &mut Trainer, train: &dyn BatchSource) -> Result<()> {
    match trainer.forecast(train) {
        Ok(Some(forecast)) => println!("{forecast}"),
        Ok(None) => println!("the reference executor on the CPU plans nothing"),
        Err(error @ Error::Limit { .. }) => println!("does not fit: {error}"),
        Err(error) => return Err(error),
    }
    if trainer.omits_matrix() {
        println!("confusion       counted by class: there are too many classes for a matrix");
    }
    if let Some(batch) = trainer.largest_batch(train)? {
        println!("largest batch   {batch} of {} images (asked for: {})", train.len(), options.batch_size);
    }
    Ok(())
}

/// Continues from the last checkpoint in the folder of `--resume`. Returns true if there was one.
fn resume(options: &Options, folder: &mut RunFolder, trainer: &mut Trainer) -> Result<bool> {
    if !folder.goes_on() {
        return Ok(false);
    }
    let Some(found) = folder.restore(trainer)? else {
        options.say("resumed  from the start: there is no checkpoint yet");
        return Ok(false);
    };
    for error in &found.damaged {
        eprintln!("passed over: {error}");
    }
    let (steps, epochs) = (found.snapshot.steps(), trainer.history().epochs.len());
    options.say(format_args!("resumed  after step {steps}, epoch {}: {}", epochs + 1, found.path.display()));
    Ok(true)
}

/// Creates the engine for `--device`. Only `auto` falls back to the CPU, and then prints a notice.
pub fn engine(device: &str) -> Result<Box<dyn Engine>> {
    let adapter = match device {
        "cpu" => return Ok(Box::new(CpuEngine::new())),
        "auto" => None,
        name => Some(name.to_string()),
    };
    let named = adapter.is_some() || std::env::var_os("TILEGRAD_ADAPTER").is_some();
    let mut options = DeviceOptions::default();
    options.adapter = adapter;
    match Device::new(options) {
        Ok(device) => Ok(Box::new(GpuEngine::new(device))),
        Err(error @ Error::NoAdapter { .. }) if !named => {
            eprintln!("{error}; running on the CPU");
            Ok(Box::new(CpuEngine::new()))
        }
        Err(error) => Err(error),
    }
}

/// True if a tensor with this role is trained.
fn trains(role: &Role) -> bool {
    matches!(role, Role::Parameter { trainable: true, .. })
}

/// Formats the penalties' contribution to the objective at the end; `None` if there is none.
fn penalties(optimizer: &Sgd, trainer: &mut Trainer) -> Result<Option<String>> {
    let tape = trainer.tape().clone();
    let (mut l1, mut l2) = (0.0, 0.0);
    // Frozen parameters have no penalty that training could reduce.
    for tensor in tape.parameters().into_iter().map(|id| tape.tensor(id)).filter(|tensor| trains(&tensor.role)) {
        let name = &tensor.name;
        let values = trainer.engine().parameter(name)?;
        l1 += optimizer.l1 * values.iter().map(|&p| f64::from(p).abs()).sum::<f64>();
        if decays(name) {
            l2 += optimizer.weight_decay / 2.0 * values.iter().map(|&p| f64::from(p).powi(2)).sum::<f64>();
        }
    }
    Ok((l1 + l2 > 0.0).then(|| format!("L2 {l2:.5}, L1 {l1:.5}")))
}

//! Schedules against PyTorch's schedulers over a hundred steps, their messages, and the trainer that follows them.

use serde_json::Value as Json;
use tilegrad::data::{ResidentSource, synthetic};
use tilegrad::nn::{Flatten, Linear, Sequential};
use tilegrad::optim::{
    Anneal, Constant, CosineAnnealingLr, ExponentialLr, Mode, MultiStepLr, OneCycleLr, PolynomialLr, Rates,
    ReduceLrOnPlateau, Schedule, ScheduleRule, Sgd, StepLr, ThresholdMode, Unit,
};
use tilegrad::rng::Init;
use tilegrad::train::{CpuEngine, History, TrainOptions, Trainer};
use tilegrad::{Error, Result};

/// Relative. PyTorch multiplies the last learning rate, which drifts from the closed form by up to 2e-14 over these cases;
/// and close to the end of a cosine, 1 + cos cancels: one bit of a platform's cosine is 5e-13 of the rate before the last.
const TOLERANCE: f64 = 1e-12;

/// The options of a golden case by PyTorch's names; what a case leaves out keeps the rule's default.
struct Options<'a>(&'a Json);

impl Options<'_> {
    fn real(&self, name: &str, default: f64) -> f64 {
        self.0.get(name).map_or(default, |value| value.as_f64().unwrap())
    }

    fn count(&self, name: &str, default: usize) -> usize {
        self.0.get(name).map_or(default, |value| value.as_u64().unwrap() as usize)
    }

    fn flag(&self, name: &str, default: bool) -> bool {
        self.0.get(name).map_or(default, |value| value.as_bool().unwrap())
    }

    fn is(&self, name: &str, word: &str) -> bool {
        self.0.get(name).is_some_and(|value| value == word)
    }
}

/// The rule that a golden case asks PyTorch for.
fn schedule(case: &Json, sgd: &Sgd) -> Result<Schedule> {
    let o = Options(&case["options"]);
    match case["scheduler"].as_str().unwrap() {
        "StepLR" => Schedule::new(sgd, StepLr::new(o.count("step_size", 0)).gamma(o.real("gamma", 0.1))),
        "MultiStepLR" => {
            let milestones = o.0["milestones"].as_array().unwrap().iter().map(|m| m.as_u64().unwrap() as usize);
            let rule = MultiStepLr::new(milestones.collect::<Vec<_>>());
            Schedule::new(sgd, rule.gamma(o.real("gamma", 0.1)))
        }
        "ExponentialLR" => Schedule::new(sgd, ExponentialLr::new(o.real("gamma", 0.0))),
        "CosineAnnealingLR" => {
            let mut rule = CosineAnnealingLr::new(o.count("T_max", 0)).eta_min(o.real("eta_min", 0.0));
            if let Some(warmup) = case.get("warmup").map(Options) {
                rule = rule.warmup(warmup.count("total_iters", 0), warmup.real("start_factor", 0.0));
            }
            Schedule::new(sgd, rule)
        }
        "OneCycleLR" => {
            let rule = OneCycleLr::new(o.count("total_steps", 0));
            let anneal = if o.is("anneal_strategy", "linear") { Anneal::Linear } else { rule.anneal_strategy };
            let rule = rule
                .anneal_strategy(anneal)
                .pct_start(o.real("pct_start", rule.pct_start))
                .cycle_momentum(o.flag("cycle_momentum", rule.cycle_momentum))
                .momentum(o.real("base_momentum", rule.base_momentum), o.real("max_momentum", rule.max_momentum))
                .div_factor(o.real("div_factor", rule.div_factor))
                .final_div_factor(o.real("final_div_factor", rule.final_div_factor))
                .three_phase(o.flag("three_phase", rule.three_phase));
            Schedule::new(sgd, rule)
        }
        "ReduceLROnPlateau" => {
            let rule = ReduceLrOnPlateau::new();
            let of = if o.is("threshold_mode", "abs") { ThresholdMode::Abs } else { rule.threshold_mode };
            let rule = rule
                .mode(if o.is("mode", "max") { Mode::Max } else { rule.mode })
                .factor(o.real("factor", rule.factor))
                .patience(o.count("patience", rule.patience))
                .threshold(o.real("threshold", rule.threshold), of)
                .cooldown(o.count("cooldown", rule.cooldown))
                .min_lr(o.real("min_lr", rule.min_lr))
                .eps(o.real("eps", rule.eps));
            Schedule::new(sgd, rule)
        }
        "PolynomialLR" => Schedule::new(sgd, PolynomialLr::new(o.count("total_iters", 0)).power(o.real("power", 1.0))),
        other => panic!("{other} is no scheduler"),
    }
}

/// The metric that a golden case observes, as tests/golden/schedules.py makes it.
fn metrics(case: &Json) -> Option<Vec<f64>> {
    let o = case.get("metric").map(Options)?;
    let stream = format!("schedules/{}/metric", case["name"].as_str().unwrap());
    let noise = Init::Uniform(o.real("bound", 0.0) as f32).values(1, &stream, 100);
    let (offset, scale) = (o.real("offset", 0.0), o.real("scale", 0.0));
    let metric = |(i, &u): (usize, &f32)| offset + scale / (10.0 + i as f64) + f64::from(u);
    let mut metrics: Vec<f64> = noise.iter().enumerate().map(metric).collect();
    o.0["nan"].as_array().unwrap().iter().for_each(|i| metrics[i.as_u64().unwrap() as usize] = f64::NAN);
    Some(metrics)
}

#[test]
fn every_case_of_pytorch_over_a_hundred_steps() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/schedules.json");
    let json: Json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = json["cases"].as_array().unwrap();
    assert!(cases.len() >= 30, "{} cases", cases.len());
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let (lr, momentum) = (case["lr"].as_f64().unwrap(), case["momentum"].as_f64().unwrap());
        let mut schedule = schedule(case, &Sgd::new(lr).momentum(momentum)).unwrap();
        let metrics = metrics(case);
        let lrs = case["lrs"].as_array().unwrap();
        assert_eq!(lrs.len(), 100, "{name}");
        for (count, expected) in lrs.iter().enumerate() {
            let expected = Rates {
                lr: expected.as_f64().unwrap(),
                momentum: case["momenta"].get(count).map_or(momentum, |momentum| momentum.as_f64().unwrap()),
            };
            let rates = schedule.at(count);
            let close = |a: f64, b: f64| (a - b).abs() <= TOLERANCE * b.abs();
            assert!(
                close(rates.lr, expected.lr) && close(rates.momentum, expected.momentum),
                "{name}, step {count}: {rates:?}, PyTorch has {expected:?}"
            );
            if let Some(metrics) = &metrics {
                schedule.observe(metrics[count]);
            }
        }
    }
}

#[test]
fn what_comes_after_the_end() {
    let sgd = Sgd::new(0.1).momentum(0.9);
    let one_cycle = Schedule::new(&sgd, OneCycleLr::new(50)).unwrap();
    assert_eq!(one_cycle.at(49), one_cycle.at(50));
    assert_eq!(one_cycle.at(49), one_cycle.at(usize::MAX));
    let step = Schedule::new(&sgd, StepLr::new(1)).unwrap();
    assert_eq!(step.at(usize::MAX), Rates { lr: 0.0, momentum: 0.9 });
    // PyTorch divides by zero where a rise ends at the first step, or is told of one step in all.
    for (steps, part) in [(10, 0.1), (1, 1.0), (1, 0.3), (2, 0.5)] {
        for three_phase in [false, part <= 0.5] {
            let rule = OneCycleLr::new(steps).pct_start(part).three_phase(three_phase);
            let schedule = Schedule::new(&sgd, rule).unwrap();
            assert!((0..=steps).all(|count| (0.0..=0.1).contains(&schedule.at(count).lr)), "{schedule}");
        }
    }
}

#[test]
fn steps_or_epochs() {
    let sgd = Sgd::new(0.1);
    let by_epoch = Schedule::new(&sgd, StepLr::new(2)).unwrap();
    assert_eq!(by_epoch.unit(), Unit::Epoch);
    assert_eq!((by_epoch.rates(9, 1).lr, by_epoch.rates(10, 2).lr), (by_epoch.at(0).lr, by_epoch.at(2).lr));
    let by_step = by_epoch.counting(Unit::Step);
    assert_eq!(by_step.rates(2, 0).lr, by_step.at(2).lr);
    assert_eq!(Schedule::new(&sgd, OneCycleLr::new(9)).unwrap().unit(), Unit::Step);
}

/// What a schedule of a setting out of range is refused with.
fn refused(sgd: &Sgd, rule: impl ScheduleRule + 'static) -> String {
    let error = Schedule::new(sgd, rule).unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error:?}");
    error.to_string()
}

const NOT_NEGATIVE: &str = "must be a finite number of at least 0, it is";

#[test]
fn settings_of_a_decay_out_of_range_are_named() {
    let sgd = Sgd::new(0.1).momentum(0.9);
    assert_eq!(refused(&Sgd::new(-0.1), Constant), format!("lr: {NOT_NEGATIVE} -0.1"));
    assert_eq!(refused(&sgd, StepLr::new(0)), "StepLr.step_size: must be at least 1, it is 0");
    assert_eq!(refused(&sgd, StepLr::new(1).gamma(-1.0)), format!("StepLr.gamma: {NOT_NEGATIVE} -1"));
    for milestones in [vec![30, 30], vec![60, 30]] {
        assert_eq!(
            refused(&sgd, MultiStepLr::new(milestones.clone())),
            format!("MultiStepLr.milestones: must ascend, each above the one before it, they are {milestones:?}")
        );
    }
    assert_eq!(
        refused(&sgd, MultiStepLr::new([])),
        "MultiStepLr.milestones: must hold at least one count; without any, the rule is Constant"
    );
    let rule = MultiStepLr::new([1]).gamma(f64::NAN);
    assert_eq!(refused(&sgd, rule), format!("MultiStepLr.gamma: {NOT_NEGATIVE} NaN"));
    assert_eq!(refused(&sgd, ExponentialLr::new(f64::INFINITY)), format!("ExponentialLr.gamma: {NOT_NEGATIVE} inf"));
    assert_eq!(refused(&sgd, PolynomialLr::new(0)), "PolynomialLr.total_iters: must be at least 1, it is 0");
    assert_eq!(refused(&sgd, PolynomialLr::new(1).power(-2.0)), format!("PolynomialLr.power: {NOT_NEGATIVE} -2"));
}

#[test]
fn settings_of_a_cosine_and_its_warmup_out_of_range_are_named() {
    let sgd = Sgd::new(0.1).momentum(0.9);
    let cosine = CosineAnnealingLr::new(10);
    assert_eq!(refused(&sgd, CosineAnnealingLr::new(0)), "CosineAnnealingLr.t_max: must be at least 1, it is 0");
    assert_eq!(refused(&sgd, cosine.eta_min(-1e-3)), format!("CosineAnnealingLr.eta_min: {NOT_NEGATIVE} -0.001"));
    assert_eq!(refused(&sgd, cosine.warmup(0, 0.1)), "Warmup.total_iters: must be at least 1, it is 0");
    for factor in [0.0, 1.5, f64::NAN] {
        assert_eq!(
            refused(&sgd, cosine.warmup(5, factor)),
            format!("Warmup.start_factor: must be a finite number above 0 and at most 1, it is {factor}")
        );
    }
}

#[test]
fn settings_of_one_cycle_out_of_range_are_named() {
    let sgd = Sgd::new(0.1).momentum(0.9);
    let one_cycle = OneCycleLr::new(10);
    assert_eq!(refused(&sgd, OneCycleLr::new(0)), "OneCycleLr.total_steps: must be at least 1, it is 0");
    for part in [-0.1, 1.1, f64::NAN] {
        assert_eq!(
            refused(&sgd, one_cycle.pct_start(part)),
            format!("OneCycleLr.pct_start: must be a finite number of 0 to 1, it is {part}")
        );
    }
    assert_eq!(
        refused(&sgd, one_cycle.three_phase(true).pct_start(0.6)),
        "OneCycleLr.pct_start: must be at most 0.5 with three_phase, which rises and falls by it, it is 0.6"
    );
    assert_eq!(
        refused(&sgd, one_cycle.div_factor(0.0)),
        "OneCycleLr.div_factor: must be a finite number above 0, it is 0"
    );
    assert_eq!(
        refused(&sgd, one_cycle.final_div_factor(f64::INFINITY)),
        "OneCycleLr.final_div_factor: must be a finite number above 0, it is inf"
    );
    assert_eq!(refused(&sgd, one_cycle.momentum(0.1, -0.5)), format!("OneCycleLr.max_momentum: {NOT_NEGATIVE} -0.5"));
    assert_eq!(
        refused(&sgd, one_cycle.momentum(0.96, 0.95)),
        "OneCycleLr.base_momentum: must be a finite number of 0 to max_momentum, which is 0.95, it is 0.96"
    );
    assert!(Schedule::new(&sgd, one_cycle.cycle_momentum(false).momentum(-1.0, -1.0)).is_ok(), "they do not count");
    assert_eq!(
        refused(&sgd.clone().nesterov(true), one_cycle.momentum(0.0, 0.95)),
        "OneCycleLr.base_momentum: must be above 0 with nesterov; or set cycle_momentum to false"
    );
}

#[test]
fn settings_of_a_plateau_out_of_range_are_named() {
    let sgd = Sgd::new(0.1).momentum(0.9);
    let plateau = ReduceLrOnPlateau::new();
    for factor in [-0.5, 1.0, f64::NAN] {
        assert_eq!(
            refused(&sgd, plateau.factor(factor)),
            format!("ReduceLrOnPlateau.factor: must be a finite number of at least 0 and below 1, it is {factor}")
        );
    }
    assert_eq!(
        refused(&sgd, plateau.threshold(-1.0, ThresholdMode::Abs)),
        format!("ReduceLrOnPlateau.threshold: {NOT_NEGATIVE} -1")
    );
    assert_eq!(
        refused(&sgd, plateau.threshold(1.0, ThresholdMode::Rel)),
        "ReduceLrOnPlateau.threshold: must be below 1 as a part of a metric to be made smaller, it is 1"
    );
    assert!(Schedule::new(&sgd, plateau.threshold(1.0, ThresholdMode::Abs)).is_ok());
    assert_eq!(
        refused(&sgd, plateau.min_lr(0.2)),
        "ReduceLrOnPlateau.min_lr: must be a finite number of 0 to lr, which is 0.1, it is 0.2"
    );
    assert_eq!(refused(&sgd, plateau.eps(-1e-8)), format!("ReduceLrOnPlateau.eps: {NOT_NEGATIVE} -0.00000001"));
}

#[test]
fn schedules_by_name_say_what_they_are() {
    let sgd = Sgd::new(0.1).momentum(0.9);
    let expected = [
        "constant: lr 0.1",
        "step: lr 0.1, times 0.1 every 30 epochs",
        "multistep: lr 0.1, times 0.1 from epoch 45, 68 on",
        "exponential: lr 0.1, times 0.950",
        "cosine: lr 0.1 to 0 over 90 epochs",
        "cosine-warmup: lr from 0.01 of 0.1 up over 900 steps, then lr 0.1 to 0 over 8100 steps",
        "onecycle: lr from 1/25 of 0.1 up to 0.1 over 30% of 9000 steps, then down to 1/250000 by cosines, \
         momentum 0.95 to 0.85 and back",
        "plateau: lr 0.1, times 0.1 (down to 0) when the metric is not smaller for more than 9 epochs",
        "polynomial: lr 0.1 to 0 over 90 epochs, power 1",
    ];
    for (name, expected) in Schedule::NAMES.into_iter().zip(expected) {
        let line = Schedule::named(name, &sgd, 90, 100).unwrap().to_string();
        assert!(line.starts_with(expected), "{name}: {line}");
        assert!(expected.starts_with(name));
        // The shortest and the longest runs have settings in range as well.
        for (epochs, steps) in [(1, 1), (1, 10), (2, 1), (3, 7), (1000, 1_000_000)] {
            let schedule = Schedule::named(name, &sgd, epochs, steps).unwrap();
            let last = schedule.rates(epochs * steps - 1, epochs - 1);
            assert!((0.0..=0.1 + 1e-12).contains(&last.lr) && last.momentum > 0.0, "{schedule}: {last:?}");
        }
    }
    let three = OneCycleLr::new(1).three_phase(true).anneal_strategy(Anneal::Linear).cycle_momentum(false);
    assert_eq!(
        Schedule::new(&sgd, three).unwrap().to_string(),
        "onecycle: lr from 1/25 of 0.1 up to 0.1 over 30% of 1 step, then down to 1/250000 in three phases by straight lines"
    );
    let plain = Schedule::named("onecycle", &Sgd::new(0.1), 2, 5).unwrap();
    assert_eq!(plain.at(3).momentum, 0.0, "who asks for no momentum gets none");
    let message = |name, epochs, steps| Schedule::named(name, &sgd, epochs, steps).unwrap_err().to_string();
    assert_eq!(
        message("cosin", 1, 1),
        "schedule: \"cosin\" is not known; there are constant, step, multistep, exponential, cosine, cosine-warmup, \
         onecycle, plateau, polynomial"
    );
    assert_eq!(message("step", 0, 1), "epochs: must be at least 1, it is 0");
    assert_eq!(message("step", 1, 0), "steps_per_epoch: must be at least 1, it is 0");
}

/// Trains a linear model on 64 images, eight a step, for six epochs.
fn fit(sgd: Sgd, schedule: Option<Schedule>) -> Result<History> {
    let model = Sequential::new().with("flatten", Flatten).with("fc", Linear::new(784, 10));
    let mut train = ResidentSource::new("train", synthetic::digits(1, 64));
    let mut validation = ResidentSource::new("validation", synthetic::digits(2, 32));
    let engine = CpuEngine::new();
    let options = TrainOptions::default().epochs(6).batch_size(8).seed(1).report_every(5);
    let mut trainer = Trainer::new(model, sgd, engine, options, &train)?;
    if let Some(schedule) = schedule {
        trainer = trainer.schedule(schedule);
    }
    trainer.fit(&mut train, &mut validation)
}

#[test]
fn the_trainer_takes_the_rates_of_every_step_from_the_schedule() {
    let plain = Sgd::new(0.1);
    let momentum = plain.clone().momentum(0.9);
    let lrs = |history: &History| history.epochs.iter().map(|epoch| epoch.lr).collect::<Vec<_>>();
    let history = fit(momentum.clone(), None).unwrap();
    assert_eq!(lrs(&history), [0.1; 6]);

    // One cycle between equal rates is a constant that the optimizer does not have.
    let flat = OneCycleLr::new(48).div_factor(1.0).final_div_factor(1.0).momentum(0.9, 0.9);
    let scheduled = fit(plain.clone(), Some(Schedule::new(&plain, flat).unwrap())).unwrap();
    assert_eq!(scheduled.losses, history.losses);
    assert_ne!(fit(plain.clone(), None).unwrap().losses, history.losses);

    // By epochs: from the third on nothing moves.
    let still = Schedule::new(&plain, StepLr::new(2).gamma(0.0)).unwrap();
    let scheduled = fit(plain.clone(), Some(still)).unwrap();
    assert_eq!(lrs(&scheduled), [0.1, 0.1, 0.0, 0.0, 0.0, 0.0]);
    let validation: Vec<f64> = scheduled.epochs.iter().map(|epoch| epoch.validation_loss).collect();
    assert!(validation[0] != validation[1] && validation[1..].iter().all(|&loss| loss == validation[1]));

    // By steps, with the last one's learning rate in the history's column before the times.
    let cosine = || Schedule::new(&plain, CosineAnnealingLr::new(48)).unwrap().counting(Unit::Step);
    let scheduled = fit(plain.clone(), Some(cosine())).unwrap();
    let expected: Vec<f64> = (1..=6).map(|epoch| cosine().at(8 * epoch - 1).lr).collect();
    assert_eq!(lrs(&scheduled), expected);
    let csv = scheduled.to_csv();
    let mut lines = csv.lines();
    assert!(lines.next().unwrap().ends_with(",validation_accuracy,lr,seconds,images_per_second"));
    for (line, expected) in lines.zip(expected) {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(fields[fields.len() - 3].parse::<f64>(), Ok(expected), "{line}");
    }
}

#[test]
fn a_plateau_follows_the_validation_after_each_epoch() {
    let sgd = Sgd::new(0.1);
    for mode in [Mode::Min, Mode::Max] {
        // Hardly anything is better by so much, so that the learning rate falls.
        let rule = ReduceLrOnPlateau::new().mode(mode).patience(0).factor(0.5).threshold(0.3, ThresholdMode::Abs);
        let history = fit(sgd.clone(), Some(Schedule::new(&sgd, rule).unwrap())).unwrap();
        let mut again = Schedule::new(&sgd, rule).unwrap();
        for epoch in &history.epochs {
            assert_eq!(epoch.lr, again.at(0).lr, "{mode:?}: {:?}", history.epochs);
            again.observe(if mode == Mode::Min { epoch.validation_loss } else { epoch.validation_accuracy });
        }
        assert!(again.at(0).lr < 0.1, "{mode:?}: {:?}", history.epochs);
    }
}

#[test]
fn a_run_that_diverges_names_the_learning_rate_of_its_last_step() {
    let sgd = Sgd::new(1.0);
    let growing = Schedule::new(&sgd, ExponentialLr::new(1e60)).unwrap();
    let second = growing.at(1).lr;
    let error = fit(sgd, Some(growing)).unwrap_err().to_string();
    assert!(error.contains("diverged") && error.contains(&format!("(epoch 2, learning rate {second:?})")), "{error}");
}

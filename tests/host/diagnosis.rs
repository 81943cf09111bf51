//! The verdict on a run, from made-up curves of each kind.

use tilegrad::rng::Rng;
use tilegrad::train::{Diagnosis, Epoch, Fit};

/// Losses and accuracies of an epoch: training, validation.
type Point = [(f64, f64); 2];

fn epoch(epoch: usize, [train, validation]: Point) -> Epoch {
    Epoch {
        epoch,
        train_loss: train.0,
        train_accuracy: train.1,
        validation_loss: validation.0,
        validation_accuracy: validation.1,
        lr: 0.1,
        seconds: 1.0,
        images_per_second: 1.0,
        metrics: Vec::new(),
    }
}

fn run(count: usize, point: impl Fn(f64) -> Point) -> Vec<Epoch> {
    (1..=count).map(|i| epoch(i, point(i as f64))).collect()
}

/// As `run`, with noise of about this size on every number.
fn noisy(seed: u64, count: usize, size: f64, point: impl Fn(f64) -> Point) -> Vec<Epoch> {
    let rng = Rng::new(seed, "noise");
    let mut epochs = run(count, point);
    for (i, epoch) in epochs.iter_mut().enumerate() {
        let noise = |k: u64| size * f64::from(rng.normal(i as u64 * 4 + k));
        epoch.train_loss *= 1.0 + noise(0);
        epoch.validation_loss *= 1.0 + noise(1);
        epoch.train_accuracy = (epoch.train_accuracy + noise(2) / 3.0).min(1.0);
        epoch.validation_accuracy = (epoch.validation_accuracy + noise(3) / 3.0).min(1.0);
    }
    epochs
}

fn of(epochs: &[Epoch]) -> Diagnosis {
    Diagnosis::new(epochs).expect("there are epochs")
}

#[track_caller]
fn says(epochs: &[Epoch], classes: usize, fit: Fit, words: &[&str], tries: &[&str]) {
    let diagnosis = Diagnosis::of_classes(epochs, classes).expect("there are epochs");
    let (text, advice) = (diagnosis.to_string(), diagnosis.advice.join("\n"));
    assert_eq!(diagnosis.fit, fit, "{text}");
    words.iter().for_each(|word| assert!(text.contains(word), "{word}: {text}"));
    tries.iter().for_each(|word| assert!(advice.contains(word), "{word}: {advice}"));
}

/// A loss that falls from 2.3 to `floor` with this many epochs to each third of the rest.
fn fall(epoch: f64, floor: f64, pace: f64) -> f64 {
    floor + (2.3 - floor) * (-epoch / pace).exp()
}

const OVER: [&str; 6] = ["weight decay", "L1", "dropout", "augmentation", "smaller network", "fewer epochs"];

#[test]
fn a_gap_of_accuracies_is_overfitting() {
    let gap = |e: f64| [(fall(e, 0.01, 4.0), 0.999), (fall(e, 0.4, 3.0), 0.9)];
    says(
        &run(1, gap),
        10,
        Fit::Over,
        &["overfitted: training accuracy 0.999", "0.099 above", "limit 0.05"],
        &OVER[..5],
    );
    let turning = |e: f64| [(fall(e, 0.01, 4.0), 0.999), (0.4 + 0.01 * (e - 9.0).powi(2), 0.9)];
    says(&run(30, turning), 10, Fit::Over, &["0.099"], &OVER);
    assert!(of(&run(30, turning)).advice[5].contains("of 30"));
    // Hard data of many classes: far from right on new images, and further on known ones.
    says(&run(40, |e| [(fall(e, 0.7, 5.0), 0.8), (fall(e, 2.0, 5.0), 0.45)]), 100, Fit::Over, &["0.350"], &OVER[..5]);
}

#[test]
fn a_validation_loss_that_turns_upward_is_overfitting() {
    let turned = [epoch(1, [(0.2, 0.95), (0.1, 0.97)]), epoch(2, [(0.05, 0.99), (0.2, 0.96)])];
    says(&turned, 10, Fit::Over, &["risen 100%", "epoch 1 ", "0.0500"], &["fewer epochs", "epoch 1 of 2"]);
    let turned = |e: f64| [(fall(e, 0.02, 5.0), 0.98), (0.15 + 0.02 * (e - 8.0).abs(), 0.95)];
    says(&run(25, turned), 10, Fit::Over, &["has risen", "training loss fell"], &["fewer epochs"]);
    // The same rise while training gets worse too is none.
    let both = |e: f64| [(0.1 + 0.02 * e, 0.97), (0.15 + 0.02 * e, 0.96)];
    assert_ne!(of(&run(10, both)).fit, Fit::Over);
    // Nor is one among tiny losses.
    let tiny = [epoch(1, [(0.02, 0.995), (0.009, 0.998)]), epoch(2, [(0.01, 0.997), (0.014, 0.997)])];
    says(&tiny, 10, Fit::Well, &[], &[]);
}

#[test]
fn poor_and_flat_is_underfitting() {
    let flat = |e: f64| [(fall(e, 1.2, 2.0), 0.55), (fall(e, 1.25, 2.0), 0.54)];
    let tries = ["larger network", "learning rate", "less weight decay, L1 and dropout", "augmentation", "more epochs"];
    says(
        &run(30, flat),
        10,
        Fit::Under,
        &["underfitted: training accuracy 0.550", "0.540", "guessing gives 0.100"],
        &tries,
    );
    assert!(of(&run(30, flat)).to_string().contains("below 0.900"));
    // One epoch alone says little, so the first thing to try is another.
    assert!(of(&run(1, flat)).advice[0].starts_with("more epochs"));
    // Two classes: 0.9 is far from guessing's 0.5 by 0.8 of the way only.
    says(&run(20, |e| [(fall(e, 0.25, 2.0), 0.92), (fall(e, 0.26, 2.0), 0.91)]), 2, Fit::Under, &["0.950"], &tries);
    // Hard data: a network that has not even learnt what it saw could do more, however little it could on new images.
    says(&run(60, |e| [(fall(e, 1.6, 5.0), 0.52), (fall(e, 1.7, 5.0), 0.5)]), 100, Fit::Under, &["0.901"], &tries);
}

#[test]
fn chance_level_is_held_against_the_number_of_classes() {
    let guess = |accuracy: f64, loss: f64| run(8, |_| [(loss, accuracy), (loss, accuracy - 0.002)]);
    let tries = ["ten times smaller", "ten images", "normalised"];
    says(&guess(0.51, 0.693), 2, Fit::Under, &["hardly better than guessing, 0.500"], &tries);
    says(&guess(0.012, 4.6), 100, Fit::Under, &["hardly better than guessing, 0.010"], &tries);
    // What is chance of 2 classes is much learnt of 100.
    let much = Diagnosis::of_classes(&guess(0.51, 2.0), 100).unwrap();
    assert!(much.fit == Fit::Under && !much.reason.contains("hardly"), "{much}");
    // Without their number nothing is said of guessing.
    assert!(!of(&guess(0.012, 4.6)).reason.contains("guess"));
    says(&guess(1.0, 0.0), 1, Fit::Well, &[], &[]);
}

#[test]
fn curves_that_still_get_better_are_not_done() {
    let steady = |e: f64| [(2.3 - 0.1 * e, 0.1 + 0.04 * e), (2.3 - 0.09 * e, 0.1 + 0.035 * e)];
    says(
        &run(10, steady),
        10,
        Fit::Improving,
        &["still improving", "last 3 epochs", "fell by 0.2000"],
        &["more epochs"],
    );
    // Too few to see a trend.
    says(&run(2, steady), 10, Fit::Under, &[], &["more epochs"]);
    // Where the schedule has ended, more of the same would change nothing.
    let mut annealed = run(10, steady);
    annealed.last_mut().unwrap().lr = 1e-5;
    says(&annealed, 10, Fit::Under, &[], &["schedule"]);
    // Still at chance, but moving.
    says(&run(9, |e| [(4.6 - 0.2 * e, 0.01 * e), (4.6 - 0.2 * e, 0.01 * e)]), 100, Fit::Improving, &[], &[]);
    // A loss that still falls by a hair on the way to nothing is done.
    says(&run(12, |e| [(0.5 * 0.8f64.powf(e), 0.99), (0.05, 0.985)]), 10, Fit::Well, &[], &[]);
}

#[test]
fn good_and_close_is_well_fitted() {
    let well = |e: f64| [(fall(e, 0.05, 2.0), 0.985), (fall(e, 0.06, 2.0), 0.98)];
    says(&run(1, well), 10, Fit::Well, &["well fitted: training accuracy 0.985"], &["larger network"]);
    says(&run(30, well), 10, Fit::Well, &["0.980"], &[]);
    // Under augmentation and dropout, training looks worse than it is.
    says(&run(30, |e| [(fall(e, 0.5, 3.0), 0.82), (fall(e, 0.2, 3.0), 0.94)]), 10, Fit::Well, &["0.820"], &[]);
}

#[test]
fn what_is_no_number_is_said() {
    let mut epochs = run(6, |e| [(fall(e, 0.1, 2.0), 0.9), (fall(e, 0.1, 2.0), 0.9)]);
    epochs[3].validation_loss = f64::INFINITY;
    let tries = ["learning rate ten times smaller", "clipped", "labels"];
    says(&epochs, 10, Fit::Diverged, &["diverged: validation loss is inf in epoch 4"], &tries);
    epochs[1].train_loss = f64::NAN;
    says(&epochs, 10, Fit::Diverged, &["training loss is NaN in epoch 2"], &tries);
    says(&epochs[1..2], 10, Fit::Diverged, &["NaN"], &tries);
    // A run that loses all that it had learnt.
    let lost = |e: f64| if e < 6.0 { [(2.3 - 0.3 * e, 0.5); 2] } else { [(2.303, 0.1); 2] };
    says(&run(12, lost), 10, Fit::Diverged, &["fell to 1.1", "2.3030 at the end"], &tries);
    assert_eq!(Diagnosis::new(&[]), None);
    assert_eq!(Diagnosis::of_classes(&[], 10), None);
}

#[test]
fn noise_decides_nothing() {
    for seed in 0..40 {
        let of = |epochs: Vec<Epoch>| Diagnosis::of_classes(&epochs, 10).unwrap();
        let over = of(noisy(seed, 30, 0.05, |e| [(fall(e, 0.05, 4.0), 0.98), (fall(e, 0.6, 3.0), 0.85)]));
        assert_eq!(over.fit, Fit::Over, "seed {seed}: {over}");
        let under = of(noisy(seed, 30, 0.05, |e| [(fall(e, 1.2, 2.0), 0.55), (fall(e, 1.25, 2.0), 0.55)]));
        assert_eq!(under.fit, Fit::Under, "seed {seed}: {under}");
        let well = of(noisy(seed, 30, 0.03, |e| [(fall(e, 0.05, 2.0), 0.98), (fall(e, 0.06, 2.0), 0.97)]));
        assert_eq!(well.fit, Fit::Well, "seed {seed}: {well}");
        let improving =
            of(noisy(seed, 30, 0.01, |e| [(2.3 - 0.05 * e, 0.1 + 0.02 * e), (2.3 - 0.045 * e, 0.1 + 0.019 * e)]));
        assert_eq!(improving.fit, Fit::Improving, "seed {seed}: {improving}");
    }
    // One odd epoch at the end.
    let mut epochs = run(10, |e| [(fall(e, 0.05, 2.0), 0.98), (fall(e, 0.06, 2.0), 0.97)]);
    let last = epochs.last_mut().unwrap();
    (last.validation_loss, last.validation_accuracy) = (3.0, 0.4);
    says(&epochs, 10, Fit::Well, &[], &[]);
}

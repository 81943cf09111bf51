//! `--tune` and `--pin`: the choice of candidates for a run.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use tilegrad::Result;
use tilegrad::data::BatchSource;
use tilegrad::train::Trainer;

use super::Options;

/// Uses the choices of `--pin`.
pub fn pin(options: &Options, trainer: &mut Trainer, train: &dyn BatchSource) -> Result<()> {
    if let Some(file) = &options.pin {
        let count = trainer.pin(file, train)?;
        println!("pinned   {count} choices of {}", file.display());
    }
    Ok(())
}

/// Tunes for `--tune`.
pub fn tune(options: &Options, trainer: &mut Trainer, train: &dyn BatchSource) -> Result<()> {
    if !options.tune {
        return Ok(());
    }
    let began = Instant::now();
    let bar = ProgressBar::new(0);
    let style = "tuning {bar:30} {pos}/{len} {msg}";
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    let (mut taken, mut without) = (0.0, 0.0);
    let tuned = trainer.tune(train, &mut |event| {
        bar.set_length(event.of as u64);
        bar.set_position(event.done as u64);
        let [best, default] = event.milliseconds;
        bar.set_message(format!("{} {best:.2} ms", event.choice));
        (taken, without) = (taken + best, without + default);
        log::info!("{}: {} {best:.3} ms, {default:.3} ms without", event.key, event.choice);
    })?;
    bar.finish_and_clear();
    let Some(tuning) = tuned else {
        println!("tuned    nothing: the reference executor has one way to compute each operation");
        return Ok(());
    };
    println!(
        "tuned    {} shapes measured in {:.1} s, {} known from earlier runs: {taken:.2} ms where it was {without:.2}",
        tuning.measured,
        began.elapsed().as_secs_f64(),
        tuning.cached
    );
    if tuning.left > 0 {
        println!("         no time for {} more, which the next --tune measures", tuning.left);
    }
    Ok(())
}

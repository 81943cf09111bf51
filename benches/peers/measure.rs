//! What the Rust programs of this folder share: the command line, the loop of steps and the line that tells of it.

use std::time::Instant;

/// The images of a step and how many steps are timed.
pub struct Work {
    pub network: String,
    pub batch: usize,
    pub steps: usize,
}

/// Reads `NETWORK BATCH STEPS`.
pub fn work(arguments: &[String]) -> Option<Work> {
    let [network, batch, steps] = arguments else { return None };
    let (batch, steps) = (batch.parse().ok()?, steps.parse().ok()?);
    (batch > 0 && steps > 0).then(|| Work { network: network.clone(), batch, steps })
}

/// Runs `step` once and then as often as asked, and prints the first time and the median of the others in ms. A step
/// returns when everything that it started has run.
pub fn steps<E>(engine: &str, work: &Work, mut step: impl FnMut() -> Result<(), E>) -> Result<(), E> {
    let mut times = Vec::new();
    for _ in 0..=work.steps {
        let began = Instant::now();
        step()?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let first = times.remove(0);
    times.sort_by(f64::total_cmp);
    let (least, median) = (times[0], times[times.len() / 2]);
    println!(
        r#"{{"engine": "{engine}", "network": "{}", "batch": {}, "steps": {}, "first_ms": {first:.3}, "median_ms": {median:.3}, "min_ms": {least:.3}}}"#,
        work.network, work.batch, work.steps
    );
    Ok(())
}

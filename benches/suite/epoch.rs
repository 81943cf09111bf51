//! An epoch of training as users run it: the trainer, over colour images that lie in the device's memory, with crop and flip.

use serde_json::json;
use tilegrad::Result;
use tilegrad::data::{Augmentation, ResidentSource, shapes};
use tilegrad::optim::Sgd;
use tilegrad::train::{GpuEngine, TrainOptions, Trainer};

use crate::Bench;
use crate::networks::Network;
use crate::report::{ms, rate};

pub fn run(bench: &mut Bench) -> Result<()> {
    let networks = match bench.options.networks.is_empty() {
        true => vec![Network::Resnet18],
        false => bench.options.networks.clone(),
    };
    let columns = [
        ("network", -13),
        ("batch", 5),
        ("images", 7),
        ("seconds", 8),
        ("first step ms", 14),
        ("images/s after it", 18),
        ("loss", 8),
        ("right", 7),
    ];
    bench.report.table("An epoch of training on synthetic images of 32x32, the first one", &columns);
    for network in networks {
        one(bench, network)?;
    }
    Ok(())
}

fn one(bench: &mut Bench, network: Network) -> Result<()> {
    let batch = bench.batch();
    let count = bench.options.images.map_or(if bench.software() { 512 } else { 50_000 }, |images| images as usize);
    let what = format!("{} batch {batch}, {count} images", network.name());
    if network.shape(1) != [1, 3, 32, 32] {
        bench.report.skip(&what, "this section is for images of 3x32x32");
        return Ok(());
    }
    let width = bench.options.width as usize;
    let steps = count.div_ceil(batch) as u64;
    if !bench.has_time_for(&what, steps * network.training(batch, width)?.multiply_adds() / 2) {
        return Ok(());
    }
    let crop = Augmentation { padding: 4, flip: 0.5, ..Augmentation::default() };
    let mut train = ResidentSource::new("train", shapes::shapes(1, count)).augmented(crop);
    let mut validation = ResidentSource::new("validation", shapes::shapes(2, batch));
    let model = network.model(width);
    let engine = GpuEngine::new(bench.device.clone());
    let options = TrainOptions::default().batch_size(batch);
    let optimizer = Sgd::new(0.05).momentum(0.9).weight_decay(5e-4);
    let history = Trainer::new(model, optimizer, engine, options, &train)
        .and_then(|mut trainer| trainer.fit(&mut train, &mut validation));
    let Some(history) = bench.fits(&what, history)? else { return Ok(()) };
    let Some(epoch) = history.epochs.last() else { return Ok(()) };
    let seconds = count as f64 / epoch.images_per_second;
    let warm = (count > batch).then(|| (count - batch) as f64 / (seconds - history.first_step_ms * 1e-3));
    bench.report.row(
        &[
            network.name().into(),
            batch.to_string(),
            count.to_string(),
            format!("{seconds:.2}"),
            ms(history.first_step_ms),
            warm.map_or("-".into(), rate),
            format!("{:.4}", epoch.train_loss),
            format!("{:.1}%", 100.0 * epoch.train_accuracy),
        ],
        json!({
            "network": network.name(), "batch": batch, "width": width, "images": count, "seconds": seconds,
            "first_step_ms": history.first_step_ms, "images_per_second": warm, "median_step_ms": history.median_step_ms,
            "loss": epoch.train_loss, "accuracy": epoch.train_accuracy,
        }),
    );
    Ok(())
}

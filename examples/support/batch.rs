//! `--show-batch`: a sheet of the first training batch.

use std::path::Path;

use tilegrad::data::{BatchSource, Normalisation};
use tilegrad::report::batch::{MOST, batch, captions};
use tilegrad::shape::ImageSize;
use tilegrad::train::{SeenBatch, Trainer};
use tilegrad::{Error, Result};

use super::Options;

/// Draws the next batch of `train` into `file`, with the names of its classes.
pub fn show_batch(
    options: &Options,
    file: &Path,
    trainer: &mut Trainer,
    train: &mut dyn BatchSource,
    names: &[String],
    normalisation: &Normalisation,
) -> Result<()> {
    let SeenBatch { values, shape, labels, .. } = trainer.next_batch(train)?;
    let &[count, channels, height, width] = shape.as_slice() else {
        return Err(Error::config("show-batch", format!("draws images, a batch has the shape {shape:?}")));
    };
    let names = captions(names);
    let name = |i: usize| {
        let label = labels.get(i).copied().unwrap_or(-1);
        let name = usize::try_from(label).ok().and_then(|label| names.get(label).cloned());
        name.unwrap_or_else(|| label.to_string())
    };
    // Mixup blends a batch with itself in reverse order.
    let caption = |i: usize| match options.mixup {
        Some(_) => format!("{} + {}", name(i), name(count - 1 - i)),
        None => name(i),
    };
    let captions: Vec<String> = (0..count).map(caption).collect();
    let size = ImageSize::new(height, width, channels);
    let title = format!("step {}: {count} images", trainer.run().steps + 1);
    batch(&title, &values, size, normalisation, &captions)?.save(file)?;
    options.say(format_args!("batch    {} of {count} images drawn: {}", count.min(MOST), file.display()));
    Ok(())
}

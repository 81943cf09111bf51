//! The files that a run leaves in its folder: what was taken for what, and pictures.

use std::path::Path;

use tilegrad::Result;
use tilegrad::data::{ImageSet, Normalisation};
use tilegrad::files::write_whole;
use tilegrad::nn::Module;
use tilegrad::ops::confusion::Confusion;
use tilegrad::report::{confusion, sheet};
use tilegrad::train::{Engine, Predictor};

/// How many mistakes are shown.
const SHOWN: usize = 120;

/// Which classes were taken for which, as confusion.txt and confusion.png; classes without names have their numbers.
pub fn write_confusion(dir: &Path, found: &Confusion, names: &[String]) -> Result<()> {
    let text = confusion::text(found.classes, &found.counts, names)?;
    write_whole(&dir.join("confusion.txt"), text.as_bytes())?;
    confusion::picture(found.classes, &found.counts, names)?.save(&dir.join("confusion.png"))
}

/// filters.png and features.png of the first layer, and mistakes.png of `images`.
pub fn write_pictures(
    dir: &Path,
    model: &dyn Module,
    engine: &mut dyn Engine,
    images: &ImageSet,
    normalisation: Normalisation,
) -> Result<()> {
    let mut predictor = Predictor::new(model, engine, images.image_size(), normalisation);
    if let Some(first) = predictor.first_layer(images, 0)? {
        let title = format!("{}: filters", first.name);
        sheet::filters(&title, &first.filters, first.filters_shape, sheet::Scaling::Each)?
            .save(&dir.join("filters.png"))?;
        let (each, viridis) = (sheet::Scaling::Each, sheet::Colours::Viridis);
        sheet::feature_maps("first layer: feature maps", &first.maps, first.maps_size, each, viridis)?
            .save(&dir.join("features.png"))?;
    }
    let wrong = wrong(&predictor.probabilities(images)?, images);
    if !wrong.is_empty() {
        // From all classes, where the images are ordered by them.
        let step = wrong.len().div_ceil(SHOWN);
        let shown: Vec<sheet::Wrong> = wrong.into_iter().step_by(step).collect();
        sheet::misclassified(images, &shown)?.save(&dir.join("mistakes.png"))?;
    }
    Ok(())
}

/// The images whose most probable class is not theirs.
pub fn wrong(probabilities: &[Vec<f64>], images: &ImageSet) -> Vec<sheet::Wrong> {
    let predicted = probabilities.iter().map(|of| best(of));
    let all = predicted.zip(&images.labels).enumerate();
    let wrong = all.filter(|(_, (predicted, label))| *predicted != **label as usize);
    wrong.map(|(image, (predicted, _))| sheet::Wrong { image, predicted }).collect()
}

/// The most probable class, the first of equals.
pub fn best(probabilities: &[f64]) -> usize {
    (0..probabilities.len()).rev().max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b])).unwrap_or(0)
}

//! Predictions of a trained model: class probabilities, and the output of its first layer.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::engine::{Engine, ProgramId};
use super::{ModelCard, weights};
use crate::data::{Bytes, Dataset, ImageOptions, ImageSet, Normalisation, Pixels, image_file};
use crate::error::{Error, Result, printable};
use crate::graph::{Purpose, Stage, Tape};
use crate::nn::Module;
use crate::ops::gather::Gather;
use crate::report::Prediction;
use crate::report::predictions::log_sum_exp;
use crate::shape::ImageSize;
use crate::tensor::{Spec, TensorId, Values};

/// Number of images in one forward pass.
const BATCH: usize = 64;

/// A model whose parameters are on an engine, here an engine after training; [`Predictor::load`] reads them from a
/// file.
///
/// ```
/// use tilegrad::data::{Normalisation, ResidentSource, synthetic};
/// use tilegrad::nn::{Flatten, Linear, Sequential};
/// use tilegrad::optim::Sgd;
/// use tilegrad::train::{CpuEngine, Predictor, TrainOptions, Trainer};
///
/// let images = synthetic::digits(1, 200);
/// let (size, normalisation) = (images.image_size(), Normalisation::of(&images));
/// let source = |name| ResidentSource::new(name, images.clone()).normalised(normalisation);
/// let (mut train, mut validation) = (source("train"), source("validation"));
/// let model = Sequential::new().with("flatten", Flatten).with("fc", Linear::new(28 * 28, 10));
/// let options = TrainOptions::default().epochs(4).batch_size(20);
/// let mut trainer = Trainer::new(model, Sgd::new(0.01), CpuEngine::new(), options, &train)?;
/// trainer.fit(&mut train, &mut validation)?;
///
/// let (model, engine) = trainer.model_and_engine();
/// let mut predictor = Predictor::new(model, engine, size, normalisation);
/// let probabilities = predictor.probabilities(&images.subset(&[0, 1, 2]))?;
/// assert_eq!((probabilities.len(), probabilities[0].len()), (3, 10));
/// assert!((probabilities[0].iter().sum::<f64>() - 1.0).abs() < 1e-9);
/// # Ok::<(), tilegrad::Error>(())
/// ```
pub struct Predictor<'a> {
    model: &'a dyn Module,
    engine: &'a mut dyn Engine,
    size: ImageSize,
    normalisation: Normalisation,
    /// By number of images, the program with its logits and the output of its first convolution.
    programs: HashMap<usize, (ProgramId, TensorId, Option<TensorId>)>,
}

/// The first convolution of a model, on one image.
#[derive(Clone, Debug, PartialEq)]
pub struct FirstLayer {
    /// Name of the weight.
    pub name: String,
    /// Shape of the filters, [out, in, height, width].
    pub filters_shape: [usize; 4],
    /// The filters in PyTorch's order.
    pub filters: Vec<f32>,
    /// Size of the output.
    pub maps_size: ImageSize,
    /// The output for the image, [channels, height, width].
    pub maps: Vec<f32>,
}

impl<'a> Predictor<'a> {
    /// Creates a predictor over the parameters of `model` on `engine`, for images of `size`.
    pub fn new(
        model: &'a dyn Module,
        engine: &'a mut dyn Engine,
        size: ImageSize,
        normalisation: Normalisation,
    ) -> Self {
        Predictor { model, engine, size, normalisation, programs: HashMap::new() }
    }

    /// Creates a predictor with the parameters of the file at `path`. `card` is the file's, and `model` is built by
    /// [`ModelCard::build`]. Errors are those of [`weights::load`]: values that are not finite are refused, too.
    pub fn load(path: &Path, card: &ModelCard, model: &'a dyn Module, engine: &'a mut dyn Engine) -> Result<Self> {
        let predictor = Predictor::new(model, engine, card.image_size, card.normalisation);
        let (tape, ..) = predictor.tape(1)?;
        weights::initialise(path, &tape, predictor.engine)?;
        Ok(predictor)
    }

    fn tape(&self, count: usize) -> Result<(Tape, TensorId, Option<TensorId>)> {
        let mut tape = Tape::new(Purpose::Evaluate);
        let input = tape.input("input", Spec::f32(self.size.nchw(count)))?;
        let logits = self.model.forward(&mut tape, input)?;
        tape.keep(logits);
        let first = tape.nodes().iter().find(|node| node.op.name() == "conv2d").map(|node| node.outputs[0]);
        first.into_iter().for_each(|id| tape.keep(id));
        Ok((tape, logits, first))
    }

    /// The logits of the images at `indices`, at most [`BATCH`], their labels, and the program that computed them.
    fn run(&mut self, images: &dyn Dataset, indices: &[u32]) -> Result<(Vec<f32>, Vec<i32>, ProgramId)> {
        let (found, size) = (images.image_size(), self.size);
        if found != size {
            let error = Error::config("images", format!("are {found}, the model is for {size}"));
            return Err(error.between(size, found));
        }
        let count = indices.len();
        let (program, logits, _) = match self.programs.get(&count) {
            Some(&found) => found,
            None => {
                let (tape, logits, first) = self.tape(count)?;
                let made = (self.engine.compile(tape)?, logits, first);
                self.programs.insert(count, made);
                made
            }
        };
        let op = Gather { scale: self.normalisation.scale, shift: self.normalisation.shift, augment: None };
        let Bytes { images, labels, .. } = Bytes::read(images, indices, None)?;
        let values = size.values().max(1);
        let mut inputs = vec![0.0; count * size.values()];
        inputs.par_chunks_mut(values).zip(images.par_chunks(values)).for_each(|(output, image)| {
            op.image(image, size.chw(), 0, &[], output);
        });
        self.engine.upload(program, "input", Values::F32(&inputs))?;
        self.engine.run(program, &[Stage::Forward])?;
        Ok((self.engine.read(program, logits)?, labels, program))
    }

    /// Calls `each` with the index, the label and the output of every image, in order and in batches.
    fn each(&mut self, images: &dyn Dataset, mut each: impl FnMut(usize, i32, &[f32]) -> Result<()>) -> Result<()> {
        let all: Vec<u32> = (0..images.len() as u32).collect();
        for indices in all.chunks(BATCH) {
            let (outputs, labels, _) = self.run(images, indices)?;
            let outputs = outputs.chunks((outputs.len() / indices.len()).max(1));
            for ((&index, label), output) in indices.iter().zip(labels).zip(outputs) {
                each(index as usize, label, output)?;
            }
        }
        Ok(())
    }

    /// Returns the network's raw output for each image, in PyTorch's order: logits, or the output of a custom network.
    pub fn outputs(&mut self, images: &dyn Dataset) -> Result<Vec<Vec<f32>>> {
        let mut found = Vec::with_capacity(images.len());
        self.each(images, |_, _, output| {
            found.push(output.to_vec());
            Ok(())
        })?;
        Ok(found)
    }

    /// Returns the class probabilities of each image, the softmax of the logits. [`Error::Config`] names the output and
    /// the image if there are none, since logits are NaN or infinite.
    pub fn probabilities(&mut self, images: &dyn Dataset) -> Result<Vec<Vec<f64>>> {
        let (mut found, output) = (Vec::with_capacity(images.len()), self.output()?);
        self.each(images, |image, _, logits| {
            found.push(softmax(logits).ok_or_else(|| not_finite(&output, &name(images, image), logits))?);
            Ok(())
        })?;
        Ok(found)
    }

    /// Returns the prediction for each image, with its loss. At no time are more images in memory than a batch, unless
    /// `images` itself holds them. Errors are those of [`Predictor::probabilities`], and those of reading the images.
    pub fn predictions(&mut self, images: &dyn Dataset) -> Result<Vec<Prediction>> {
        let (mut found, output) = (Vec::with_capacity(images.len()), self.output()?);
        self.each(images, |image, label, logits| {
            if log_sum_exp(logits).is_none() {
                return Err(not_finite(&output, &name(images, image), logits));
            }
            found.push(Prediction::of(image, label as usize, logits)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// Decodes image files on all cores, as `options` say, and calls `each` with every file and its class probabilities,
    /// in batches. Where there are none, it is called with the error: of a file that can't be read, or of logits that
    /// are NaN or infinite. These come first of their batch; other files keep their order.
    ///
    /// An error of `each` ends it. Other errors are those of the engine.
    pub fn files(
        &mut self,
        files: &[PathBuf],
        options: &ImageOptions,
        mut each: impl FnMut(&Path, Result<Vec<f64>>) -> Result<()>,
    ) -> Result<()> {
        let (size, output) = (self.size, self.output()?);
        let mut waiting: Vec<(&Path, Pixels)> = Vec::new();
        for (i, part) in files.chunks(BATCH).enumerate() {
            let decoded: Vec<_> = part.par_iter().map(|file| (file, fitting(file, options, size))).collect();
            for (file, pixels) in decoded {
                match pixels {
                    Ok(pixels) => waiting.push((file, pixels)),
                    Err(error) => each(file, Err(error))?,
                }
            }
            // Full batches, so that few programs are compiled however many files are left out.
            while waiting.len() >= BATCH || ((i + 1) * BATCH >= files.len() && !waiting.is_empty()) {
                let batch: Vec<_> = waiting.drain(..waiting.len().min(BATCH)).collect();
                let bytes = batch.iter().flat_map(|(_, pixels)| pixels.bytes()).copied().collect();
                let set = ImageSet::new(bytes, vec![0; batch.len()], size, 1)?;
                let outputs = self.outputs(&set)?;
                for ((file, _), logits) in batch.iter().zip(outputs) {
                    let found = softmax(&logits);
                    each(file, found.ok_or_else(|| not_finite(&output, &printable(file), &logits)))?;
                }
            }
        }
        Ok(())
    }

    /// What the output is called in errors.
    fn output(&self) -> Result<String> {
        let (tape, logits, _) = self.tape(1)?;
        let node = tape.nodes().iter().find(|node| node.outputs.contains(&logits));
        Ok(node.map_or("output".into(), |node| format!("output of {} \"{}\"", node.op.name(), node.name)))
    }

    /// Returns the first convolution and its output for image `number`. `None` if the model has none.
    pub fn first_layer(&mut self, images: &dyn Dataset, number: usize) -> Result<Option<FirstLayer>> {
        let (.., program) = self.run(images, &[number as u32])?;
        let Some((_, _, Some(id))) = self.programs.get(&1).copied() else { return Ok(None) };
        let tape = self.engine.tape(program);
        let wrong = |message: &str| Error::Validation(format!("the first convolution {message}"));
        let node = tape.nodes().iter().find(|node| node.outputs.first() == Some(&id));
        let node = node.ok_or_else(|| wrong("is not on the engine's tape"))?;
        let weight = tape.tensor(node.inputs[1]);
        let (Some(filters_shape), Some([_, c, h, w])) = (weight.shape.nchw(), tape.shape(id).nchw()) else {
            return Err(wrong("does not have a weight and an output of four extents"));
        };
        let name = weight.name.clone();
        let (filters, maps) = (self.engine.parameter(&name)?, self.engine.read(program, id)?);
        Ok(Some(FirstLayer { name, filters_shape, filters, maps_size: ImageSize::new(h, w, c), maps }))
    }
}

/// The image in the file at `path`, which must come out in this size.
fn fitting(path: &Path, options: &ImageOptions, size: ImageSize) -> Result<Pixels> {
    let pixels = image_file(path, options)?;
    let found = pixels.size();
    match found == size {
        true => Ok(pixels),
        false => Err(Error::data(path, format!("is {found}, the model is for {size}")).between(size, found)),
    }
}

/// What image `i` is called in errors.
fn name(images: &dyn Dataset, i: usize) -> String {
    images.path(i).map_or_else(|| format!("image {i}"), printable)
}

/// The error of an output that has no softmax.
fn not_finite(output: &str, image: &str, logits: &[f32]) -> Error {
    let wrong = logits.iter().filter(|logit| !logit.is_finite()).count();
    let message = format!(
        "has {wrong} of {} values that are NaN or infinite for {image}: the network's numbers overflow on it",
        logits.len()
    );
    Error::config(output, message)
}

/// exp(x) over the sum of all. `None` if that is no number.
fn softmax(logits: &[f32]) -> Option<Vec<f64>> {
    let log_sum = log_sum_exp(logits)?;
    Some(logits.iter().map(|&x| (f64::from(x) - log_sum).exp()).collect())
}

/// The most probable class, the first among equals; 0 for an empty slice.
pub fn most_probable(probabilities: &[f64]) -> usize {
    (0..probabilities.len()).rev().max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b])).unwrap_or(0)
}

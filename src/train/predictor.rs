//! Predictions of a trained model: class probabilities, and the output of its first layer.

use std::collections::HashMap;
use std::path::Path;

use super::engine::{Engine, ProgramId};
use super::{ModelCard, weights};
use crate::data::{ImageSet, Normalisation};
use crate::error::{Error, Result};
use crate::graph::{Purpose, Stage, Tape};
use crate::nn::Module;
use crate::ops::gather::Gather;
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
    /// [`ModelCard::build`].
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

    /// The logits of the images with these numbers, at most [`BATCH`], and the program that computed them.
    fn run(&mut self, images: &ImageSet, numbers: &[usize]) -> Result<(Vec<f32>, ProgramId, Option<TensorId>)> {
        let (found, size) = (images.image_size(), self.size);
        if found != size {
            let error = Error::config("images", format!("are {found}, the model is for {size}"));
            return Err(error.between(size, found));
        }
        let count = numbers.len();
        let (program, logits, first) = match self.programs.get(&count) {
            Some(&found) => found,
            None => {
                let (tape, logits, first) = self.tape(count)?;
                let made = (self.engine.compile(tape)?, logits, first);
                self.programs.insert(count, made);
                made
            }
        };
        let op = Gather { scale: self.normalisation.scale, shift: self.normalisation.shift, augment: None };
        let mut values = vec![0.0; count * size.values()];
        for (output, &number) in values.chunks_mut(size.values().max(1)).zip(numbers) {
            op.image(images.image(number), size.chw(), 0, &[], output);
        }
        self.engine.upload(program, "input", Values::F32(&values))?;
        self.engine.run(program, &[Stage::Forward])?;
        Ok((self.engine.read(program, logits)?, program, first))
    }

    /// Returns the network's raw output for each image, in PyTorch's order: logits, or the output of a custom network.
    pub fn outputs(&mut self, images: &ImageSet) -> Result<Vec<Vec<f32>>> {
        let all: Vec<usize> = (0..images.len()).collect();
        let mut found = Vec::with_capacity(all.len());
        for numbers in all.chunks(BATCH) {
            let (outputs, ..) = self.run(images, numbers)?;
            found.extend(outputs.chunks((outputs.len() / numbers.len()).max(1)).map(<[f32]>::to_vec));
        }
        Ok(found)
    }

    /// Returns the class probabilities of each image, the softmax of the logits.
    pub fn probabilities(&mut self, images: &ImageSet) -> Result<Vec<Vec<f64>>> {
        Ok(self.outputs(images)?.iter().map(|logits| softmax(logits)).collect())
    }

    /// Returns the first convolution and its output for image `number`. `None` if the model has none.
    pub fn first_layer(&mut self, images: &ImageSet, number: usize) -> Result<Option<FirstLayer>> {
        let (_, program, first) = self.run(images, &[number])?;
        let Some(id) = first else { return Ok(None) };
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

/// exp(x) over the sum of all; NaN if a logit is NaN.
fn softmax(logits: &[f32]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|&x| (f64::from(x) - f64::from(most)).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// The most probable class, the first among equals; 0 for an empty slice.
pub fn most_probable(probabilities: &[f64]) -> usize {
    (0..probabilities.len()).rev().max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b])).unwrap_or(0)
}

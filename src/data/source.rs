//! Sources of batches and their way to the device, and the source with a resident data set.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::conversion::{Conversion, Converter};
use super::{Dataset, ImageSet, Normalisation};
use crate::error::{Error, Result};
use crate::graph::{Purpose, Tape};
use crate::ops::augmentation::{Augmentation, DRAWN};
use crate::rng::{Rng, fnv1a};
use crate::shape::DType;
use crate::tensor::{Spec, TensorId, Values};

/// Input with the values drawn for each image of a batch, if the host draws them.
const DRAWS: &str = "draws";

/// A batch to feed: its images and its purpose.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    indices: &'a [u32],
    random: Option<[i32; 4]>,
}

impl<'a> Batch<'a> {
    /// Creates a batch of the images `indices` for a training step, with `random` from [`crate::rng::draw`].
    pub fn train(indices: &'a [u32], random: [i32; 4]) -> Self {
        Batch { indices, random: Some(random) }
    }

    /// Creates a batch of the unchanged images `indices`.
    pub fn evaluate(indices: &'a [u32]) -> Self {
        Batch { indices, random: None }
    }

    /// Its purpose.
    pub fn purpose(&self) -> Purpose {
        if self.random.is_some() { Purpose::Train } else { Purpose::Evaluate }
    }

    /// Indices of its images in the data set.
    pub fn indices(&self) -> &'a [u32] {
        self.indices
    }

    /// The random numbers that augment its images; `None` in evaluation.
    pub fn random(&self) -> Option<[i32; 4]> {
        self.random
    }
}

/// Interface to the device that runs the steps.
pub trait BatchSink {
    /// The tape of the step to feed; `None` during the upload of resident data.
    fn tape(&self) -> Option<&Tape>;
    /// Keeps a data set of byte images, [height, width, channels] each, and its labels, under `name`.
    fn set_resident(&mut self, name: &str, images: &ImageSet) -> Result<()>;
    /// Writes an input of the next step, values in PyTorch's order. The current step may still be running.
    fn write(&mut self, name: &str, values: Values<'_>) -> Result<()>;
}

/// A supply of labelled images.
///
/// A custom source declares its inputs and writes them, whatever they are. In this regression example each image is one
/// number and its target another:
/// ```
/// use tilegrad::data::{Batch, BatchSink, BatchSource};
/// use tilegrad::graph::{Spec, Tape, TensorId};
///
/// struct Doubles;
///
/// impl BatchSource for Doubles {
///     fn name(&self) -> &str {
///         "doubles"
///     }
///     fn len(&self) -> usize {
///         64
///     }
///     fn declare(&self, tape: &mut Tape, size: usize) -> tilegrad::Result<(TensorId, TensorId)> {
///         Ok((tape.input("input", Spec::f32([size, 1]))?, tape.input("target", Spec::f32([size, 1]))?))
///     }
///     fn send(&mut self, batch: &Batch<'_>, sink: &mut dyn BatchSink) -> tilegrad::Result<()> {
///         let inputs: Vec<f32> = batch.indices().iter().map(|&i| i as f32 / 64.0).collect();
///         let targets: Vec<f32> = inputs.iter().map(|x| 2.0 * x).collect();
///         sink.write("input", (&inputs[..]).into())?;
///         sink.write("target", (&targets[..]).into())
///     }
/// }
/// ```
pub trait BatchSource: Send {
    /// Name that distinguishes it from the other sources of a run.
    fn name(&self) -> &str;

    /// Number of images.
    fn len(&self) -> usize;

    /// True if there are no images.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The class of every image, for sampling and weights by class; negative where there is none. `None`, the default,
    /// if the images have no classes, or the source doesn't know them before it reads the images.
    fn labels(&self) -> Option<Vec<i32>> {
        None
    }

    /// A digest of the images and labels in their order, by which a resumed run knows its data again; `None`, the default,
    /// if it is not known without reading them all.
    fn digest(&self) -> Option<u64> {
        None
    }

    /// Uploads the data that stays on the device.
    fn prepare(&self, sink: &mut dyn BatchSink) -> Result<()> {
        let _ = sink;
        Ok(())
    }

    /// Declares a batch of `size` on `tape`: its images [size, C, H, W] and its targets. For classes the targets are
    /// i32 labels \[size\].
    fn declare(&self, tape: &mut Tape, size: usize) -> Result<(TensorId, TensorId)>;

    /// Announces the next batches in order, as they will be fed, for sources that read ahead; called again at the start
    /// of each epoch. Batches that were not announced are still fed, only more slowly.
    fn plan(&mut self, batches: &[Batch<'_>]) {
        let _ = batches;
    }

    /// Writes the batch to the inputs declared by [`BatchSource::declare`]; called by [`BatchSource::feed`]. Images are
    /// f32 in the order [N, C, H, W], with [`Normalisation`] applied (`scale[c] * byte + shift[c]`), as in
    /// [`crate::train::Predictor`].
    fn send(&mut self, batch: &Batch<'_>, sink: &mut dyn BatchSink) -> Result<()>;

    /// Sends the batch to the device. [`Error::Config`] names an image that does not exist, or a purpose that differs
    /// from the tape's.
    fn feed(&mut self, batch: &Batch<'_>, sink: &mut dyn BatchSink) -> Result<()> {
        check(batch.indices(), self.len())?;
        if let Some(tape) = sink.tape().filter(|tape| tape.purpose() != batch.purpose()) {
            let (of, wanted) = (tape.purpose(), batch.purpose());
            let message = format!(
                "is for {wanted}, the tape that it is fed to is for {of}: each has a tape of its own, Tape::new(Purpose::{wanted:?})"
            );
            return Err(Error::config("batch", message));
        }
        self.send(batch, sink)
    }
}

/// Images that stay on the device as bytes. A kernel gathers each batch, and a step sends only indices.
pub struct ResidentSource {
    name: String,
    images: ImageSet,
    conversion: Conversion,
}

impl ResidentSource {
    /// Creates a source of `images`. `name` distinguishes the data sets of a run; bytes become 0..1.
    pub fn new(name: impl Into<String>, images: ImageSet) -> Self {
        ResidentSource { name: name.into(), images, conversion: Conversion::default() }
    }

    /// Augments images at random in training; evaluation leaves them unchanged.
    ///
    /// With crop and flip alone, an [`Augment`](super::Augment), the kernel that gathers the batch draws the random numbers. With an
    /// [`Augmentation`], which does more, the host draws them from the batch's random numbers.
    pub fn augmented(mut self, augment: impl Into<Augmentation>) -> Self {
        self.conversion.augment = Some(augment.into());
        self
    }

    /// Sets the conversion from bytes to numbers.
    pub fn normalised(mut self, normalisation: Normalisation) -> Self {
        self.conversion.normalisation = normalisation;
        self
    }

    /// Sets height and width of the images in a batch, if they are not those of the images in memory. A random resized
    /// crop brings its box to this size; without it a batch has the centre of each image, as torchvision's `CenterCrop`.
    pub fn output_size(mut self, size: [usize; 2]) -> Self {
        self.conversion.output = Some(size);
        self
    }
}

impl BatchSource for ResidentSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.images.len()
    }

    fn labels(&self) -> Option<Vec<i32>> {
        Some(self.images.labels.clone())
    }

    fn digest(&self) -> Option<u64> {
        digest_of(&self.images, |i| self.images.digest(i).ok())
    }

    fn prepare(&self, sink: &mut dyn BatchSink) -> Result<()> {
        sink.set_resident(&self.name, &self.images)
    }

    fn declare(&self, tape: &mut Tape, size: usize) -> Result<(TensorId, TensorId)> {
        let ImageSet { channels, height, width, .. } = self.images;
        let images = Spec { dtype: DType::U8, ..Spec::f32([self.len(), channels, height, width]) };
        let images = tape.resident(&images_name(&self.name), images);
        let labels = tape.resident(&labels_name(&self.name), Spec::i32([self.len()]));
        let indices = tape.input("indices", Spec::i32([size]))?;
        tape.set_stage(crate::graph::Stage::Gather);
        let input = match self.conversion.converter(self.images.image_size(), tape.training()) {
            Converter::Transform(op, _) => {
                let draws = tape.input(DRAWS, Spec::i32([size, DRAWN]))?;
                tape.transform("input", images, indices, draws, op)?
            }
            Converter::Gather(op) => tape.gather("input", images, indices, op)?,
        };
        let target = tape.gather_labels("target", labels, indices)?;
        tape.set_stage(crate::graph::Stage::Forward);
        Ok((input, target))
    }

    fn send(&mut self, batch: &Batch<'_>, sink: &mut dyn BatchSink) -> Result<()> {
        let (size, training) = (self.images.image_size(), batch.purpose() == Purpose::Train);
        if let Converter::Transform(_, augment) = self.conversion.converter(size, training) {
            let output = self.conversion.output(size);
            let [extents, output] = [size, output].map(|size| [size.height, size.width]);
            let random = batch.random().unwrap_or_default();
            let drawn = |&index: &u32| augment.draw_to(&random, index, extents, output).words();
            let draws = batch.indices().iter().flat_map(drawn);
            sink.write(DRAWS, Values::I32(&draws.collect::<Vec<_>>()))?;
        }
        let indices: Vec<i32> = batch.indices().iter().map(|&i| i as i32).collect();
        sink.write("indices", Values::I32(&indices))
    }
}

/// The digest of a data set whose images have these digests, with their labels.
pub(super) fn digest_of(dataset: &dyn Dataset, digest: impl Fn(usize) -> Option<u32> + Sync) -> Option<u64> {
    let one = |i: usize| Some([digest(i)?.to_le_bytes(), dataset.label(i).ok()?.to_le_bytes()].concat());
    let all: Option<Vec<Vec<u8>>> = (0..dataset.len()).into_par_iter().map(one).collect();
    Some(fnv1a(&all?.concat()))
}

pub(super) fn check(indices: &[u32], len: usize) -> Result<()> {
    match indices.iter().find(|&&index| index as usize >= len) {
        Some(index) => Err(Error::config("batch", format!("image {index} of a data set of {len}"))),
        None => Ok(()),
    }
}

/// Name of a resident data set's images on a tape.
pub(crate) fn images_name(name: &str) -> String {
    format!("{name}.images")
}

/// Name of a resident data set's labels on a tape.
pub(crate) fn labels_name(name: &str) -> String {
    format!("{name}.labels")
}

/// Batches of one epoch: all images once, shuffled by seed and epoch; the last batch may be smaller.
pub fn epoch_batches(len: usize, batch_size: usize, seed: u64, epoch: usize) -> Vec<Vec<u32>> {
    let order = Rng::new(seed, &format!("shuffle of epoch {epoch}")).permutation(len);
    order.chunks(batch_size.max(1)).map(<[u32]>::to_vec).collect()
}

/// Batches of one epoch in which every class is equally likely: as many images as there are `labels`, drawn with
/// replacement by seed and epoch; the last batch may be smaller. Source: torch.utils.data's WeightedRandomSampler with a
/// weight of 1 / (number of images of the class).
///
/// Images with a negative label, which a loss ignores, are not drawn. No batches if there are no others.
pub fn balanced_batches(labels: &[i32], batch_size: usize, seed: u64, epoch: usize) -> Vec<Vec<u32>> {
    let mut classes: BTreeMap<i32, Vec<u32>> = BTreeMap::new();
    for (i, &label) in labels.iter().enumerate().filter(|(_, label)| **label >= 0) {
        classes.entry(label).or_default().push(i as u32);
    }
    let classes: Vec<Vec<u32>> = classes.into_values().collect();
    if classes.is_empty() {
        return Vec::new();
    }
    let rng = Rng::new(seed, &format!("balanced draw of epoch {epoch}"));
    let drawn = |i: u64| {
        let class = &classes[rng.below(2 * i, classes.len() as u32) as usize];
        class[rng.below(2 * i + 1, class.len() as u32) as usize]
    };
    let order: Vec<u32> = (0..labels.len() as u64).map(drawn).collect();
    order.chunks(batch_size.max(1)).map(<[u32]>::to_vec).collect()
}

/// Batches of all images once, in order.
pub fn ordered_batches(len: usize, batch_size: usize) -> Vec<Vec<u32>> {
    let order: Vec<u32> = (0..len as u32).collect();
    order.chunks(batch_size.max(1)).map(<[u32]>::to_vec).collect()
}

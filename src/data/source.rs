//! Where batches come from: a data set that lies on the device, or images that the host sends batch by batch.

use rayon::prelude::*;

use super::{ImageSet, Normalisation};
use crate::error::{Error, Result};
use crate::graph::{Misfit, Tape};
use crate::ops::augmentation::{Augmentation, DRAWN};
use crate::ops::gather::{Augment, Gather};
use crate::ops::transform::Transform;
use crate::rng::Rng;
use crate::shape::{DType, ImageSize};
use crate::tensor::{Spec, TensorId};

/// The input of what is drawn for each image of a batch, where a kernel does not draw it.
const DRAWS: &str = "draws";

/// What brings numbers to the device that runs the steps.
pub trait BatchSink {
    /// Keeps a data set of `rows` images of bytes, [height, width, channels] each, and its labels, under `name`.
    fn set_resident(&mut self, name: &str, images: &ImageSet) -> Result<()>;
    /// Writes an i32 input of the next step.
    fn write_i32(&mut self, name: &str, values: &[i32]) -> Result<()>;
    /// Writes an f32 input of the next step while the present one may still run; values in PyTorch's order.
    fn upload_f32(&mut self, name: &str, values: &[f32]) -> Result<()>;
}

/// A supply of labelled images.
pub trait BatchSource {
    /// What tells it apart from the other sources of a run.
    fn name(&self) -> &str;

    /// How many images there are.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Brings to the device what stays there.
    fn prepare(&self, sink: &mut dyn BatchSink) -> Result<()>;

    /// Declares on `tape` what a batch of `size` is: its images [size, C, H, W] and its labels \[size\].
    fn declare(&self, tape: &mut Tape, size: usize) -> Result<(TensorId, TensorId)>;

    /// Says what [`crate::rng::draw`] gives for the next step, a training step, for sources that draw on the host.
    fn draw(&mut self, random: [i32; 4]) {
        let _ = random;
    }

    /// Says which batches will be fed next, in that order, for sources that read ahead; said anew at each epoch's start. A
    /// batch that was not announced is fed all the same, only later.
    fn plan(&mut self, batches: &[Vec<u32>]) {
        let _ = batches;
    }

    /// Brings the batch of the images `indices` to the device.
    fn feed(&mut self, indices: &[u32], sink: &mut dyn BatchSink) -> Result<()>;
}

/// Images that lie on the device as bytes; a kernel collects each batch, and a step sends only indices.
pub struct ResidentSource {
    name: String,
    images: ImageSet,
    normalisation: Normalisation,
    augment: Option<Augmentation>,
    random: Option<[i32; 4]>,
}

impl ResidentSource {
    /// `images` under `name`, which tells the data sets of a run apart; bytes become 0..1.
    pub fn new(name: impl Into<String>, images: ImageSet) -> Self {
        ResidentSource {
            name: name.into(),
            images,
            normalisation: Normalisation::default(),
            augment: None,
            random: None,
        }
    }

    /// Changes the images at random where they are trained on; they are evaluated as they are.
    ///
    /// Crop and flip alone, an [`Augment`], are drawn by the kernel that collects the batch. For more, an [`Augmentation`],
    /// [`BatchSource::draw`] must be called before each training step, as the trainer does.
    pub fn augmented(mut self, augment: impl Into<Augmentation>) -> Self {
        self.augment = Some(augment.into());
        self
    }

    /// Sets how bytes become numbers.
    pub fn normalised(mut self, normalisation: Normalisation) -> Self {
        self.normalisation = normalisation;
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
        let augment = self.augment.filter(|_| tape.training());
        let input = match augment.filter(|augment| augment.plain().is_none()) {
            Some(augmentation) => {
                let draws = tape.input(DRAWS, Spec::i32([size, DRAWN]))?;
                tape.transform("input", images, indices, draws, transform(&self.normalisation, augmentation))?
            }
            None => {
                let augment = augment.and_then(|augment| augment.plain());
                tape.gather("input", images, indices, gather(&self.normalisation, augment))?
            }
        };
        let target = tape.gather_labels("target", labels, indices)?;
        tape.set_stage(crate::graph::Stage::Forward);
        Ok((input, target))
    }

    fn draw(&mut self, random: [i32; 4]) {
        self.random = Some(random);
    }

    fn feed(&mut self, indices: &[u32], sink: &mut dyn BatchSink) -> Result<()> {
        check(indices, self.len())?;
        // Each training step draws anew; what nothing was drawn for is evaluated.
        let augment = self.augment.filter(|augment| augment.plain().is_none());
        if let (Some(random), Some(augment)) = (self.random.take(), augment) {
            let extents = [self.images.height, self.images.width];
            let draws = indices.iter().flat_map(|&index| augment.draw(&random, index, extents).words());
            sink.write_i32(DRAWS, &draws.collect::<Vec<_>>())?;
        }
        let indices: Vec<i32> = indices.iter().map(|&i| i as i32).collect();
        sink.write_i32("indices", &indices)
    }
}

/// Images that the host turns into numbers and sends batch by batch, for data larger than the device's memory.
pub struct UploadSource {
    name: String,
    images: ImageSet,
    uploads: Uploads,
}

impl UploadSource {
    /// `images`, which stay on the host, under `name`, which tells the data sets of a run apart.
    pub fn new(name: impl Into<String>, images: ImageSet) -> Self {
        UploadSource { name: name.into(), images, uploads: Uploads::default() }
    }

    /// Changes the images at random where they are trained on, as [`ResidentSource::augmented`] does and by the same random
    /// numbers; they are evaluated as they are.
    pub fn augmented(mut self, augment: impl Into<Augmentation>) -> Self {
        self.uploads.augment = Some(augment.into());
        self
    }

    /// Sets how bytes become numbers.
    pub fn normalised(mut self, normalisation: Normalisation) -> Self {
        self.uploads.normalisation = normalisation;
        self
    }
}

impl BatchSource for UploadSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.images.len()
    }

    fn prepare(&self, _sink: &mut dyn BatchSink) -> Result<()> {
        Ok(())
    }

    fn declare(&self, tape: &mut Tape, size: usize) -> Result<(TensorId, TensorId)> {
        self.uploads.declare(tape, self.images.image_size(), size)
    }

    fn draw(&mut self, random: [i32; 4]) {
        self.uploads.random = Some(random);
    }

    fn feed(&mut self, indices: &[u32], sink: &mut dyn BatchSink) -> Result<()> {
        check(indices, self.len())?;
        let images = &self.images;
        let labels: Vec<i32> = indices.iter().map(|&i| images.labels[i as usize]).collect();
        self.uploads.send(sink, images.image_size(), indices, &labels, |slot| images.image(indices[slot] as usize))
    }
}

/// How sources whose images stay on the host make batches of numbers and send them.
#[derive(Default)]
pub(super) struct Uploads {
    pub normalisation: Normalisation,
    pub augment: Option<Augmentation>,
    /// The next step's, where that is a training step.
    pub random: Option<[i32; 4]>,
    batch: Vec<f32>,
}

impl Uploads {
    /// Declares a batch of `count` images of this size.
    pub fn declare(&self, tape: &mut Tape, size: ImageSize, count: usize) -> Result<(TensorId, TensorId)> {
        if let Some(augment) = self.augment {
            augment.check(size.chw()).map_err(|misfit| match misfit {
                Misfit::Shape(message) | Misfit::Attribute(message) => Error::config("augment", message),
            })?;
        }
        let input = tape.input("input", Spec::f32(size.nchw(count)))?;
        Ok((input, tape.input("target", Spec::i32([count]))?))
    }

    /// Makes numbers of a batch and sends them with the labels: `image` gives the bytes of the image in each slot, and
    /// `indices` the places in the data set, by which random numbers are drawn.
    pub fn send<'a>(
        &mut self,
        sink: &mut dyn BatchSink,
        size: ImageSize,
        indices: &[u32],
        labels: &[i32],
        image: impl Fn(usize) -> &'a [u8] + Sync,
    ) -> Result<()> {
        // Each training step draws anew; what nothing was drawn for is evaluated.
        let random = self.random.take();
        let augment = self.augment.filter(|_| random.is_some());
        let random = random.unwrap_or_default();
        let (bytes, extents) = (size.values(), size.chw());
        self.batch.resize(indices.len() * bytes, 0.0);
        let batch = self.batch.par_chunks_mut(bytes.max(1)).zip(indices).enumerate();
        match augment.filter(|augment| augment.plain().is_none()) {
            Some(augment) => {
                let op = transform(&self.normalisation, augment);
                batch.for_each(|(slot, (output, &index))| {
                    let drawn = augment.draw(&random, index, [size.height, size.width]);
                    op.image(image(slot), extents, drawn, output);
                });
            }
            None => {
                let op = gather(&self.normalisation, augment.and_then(|augment| augment.plain()));
                batch.for_each(|(slot, (output, &index))| op.image(image(slot), extents, index, &random, output));
            }
        }
        sink.upload_f32("input", &self.batch)?;
        sink.write_i32("target", labels)
    }
}

fn gather(normalisation: &Normalisation, augment: Option<Augment>) -> Gather {
    Gather { scale: normalisation.scale, shift: normalisation.shift, augment }
}

fn transform(normalisation: &Normalisation, augmentation: Augmentation) -> Transform {
    Transform { scale: normalisation.scale, shift: normalisation.shift, augmentation }
}

pub(super) fn check(indices: &[u32], len: usize) -> Result<()> {
    match indices.iter().find(|&&index| index as usize >= len) {
        Some(index) => Err(Error::config("batch", format!("image {index} of a data set of {len}"))),
        None => Ok(()),
    }
}

/// The name of a resident data set's images on a tape.
pub(crate) fn images_name(name: &str) -> String {
    format!("{name}.images")
}

/// The name of a resident data set's labels on a tape.
pub(crate) fn labels_name(name: &str) -> String {
    format!("{name}.labels")
}

/// The batches of one epoch: all images once, shuffled by seed and epoch, the last batch as small as it comes out.
pub fn epoch_batches(len: usize, batch_size: usize, seed: u64, epoch: usize) -> Vec<Vec<u32>> {
    let order = Rng::new(seed, &format!("shuffle of epoch {epoch}")).permutation(len);
    order.chunks(batch_size.max(1)).map(<[u32]>::to_vec).collect()
}

/// All images once, in order.
pub fn ordered_batches(len: usize, batch_size: usize) -> Vec<Vec<u32>> {
    let order: Vec<u32> = (0..len as u32).collect();
    order.chunks(batch_size.max(1)).map(<[u32]>::to_vec).collect()
}

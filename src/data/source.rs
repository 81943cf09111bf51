//! Where batches come from: a data set that lies on the device, or images that the host sends batch by batch.

use super::ImageSet;
use crate::error::{Error, Result};
use crate::graph::{Spec, Tape, TensorId};
use crate::ops::gather::Gather;
use crate::rng::Rng;
use crate::shape::DType;

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

    /// Brings the batch of the images `indices` to the device.
    fn feed(&mut self, indices: &[u32], sink: &mut dyn BatchSink) -> Result<()>;
}

/// How a byte becomes a number: `scale * byte + shift`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalisation {
    /// What a byte is multiplied by.
    pub scale: f32,
    /// What is added.
    pub shift: f32,
}

impl Default for Normalisation {
    /// To 0..1.
    fn default() -> Self {
        Normalisation { scale: 1.0 / 255.0, shift: 0.0 }
    }
}

impl Normalisation {
    /// To mean 0 and standard deviation 1 over all bytes of `images`, which should be the training images alone.
    pub fn of(images: &ImageSet) -> Self {
        let count = images.images.len().max(1) as f64;
        let mean = images.images.iter().map(|&byte| f64::from(byte)).sum::<f64>() / count;
        let variance = images.images.iter().map(|&byte| (f64::from(byte) - mean).powi(2)).sum::<f64>() / count;
        // Images of one shade have no spread to divide by.
        let std = if variance > 0.0 { variance.sqrt() } else { 1.0 };
        Normalisation { scale: (1.0 / std) as f32, shift: (-mean / std) as f32 }
    }
}

/// Images that lie on the device as bytes; a kernel collects each batch, and a step sends only indices.
pub struct ResidentSource {
    name: String,
    images: ImageSet,
    normalisation: Normalisation,
}

impl ResidentSource {
    /// `images` under `name`, which tells the data sets of a run apart; bytes become 0..1.
    pub fn new(name: impl Into<String>, images: ImageSet) -> Self {
        ResidentSource { name: name.into(), images, normalisation: Normalisation::default() }
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
        let Normalisation { scale, shift } = self.normalisation;
        let input = tape.gather("input", images, indices, Gather { scale, shift })?;
        let target = tape.gather_labels("target", labels, indices)?;
        tape.set_stage(crate::graph::Stage::Forward);
        Ok((input, target))
    }

    fn feed(&mut self, indices: &[u32], sink: &mut dyn BatchSink) -> Result<()> {
        check(indices, self.len())?;
        let indices: Vec<i32> = indices.iter().map(|&i| i as i32).collect();
        sink.write_i32("indices", &indices)
    }
}

/// Images that the host turns into numbers and sends batch by batch, for data larger than the device's memory.
pub struct UploadSource {
    name: String,
    images: ImageSet,
    normalisation: Normalisation,
    batch: Vec<f32>,
}

impl UploadSource {
    /// `images`, which stay on the host, under `name`, which tells the data sets of a run apart.
    pub fn new(name: impl Into<String>, images: ImageSet) -> Self {
        UploadSource { name: name.into(), images, normalisation: Normalisation::default(), batch: Vec::new() }
    }

    /// Sets how bytes become numbers.
    pub fn normalised(mut self, normalisation: Normalisation) -> Self {
        self.normalisation = normalisation;
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
        let ImageSet { channels, height, width, .. } = self.images;
        let input = tape.input("input", Spec::f32([size, channels, height, width]))?;
        Ok((input, tape.input("target", Spec::i32([size]))?))
    }

    fn feed(&mut self, indices: &[u32], sink: &mut dyn BatchSink) -> Result<()> {
        check(indices, self.len())?;
        let (channels, pixels) = (self.images.channels, self.images.height * self.images.width);
        let Normalisation { scale, shift } = self.normalisation;
        self.batch.clear();
        for &index in indices {
            let bytes = self.images.image(index as usize);
            for channel in 0..channels {
                self.batch.extend((0..pixels).map(|p| f32::from(bytes[p * channels + channel]) * scale + shift));
            }
        }
        let labels: Vec<i32> = indices.iter().map(|&i| self.images.labels[i as usize]).collect();
        sink.upload_f32("input", &self.batch)?;
        sink.write_i32("target", &labels)
    }
}

fn check(indices: &[u32], len: usize) -> Result<()> {
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

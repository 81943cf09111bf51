//! The way from an image's bytes to the numbers that a network sees: augmentation, output size and normalisation.

use super::{Augmentation, Normalisation};
use crate::graph::Misfit;
use crate::ops::gather::{Augment, Gather};
use crate::ops::transform::Transform;
use crate::shape::ImageSize;

/// The settings of a source that say how its images become numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Conversion {
    pub normalisation: Normalisation,
    pub augment: Option<Augmentation>,
    /// Height and width of the output, if they are not the images'.
    pub output: Option<[usize; 2]>,
}

/// The operation that converts a batch.
pub(super) enum Converter {
    /// Draws crop and flip itself, from the batch's random numbers.
    Gather(Gather),
    /// Takes what the host has drawn for each image by this augmentation.
    Transform(Transform, Augmentation),
}

impl Conversion {
    /// The size of the output for images of `size`.
    pub fn output(&self, size: ImageSize) -> ImageSize {
        match self.output {
            Some([height, width]) => ImageSize::new(height, width, size.channels),
            None => size,
        }
    }

    /// Checks the augmentation against images of `size`.
    pub fn check(&self, size: ImageSize) -> Result<(), Misfit> {
        let output = self.output(size);
        self.augment.map_or(Ok(()), |augment| augment.check_to(size.chw(), [output.height, output.width]))
    }

    /// The operation for images of `size`. Without augmentation, larger images than the output give their centre.
    pub fn converter(&self, size: ImageSize, training: bool) -> Converter {
        let augment = self.augment.filter(|_| training);
        let plain = augment.map(|augment| augment.plain());
        match (self.output(size) == size, plain) {
            (true, None) => Converter::Gather(self.gather(None)),
            (true, Some(Some(plain))) => Converter::Gather(self.gather(Some(plain))),
            _ => {
                let augment = augment.unwrap_or_default();
                Converter::Transform(self.transform(augment), augment)
            }
        }
    }

    /// The operation in training for an image whose box has been cut out and scaled to the output's size before: all but
    /// the resized crop.
    pub fn after_cut(&self) -> (Transform, Augmentation) {
        let augment = Augmentation { resized_crop: None, ..self.augment.unwrap_or_default() };
        (self.transform(augment), augment)
    }

    fn gather(&self, augment: Option<Augment>) -> Gather {
        Gather { scale: self.normalisation.scale, shift: self.normalisation.shift, augment }
    }

    fn transform(&self, augmentation: Augmentation) -> Transform {
        let Normalisation { scale, shift } = self.normalisation;
        Transform { scale, shift, augmentation, output: self.output }
    }
}

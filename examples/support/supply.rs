//! The images of a run: in memory, or on a disk and decoded ahead of the device.

use std::sync::Arc;

use tilegrad::Result;
use tilegrad::data::{
    Augmentation, BatchSource, Dataset, DatasetSource, ImageSet, Normalisation, ResidentSource, Subset,
};
use tilegrad::shape::ImageSize;

/// Images of a data set on a disk that are looked at to measure its normalisation.
const MEASURED: usize = 2_000;

/// Images, wherever they are.
pub enum Supply {
    /// In the host's memory.
    Memory(ImageSet),
    /// Got when they are asked for.
    Disk(Arc<dyn Dataset>),
}

impl From<ImageSet> for Supply {
    fn from(images: ImageSet) -> Self {
        Supply::Memory(images)
    }
}

impl Supply {
    fn dataset(&self) -> &dyn Dataset {
        match self {
            Supply::Memory(images) => images,
            Supply::Disk(dataset) => &**dataset,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.dataset().len()
    }

    /// The size of an image.
    pub fn image_size(&self) -> ImageSize {
        self.dataset().image_size()
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.dataset().classes()
    }

    /// A name for each class, its number where it has none.
    pub fn class_names(&self) -> Vec<String> {
        let names = self.dataset().class_names();
        if names.len() == self.classes() {
            names.to_vec()
        } else {
            (0..self.classes()).map(|i| i.to_string()).collect()
        }
    }

    /// (training, validation): a part is held out.
    pub fn split(self, fraction: f64, seed: u64) -> Result<(Self, Self)> {
        Ok(match self {
            Supply::Memory(images) => {
                let (train, validation) = images.split_validation(fraction, seed)?;
                (Supply::Memory(train), Supply::Memory(validation))
            }
            Supply::Disk(dataset) => {
                let (train, validation) = Subset::split(Arc::new(dataset), fraction, seed)?;
                (Supply::Disk(Arc::new(train)), Supply::Disk(Arc::new(validation)))
            }
        })
    }

    /// At most `count` images, evenly spread over all of them, in memory.
    pub fn some(&self, count: usize) -> Result<ImageSet> {
        let (len, count) = (self.len(), self.len().min(count));
        let spread: Vec<u32> = (0..count).map(|i| (i * len / count) as u32).collect();
        match self {
            Supply::Memory(images) => Ok(images.subset(&spread)),
            Supply::Disk(dataset) => ImageSet::collect(&Subset::new(Arc::new(Arc::clone(dataset)), spread)?),
        }
    }

    /// Mean 0 and standard deviation 1: over all images, or over some of those on a disk.
    pub fn measured(&self) -> Result<Normalisation> {
        Ok(match self {
            Supply::Memory(images) => Normalisation::of(images),
            Supply::Disk(_) => Normalisation::of(&self.some(MEASURED)?),
        })
    }

    /// Batches of them: what is in memory lies on the device, if it takes at most `resident` bytes.
    pub fn source(
        &self,
        name: &str,
        normalisation: Normalisation,
        augmentation: Option<Augmentation>,
        resident: u64,
    ) -> Box<dyn BatchSource> {
        // What only looks different has a constructor of its own each.
        macro_rules! boxed {
            ($source:expr) => {{
                let source = $source.normalised(normalisation);
                match augmentation {
                    Some(augmentation) => Box::new(source.augmented(augmentation)),
                    None => Box::new(source),
                }
            }};
        }
        match self {
            Supply::Memory(images) if images.images.len() as u64 <= resident => {
                boxed!(ResidentSource::new(name, images.clone()))
            }
            Supply::Memory(images) => boxed!(DatasetSource::new(name, images.clone())),
            Supply::Disk(dataset) => boxed!(DatasetSource::new(name, Arc::clone(dataset))),
        }
    }
}

//! The images of a run: in memory, or on disk and decoded ahead of the device.

use std::sync::Arc;

use tilegrad::Result;
use tilegrad::data::{
    Augmentation, BatchSource, Dataset, DatasetSource, ImageSet, Normalisation, ResidentSource, Subset,
};
use tilegrad::shape::ImageSize;

/// Number of images of a data set on disk from which its normalisation is measured.
const MEASURED: usize = 2_000;

/// Images in memory or on disk.
pub enum Supply {
    /// In the host's memory.
    Memory(ImageSet),
    /// Decoded on demand.
    Disk(Arc<dyn Dataset>),
}

impl From<ImageSet> for Supply {
    fn from(images: ImageSet) -> Self {
        Supply::Memory(images)
    }
}

impl From<Arc<dyn Dataset>> for Supply {
    fn from(images: Arc<dyn Dataset>) -> Self {
        Supply::Disk(images)
    }
}

impl Supply {
    /// The images, wherever they are.
    pub fn dataset(&self) -> &dyn Dataset {
        match self {
            Supply::Memory(images) => images,
            Supply::Disk(dataset) => &**dataset,
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.dataset().len()
    }

    /// The size of an image.
    pub fn image_size(&self) -> ImageSize {
        self.dataset().image_size()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.dataset().classes()
    }

    /// Names of the classes; unnamed classes have their numbers.
    pub fn class_names(&self) -> Vec<String> {
        let names = self.dataset().class_names();
        if names.len() == self.classes() {
            names.to_vec()
        } else {
            (0..self.classes()).map(|i| i.to_string()).collect()
        }
    }

    /// Returns at most `count` images in memory, evenly spaced over all of them.
    pub fn some(&self, count: usize) -> Result<ImageSet> {
        let (len, count) = (self.len(), self.len().min(count));
        let spread: Vec<u32> = (0..count).map(|i| (i * len / count) as u32).collect();
        match self {
            Supply::Memory(images) => Ok(images.subset(&spread)),
            Supply::Disk(dataset) => ImageSet::collect(&Subset::new(Arc::new(Arc::clone(dataset)), spread)?),
        }
    }

    /// Measures the normalisation to mean 0 and standard deviation 1, over all images in memory or over some on disk.
    pub fn measured(&self) -> Result<Normalisation> {
        Ok(match self {
            Supply::Memory(images) => Normalisation::of(images),
            Supply::Disk(_) => Normalisation::of(&self.some(MEASURED)?),
        })
    }

    /// Creates a source of batches. Images in memory are stored on the device if they take at most `resident` bytes.
    pub fn source(
        &self,
        name: &str,
        normalisation: Normalisation,
        augmentation: Option<Augmentation>,
        resident: u64,
    ) -> Box<dyn BatchSource> {
        // The calls look alike, but each type of source has its own constructor.
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

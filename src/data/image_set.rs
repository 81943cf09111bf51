//! Labelled images in host memory.

use std::sync::Arc;

use super::images::Pixels;
use super::split::held_out;
use crate::error::{Error, Quantity, Result};
use crate::shape::ImageSize;

/// Labelled images in host memory.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageSet {
    /// Bytes of the images in sequence, each [height, width, channels]. Clones of the set share them.
    pub images: Arc<Vec<u8>>,
    /// Class of each image, 0..classes.
    pub labels: Vec<i32>,
    /// Bytes per pixel: 1 for gray, 3 for red, green and blue.
    pub channels: usize,
    /// Number of rows of an image.
    pub height: usize,
    /// Number of pixels in a row.
    pub width: usize,
    /// Number of classes, including those without an image.
    pub classes: usize,
    /// Class names by index; empty if there are none.
    pub class_names: Vec<String>,
    /// CRC-32C of the file that each image was read from; empty if they are not from files of one image.
    pub digests: Vec<u32>,
}

impl ImageSet {
    /// Creates a set after checking its parts against each other.
    ///
    /// `size` is the size of every image. A set without images is allowed. [`Error::Config`] names the part at fault: a
    /// zero extent or number of classes, a byte count that is not one whole image per label, or a label outside
    /// 0..classes.
    pub fn new(images: Vec<u8>, labels: Vec<i32>, size: ImageSize, classes: usize) -> Result<Self> {
        let ImageSize { height, width, channels } = size;
        for (name, extent) in [("height", height), ("width", width), ("channels", channels), ("classes", classes)] {
            if extent == 0 {
                return Err(Error::config(name, "is 0, must be at least 1"));
            }
        }
        let expected = size.checked_values().and_then(|bytes| bytes.checked_mul(labels.len()));
        if expected != Some(images.len()) {
            let (bytes, count) = (images.len(), labels.len());
            let message = format!("hold {bytes} bytes, but {count} labels ask for {count} images of {size} bytes");
            let error = Error::config("images", message);
            return Err(match expected {
                Some(expected) => error.between(Quantity::Bytes(expected as u64), Quantity::Bytes(bytes as u64)),
                None => error,
            });
        }
        if let Some((i, label)) = misplaced_label(&labels, classes) {
            return Err(Error::config(
                "labels",
                format!("label {i} is {label}, must be in 0..={} for {classes} classes", classes - 1),
            ));
        }
        let images = Arc::new(images);
        Ok(ImageSet { images, labels, channels, height, width, classes, class_names: Vec::new(), digests: Vec::new() })
    }

    /// Sets the class names. [`Error::Config`] unless there is one for each class.
    pub fn named<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Result<Self> {
        self.class_names = names.into_iter().map(Into::into).collect();
        if self.class_names.len() != self.classes {
            let message = format!("are {}, there are {} classes", self.class_names.len(), self.classes);
            return Err(Error::config("class names", message).between(self.classes, self.class_names.len()));
        }
        Ok(self)
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True if there are no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Size of an image.
    pub fn image_size(&self) -> ImageSize {
        ImageSize::new(self.height, self.width, self.channels)
    }

    /// Number of bytes of one image: height x width x channels.
    pub fn image_bytes(&self) -> usize {
        self.image_size().values()
    }

    /// Returns the bytes of image `i`, [height, width, channels].
    ///
    /// # Panics
    /// If `i` is not below [`len`](Self::len), as indexing a slice does.
    pub fn image(&self, i: usize) -> &[u8] {
        let bytes = self.image_bytes();
        &self.images[i * bytes..(i + 1) * bytes]
    }

    /// Gives the images this number of channels: 1, to which colour is weighted as by Pillow's `convert("L")`, or 3 equal
    /// ones. [`Error::Config`] for another number.
    pub fn with_channels(mut self, channels: usize) -> Result<Self> {
        let bytes = Arc::unwrap_or_clone(std::mem::take(&mut self.images));
        // All images one below another.
        let size = ImageSize::new(self.height * self.labels.len(), self.width, self.channels);
        self.images = Arc::new(Pixels::new(size, bytes)?.with_channels(channels)?.into_bytes());
        self.channels = channels;
        Ok(self)
    }

    /// Copies the images at `indices`, in that order; an index may occur more than once.
    ///
    /// # Panics
    /// If an index is not below [`len`](Self::len), as indexing a slice does.
    pub fn subset(&self, indices: &[u32]) -> ImageSet {
        let mut images = Vec::with_capacity(indices.len() * self.image_bytes());
        for &i in indices {
            images.extend_from_slice(self.image(i as usize));
        }
        self.part(Arc::new(images), indices)
    }

    /// The set of `images`, which are those at `indices`.
    fn part(&self, images: Arc<Vec<u8>>, indices: &[u32]) -> ImageSet {
        let labels = indices.iter().map(|&i| self.labels[i as usize]).collect();
        // They are either those of all images or of none.
        let digests = indices.iter().filter_map(|&i| self.digests.get(i as usize).copied()).collect();
        ImageSet { images, labels, digests, class_names: self.class_names.clone(), ..*self }
    }

    /// Cuts [height, width] out of the centre of every image, as torchvision's `CenterCrop`. Images that are not larger
    /// keep their extents.
    pub fn center_crop(self, [height, width]: [usize; 2]) -> ImageSet {
        let (height, width) = (height.min(self.height), width.min(self.width));
        if [height, width] == [self.height, self.width] || height * width == 0 {
            return self;
        }
        let [top, left] = [(self.height, height), (self.width, width)].map(|(all, part)| (all - part) / 2);
        let row_bytes = width * self.channels;
        let mut images = Vec::with_capacity(self.len() * height * row_bytes);
        for i in 0..self.len() {
            for row in top..top + height {
                images.extend_from_slice(&self.image(i)[(row * self.width + left) * self.channels..][..row_bytes]);
            }
        }
        let images = Arc::new(images);
        ImageSet { images, height, width, ..self }
    }

    /// Divides the set into the images of each part, in these orders, as calls of [`subset`](Self::subset) would, but
    /// without holding more than a small part twice. Images in no part are dropped. [`Error::Config`] if an image is in
    /// two, or is not there.
    pub fn divide<const N: usize>(mut self, parts: [&[u32]; N]) -> Result<[ImageSet; N]> {
        let mut order: Vec<u32> = parts.concat();
        let (taken, mut seen) = (order.len(), vec![false; self.len()]);
        if !order.iter().all(|&i| seen.get_mut(i as usize).is_some_and(|seen| !std::mem::replace(seen, true))) {
            let message = format!("must have each of the {} images at most once", self.len());
            return Err(Error::config("parts of a data set", message));
        }
        order.extend((0..self.len() as u32).filter(|&i| !seen[i as usize]));
        // Clones would keep the images as they are.
        let mut rows = Arc::unwrap_or_clone(std::mem::take(&mut self.images));
        arrange(&mut rows, self.image_bytes(), order);
        rows.truncate(taken * self.image_bytes());
        rows.shrink_to_fit();
        let mut images: Vec<ImageSet> = Vec::with_capacity(N);
        // From the end, so that what has been moved can be given back.
        for part in parts.iter().rev() {
            let first = rows.len() - part.len() * self.image_bytes();
            let others = if first == 0 { std::mem::take(&mut rows) } else { cut(&mut rows, first) };
            images.push(self.part(Arc::new(others), part));
        }
        let mut images = images.into_iter().rev();
        Ok(std::array::from_fn(|_| images.next().expect("one set for each part")))
    }

    /// Splits off a `share` of the images of each class, chosen by `seed`, for validation. Returns (training,
    /// validation), which are copies; [`into_split_validation`](Self::into_split_validation) makes none.
    ///
    /// Every image is in exactly one of the two sets, and every class keeps one to train on: see
    /// [`split_by_class`](super::split_by_class). [`Error::Config`] if `share` is not between 0 and 1 or holds out
    /// nothing.
    pub fn split_validation(&self, share: f64, seed: u64) -> Result<(ImageSet, ImageSet)> {
        let (training, validation) = held_out(&self.labels, share, seed)?;
        Ok((self.subset(&training), self.subset(&validation)))
    }

    /// Splits the set as [`split_validation`](Self::split_validation) does, in the memory that it has.
    pub fn into_split_validation(self, share: f64, seed: u64) -> Result<(ImageSet, ImageSet)> {
        let (training, validation) = held_out(&self.labels, share, seed)?;
        self.divide([&training, &validation]).map(|[training, validation]| (training, validation))
    }
}

/// Brings rows of `bytes` into `order`.
fn arrange(rows: &mut [u8], bytes: usize, mut order: Vec<u32>) {
    // Row i gets what row order[i] holds: along each cycle, with one row aside. A row in its place names itself.
    let mut aside = vec![0; bytes];
    for start in 0..order.len() {
        if order[start] as usize == start {
            continue;
        }
        aside.copy_from_slice(&rows[start * bytes..(start + 1) * bytes]);
        let mut at = start;
        loop {
            let from = std::mem::replace(&mut order[at], at as u32) as usize;
            if from == start {
                break;
            }
            rows.copy_within(from * bytes..(from + 1) * bytes, at * bytes);
            at = from;
        }
        rows[at * bytes..(at + 1) * bytes].copy_from_slice(&aside);
    }
}

/// Cuts off what is at and beyond `first`.
fn cut(rows: &mut Vec<u8>, first: usize) -> Vec<u8> {
    let mut others = vec![0; rows.len() - first];
    let step = (rows.len() / 16).max(1 << 20);
    while rows.len() > first {
        let from = first.max(rows.len().saturating_sub(step));
        others[from - first..rows.len() - first].copy_from_slice(&rows[from..]);
        rows.truncate(from);
        rows.shrink_to_fit();
    }
    others
}

/// The first label outside 0..`classes`, with its index.
fn misplaced_label(labels: &[i32], classes: usize) -> Option<(usize, i32)> {
    let inside = |label: i32| usize::try_from(label).is_ok_and(|class| class < classes);
    let i = labels.iter().position(|&label| !inside(label))?;
    Some((i, labels[i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Images of 1x2x3 bytes. Every byte of image i is i, and its class is i modulo 4.
    fn numbered(count: usize) -> ImageSet {
        let images = (0..count * 6).map(|byte| (byte / 6) as u8).collect();
        let labels = (0..count as i32).map(|i| i % 4).collect();
        ImageSet::new(images, labels, ImageSize::new(1, 2, 3), 4).unwrap()
    }

    fn refusal(
        images: usize,
        labels: &[i32],
        [height, width, channels]: [usize; 3],
        classes: usize,
    ) -> (String, String) {
        match ImageSet::new(vec![0; images], labels.to_vec(), ImageSize::new(height, width, channels), classes) {
            Err(Error::Config { field, message, .. }) => (field, message),
            other => panic!("a set of {images} bytes gave {other:?}"),
        }
    }

    #[test]
    fn a_set_that_does_not_fit_together_is_refused_by_the_name_of_the_part() {
        assert_eq!(refusal(0, &[], [0, 2, 3], 4).0, "height");
        assert_eq!(refusal(0, &[], [1, 0, 3], 4).0, "width");
        assert_eq!(refusal(0, &[], [1, 2, 0], 4).0, "channels");
        assert_eq!(refusal(0, &[], [1, 2, 3], 0).0, "classes");
        assert_eq!(refusal(11, &[0, 1], [1, 2, 3], 4).0, "images");
        assert_eq!(refusal(12, &[0], [1, 2, 3], 4).0, "images");
        // The product of the extents overflows, which must not count as a match.
        assert_eq!(refusal(0, &[0], [usize::MAX, 2, 3], 4).0, "images");
        let (field, message) = refusal(12, &[3, 4], [1, 2, 3], 4);
        assert_eq!(field, "labels");
        assert!(message.contains("label 1 is 4"), "{message}");
        assert_eq!(refusal(6, &[-1], [1, 2, 3], 4).0, "labels");
    }

    #[test]
    fn classes_have_a_name_each_or_none_and_parts_keep_them() {
        let set = numbered(8);
        assert!(set.class_names.is_empty());
        assert!(set.clone().named(["a", "b", "c"]).is_err());
        let set = set.named(["a", "b", "c", "d"]).unwrap();
        assert_eq!(set.subset(&[3]).class_names, ["a", "b", "c", "d"]);
    }

    #[test]
    fn a_subset_keeps_images_with_their_labels_in_the_order_asked_for() {
        let set = numbered(9);
        assert_eq!((set.len(), set.image_bytes()), (9, 6));
        let part = set.subset(&[7, 2, 7]);
        assert_eq!(part.labels, [3, 2, 3]);
        assert_eq!(part.image(1), [2; 6]);
        assert_eq!(part.image(2), set.image(7));
        assert!(set.subset(&[]).is_empty());
    }

    #[test]
    fn a_division_is_subsets_in_the_same_memory() {
        let mut set = numbered(50);
        set.digests = (100..150).collect();
        let rng = crate::rng::Rng::new(1, "division");
        for count in [0, 1, 17, 49, 50] {
            let order = rng.permutation(50);
            let (first, second) = order.split_at(count);
            let expected = [first, &[], second].map(|part| set.subset(part));
            assert_eq!(set.clone().divide([first, &[], second]).unwrap(), expected, "{count}");
            assert_eq!(expected[0].digests.len(), count);
        }
        let some = [&[7, 3][..], &[], &[40, 0, 49]];
        assert_eq!(set.clone().divide(some).unwrap(), some.map(|part| set.subset(part)), "the others are dropped");
        for (first, second) in [(&[0, 1][..], &[1][..]), (&[0, 1], &[3]), (&[0, 1, 2], &[3])] {
            assert!(numbered(3).divide([first, second]).is_err(), "{first:?} {second:?}");
        }
    }

    #[test]
    fn a_split_gives_every_image_to_one_side_and_follows_the_seed() {
        let set = numbered(50);
        let (training, validation) = set.split_validation(0.2, 1).unwrap();
        assert_eq!((training.len(), validation.len()), (40, 10));
        let mut seen: Vec<u8> =
            [&training, &validation].iter().flat_map(|side| (0..side.len()).map(|i| side.image(i)[0])).collect();
        seen.sort_unstable();
        assert!(seen.iter().enumerate().all(|(i, &v)| i == v as usize));
        let again = set.split_validation(0.2, 1).unwrap();
        assert_eq!(again, (training, validation));
        assert_ne!(set.split_validation(0.2, 2).unwrap(), again);
    }

    #[test]
    fn a_split_leaves_neither_side_empty() {
        let set = numbered(4);
        for fraction in [0.0, 1.0, -0.5, 1.5, f64::NAN, 0.1] {
            let refused = set.split_validation(fraction, 1);
            assert!(matches!(refused, Err(Error::Config { .. })), "a fraction of {fraction} gave {refused:?}");
        }
        assert!(numbered(1).split_validation(0.5, 1).is_err());
        assert!(numbered(0).split_validation(0.5, 1).is_err());
        // Two classes of one image each train on both.
        assert!(numbered(2).split_validation(0.5, 1).is_err());
        assert!(numbered(8).split_validation(0.5, 1).is_ok());
    }
}

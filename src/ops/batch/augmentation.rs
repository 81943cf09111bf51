//! How training images are changed at random: the settings, and what is drawn for each image.
//!
//! Everything is drawn on the host, by seed, step and the image's place in its data set alone, as a few whole numbers an
//! image; kernel and twin only add, multiply and choose by them, so that both make the same of them to the bit.

use crate::graph::Misfit;
use crate::ops::gather::Augment;
use crate::rng::{Rng, drawn, unit};

/// Random changes of training images, in this order: crop (padded or resized), flip, brightness, contrast, saturation, the
/// normalisation, cutout. The default changes nothing; `Augmentation::from(Augment::default())` is the usual crop and flip.
///
/// ```
/// use tilegrad::data::{Augment, Augmentation, ColorJitter};
///
/// let augmentation = Augmentation { cutout: 16, ..Augment::default().into() };
/// let jittered = Augmentation { jitter: ColorJitter { brightness: 0.4, ..ColorJitter::default() }, ..augmentation };
/// # assert!(jittered.check([3, 32, 32]).is_ok());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Augmentation {
    /// Black pixels (bytes of 0) added on each side before a random crop to the image's own extents.
    pub padding: usize,
    /// The probability that left and right are exchanged.
    pub flip: f32,
    /// A random part of the image, resized to the image's own extents, in place of the padded crop.
    pub resized_crop: Option<ResizedCrop>,
    /// Random brightness, contrast and saturation.
    pub jitter: ColorJitter,
    /// The side of a square that is set to 0 after the normalisation, which is its mean, around a pixel that is drawn evenly
    /// from the image; what lies outside of the image is cut off. 0 for none. Source: DeVries and Taylor, arXiv 1708.04552.
    pub cutout: usize,
}

/// Which parts of an image [`Augmentation::resized_crop`] draws: torchvision's `RandomResizedCrop`, bilinear and without
/// antialiasing.
///
/// Up to ten times an area and an aspect ratio are drawn, until the box fits into the image; else it is the largest
/// in the middle whose ratio is allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResizedCrop {
    /// Least and largest area of the box as a share of the image's, drawn evenly.
    pub scale: [f64; 2],
    /// Least and largest width over height, whose logarithm is drawn evenly.
    pub ratio: [f64; 2],
}

impl Default for ResizedCrop {
    /// torchvision's: 8% to all of the image, 3:4 to 4:3.
    fn default() -> Self {
        ResizedCrop { scale: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] }
    }
}

/// torchvision's `ColorJitter` without hue: each x draws a factor from U(max(0, 1 - x), 1 + x), and 0 leaves the image alone.
///
/// torchvision applies them in random order; here brightness comes first, then contrast, then saturation. On images of one
/// channel saturation does nothing. Images of other than one or three channels are refused, as torchvision does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ColorJitter {
    /// Multiplies every pixel.
    pub brightness: f32,
    /// Moves every pixel from or to the mean of the gray image.
    pub contrast: f32,
    /// Moves every pixel from or to its own gray.
    pub saturation: f32,
}

/// A factor of 1 in a [`Drawn`].
pub(crate) const ONE: i32 = 1 << 12;
/// Factors up to 8 leave room in 32 bits.
const MOST_JITTER: f32 = 7.0;
/// The sum of the gray of so many pixels is less than 2^32.
const MOST_GRAY_PIXELS: usize = 1 << 20;
/// Places in larger images, in halves of a pixel of the output, would not fit into 31 bits.
const MOST_RESIZED: usize = 1 << 15;
/// How often a box is drawn before the middle is taken.
const TRIES: usize = 10;

/// What has been drawn for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// The first row of the box that is cut out, above the image where it begins in the padding.
    pub top: i32,
    /// The first column of the box.
    pub left: i32,
    /// The rows of the box.
    pub height: i32,
    /// The columns of the box.
    pub width: i32,
    /// 1 where left and right are exchanged, else 0.
    pub flip: i32,
    /// The factor of the brightness, in 4096ths, as all factors.
    pub brightness: i32,
    /// The factor of the contrast.
    pub contrast: i32,
    /// The factor of the saturation.
    pub saturation: i32,
    /// The first row of the square that is cut out, above the image where it begins there.
    pub cutout_top: i32,
    /// The first column of the square.
    pub cutout_left: i32,
}

/// How many words a [`Drawn`] is.
pub const DRAWN: usize = 10;

impl Drawn {
    /// The words in the order of the fields.
    pub fn words(&self) -> [i32; DRAWN] {
        let Drawn { top, left, height, width, flip, brightness, contrast, saturation, cutout_top, cutout_left } = *self;
        [top, left, height, width, flip, brightness, contrast, saturation, cutout_top, cutout_left]
    }

    /// The fields of as many words; words that are missing are 0.
    pub fn from_words(words: &[i32]) -> Self {
        let word = |i: usize| words.get(i).copied().unwrap_or(0);
        Drawn {
            top: word(0),
            left: word(1),
            height: word(2),
            width: word(3),
            flip: word(4),
            brightness: word(5),
            contrast: word(6),
            saturation: word(7),
            cutout_top: word(8),
            cutout_left: word(9),
        }
    }
}

impl From<Augment> for Augmentation {
    fn from(Augment { padding, flip }: Augment) -> Self {
        Augmentation { padding, flip, ..Augmentation::default() }
    }
}

impl Augmentation {
    /// Crop and flip alone, if nothing else is asked for: a kernel draws those itself.
    pub fn plain(&self) -> Option<Augment> {
        let plain = Augment { padding: self.padding, flip: self.flip };
        (*self == plain.into()).then_some(plain)
    }

    /// Checks every number against its range, and against images of [channels, height, width].
    pub fn check(&self, [channels, height, width]: [usize; 3]) -> Result<(), Misfit> {
        let refuse = |message: String| Err(Misfit::Attribute(message));
        Augment { padding: self.padding, flip: self.flip }.check()?;
        if let Some(ResizedCrop { scale, ratio }) = self.resized_crop {
            if self.padding > 0 {
                return refuse(format!("padding must be 0 beside resized_crop, it is {}", self.padding));
            }
            if height.max(width) > MOST_RESIZED {
                return refuse(format!(
                    "resized_crop needs images of at most {MOST_RESIZED} pixels each way, they are {height}x{width}"
                ));
            }
            if !(scale[0] > 0.0 && scale[0] <= scale[1] && scale[1] <= 1.0) {
                return refuse(format!("scale must be two rising numbers above 0, up to 1, it is {scale:?}"));
            }
            if !(ratio[0] > 0.0 && ratio[0] <= ratio[1] && ratio[1].is_finite()) {
                return refuse(format!("ratio must be two rising numbers above 0, it is {ratio:?}"));
            }
        }
        let ColorJitter { brightness, contrast, saturation } = self.jitter;
        for (name, value) in [("brightness", brightness), ("contrast", contrast), ("saturation", saturation)] {
            if !(0.0..=MOST_JITTER).contains(&value) {
                return refuse(format!("{name} must be 0 to {MOST_JITTER}, it is {value}"));
            }
            if value > 0.0 && channels != 1 && channels != 3 {
                return refuse(format!("{name} needs images of 1 or 3 channels, they have {channels}"));
            }
        }
        if contrast > 0.0 && height * width > MOST_GRAY_PIXELS {
            return refuse(format!(
                "contrast needs images of at most {MOST_GRAY_PIXELS} pixels, they are {height}x{width}"
            ));
        }
        if self.cutout > 2 * height.max(width) {
            return refuse(format!(
                "cutout must be at most twice the image's extents {height}x{width}, it is {}",
                self.cutout
            ));
        }
        Ok(())
    }

    /// What is drawn for image `item` of its data set, of [height, width], where `random` is what [`crate::rng::draw`] gives
    /// for the step. Crop and flip are those of [`Augment::crop`].
    pub fn draw(&self, random: &[i32], item: u32, [height, width]: [usize; 2]) -> Drawn {
        let crop = Augment { padding: self.padding, flip: self.flip }.crop(random, item);
        let words = |stream: &str| {
            let (rng, step) = drawn(stream, random);
            rng.words_at(step, item)
        };
        let [top, left, rows, columns] = match self.resized_crop {
            Some(resized) => resized.draw(random, item, [height, width]),
            None => {
                let corner = |offset: usize| offset as i32 - self.padding as i32;
                [corner(crop.top), corner(crop.left), height as i32, width as i32]
            }
        };
        let ColorJitter { brightness, contrast, saturation } = self.jitter;
        let jitter = words("color_jitter");
        let square = words("cutout");
        let corner = |word: u32, extent: usize| below(word, extent) as i32 - (self.cutout / 2) as i32;
        Drawn {
            top,
            left,
            height: rows,
            width: columns,
            flip: i32::from(crop.flip),
            brightness: factor(brightness, jitter[0]),
            contrast: factor(contrast, jitter[1]),
            saturation: factor(saturation, jitter[2]),
            cutout_top: corner(square[0], height),
            cutout_left: corner(square[1], width),
        }
    }
}

impl ResizedCrop {
    /// Top, left, height and width of the box.
    fn draw(&self, random: &[i32], item: u32, [height, width]: [usize; 2]) -> [i32; 4] {
        let area = (height * width) as f64;
        let [low, high] = self.ratio.map(f64::ln);
        for attempt in 0..TRIES {
            let (rng, step): (Rng, u32) = drawn(&format!("resized_crop.{attempt}"), random);
            let [share, aspect, top, left] = rng.words_at(step, item);
            let between = |[low, high]: [f64; 2], word: u32| low + (high - low) * f64::from(unit(word));
            let target = area * between(self.scale, share);
            let aspect = between([low, high], aspect).exp();
            let columns = (target * aspect).sqrt().round_ties_even() as usize;
            let rows = (target / aspect).sqrt().round_ties_even() as usize;
            if (1..=width).contains(&columns) && (1..=height).contains(&rows) {
                let corner = |word: u32, room: usize| below(word, room + 1) as i32;
                return [corner(top, height - rows), corner(left, width - columns), rows as i32, columns as i32];
            }
        }
        // The whole image, but for what makes it too wide or too high.
        let aspect = width as f64 / height as f64;
        let [low, high] = self.ratio;
        let (rows, columns) = if aspect < low {
            ((width as f64 / low).round_ties_even() as usize, width)
        } else if aspect > high {
            (height, (height as f64 * high).round_ties_even() as usize)
        } else {
            (height, width)
        };
        let (rows, columns) = (rows.clamp(1, height), columns.clamp(1, width));
        [(height - rows) / 2, (width - columns) / 2, rows, columns].map(|extent| extent as i32)
    }
}

/// An integer in 0..`bound`.
fn below(word: u32, bound: usize) -> usize {
    ((u64::from(word) * bound as u64) >> 32) as usize
}

/// U(max(0, 1 - x), 1 + x) in 4096ths.
fn factor(x: f32, word: u32) -> i32 {
    let (low, high) = ((1.0 - f64::from(x)).max(0.0), 1.0 + f64::from(x));
    ((low + (high - low) * f64::from(unit(word))) * f64::from(ONE)).round() as i32
}

//! Random augmentation of training images: the settings, and the values drawn for each image.
//!
//! Everything is drawn on the host from seed, step and the image's index in its data set alone, as a few integers per
//! image. Kernel and twin only add, multiply and choose by them, so that both give bitwise the same result.

use crate::graph::Misfit;
use crate::ops::gather::Augment;
use crate::rng::{Rng, drawn, unit};

/// Random augmentation of training images, in this order: crop (padded or resized), flip, brightness, contrast,
/// saturation, normalisation, cutout. The default changes nothing; `Augmentation::from(Augment::default())` is the
/// usual crop and flip.
/// ```
/// use tilegrad::data::{Augment, Augmentation, ColorJitter};
///
/// let augmentation = Augmentation { cutout: 16, ..Augment::default().into() };
/// let jittered = Augmentation { jitter: ColorJitter { brightness: 0.4, ..ColorJitter::default() }, ..augmentation };
/// # assert!(jittered.check([3, 32, 32]).is_ok());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Augmentation {
    /// Black pixels (zero bytes) added on each side before a random crop to the image's own extents.
    pub padding: usize,
    /// Probability of a horizontal flip.
    pub flip: f32,
    /// Random crop resized to the image's own extents, or those that a source has been given for its output, in place of
    /// the padded crop.
    pub resized_crop: Option<ResizedCrop>,
    /// Random brightness, contrast and saturation.
    pub jitter: ColorJitter,
    /// Side of a square that is set to 0, the mean, after the normalisation; 0 for none. Its centre is drawn uniformly
    /// from the image's pixels, and the part outside the image is cut off. Source: DeVries and Taylor, arXiv
    /// 1708.04552.
    pub cutout: usize,
}

/// Distribution of the boxes of [`Augmentation::resized_crop`]: torchvision's `RandomResizedCrop`, bilinear and without
/// antialiasing.
///
/// An area and an aspect ratio are drawn up to ten times, until the box fits into the image. If none fits, the box is
/// the largest one in the centre with an allowed ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResizedCrop {
    /// Minimum and maximum area of the box as a fraction of the image's, drawn uniformly.
    pub scale: [f64; 2],
    /// Minimum and maximum of width over height; its logarithm is drawn uniformly.
    pub ratio: [f64; 2],
}

impl Default for ResizedCrop {
    /// torchvision's defaults: 8% to all of the image, 3:4 to 4:3.
    fn default() -> Self {
        ResizedCrop { scale: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] }
    }
}

/// torchvision's `ColorJitter` without hue: each x draws a factor from U(max(0, 1 - x), 1 + x), and 0 leaves the image
/// unchanged.
///
/// torchvision applies them in random order; here brightness comes first, then contrast, then saturation. On images of
/// one channel saturation does nothing. Images of other than one or three channels are refused, as in torchvision.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ColorJitter {
    /// Multiplies every pixel.
    pub brightness: f32,
    /// Blends every pixel with the mean of the gray image.
    pub contrast: f32,
    /// Blends every pixel with its own gray value.
    pub saturation: f32,
}

/// A factor of 1 in a [`Drawn`].
pub(crate) const ONE: i32 = 1 << 12;
/// Largest setting: factors up to 8 leave room in 32 bits.
const MOST_JITTER: f32 = 7.0;
/// Maximum number of pixels whose gray values sum to less than 2^32.
const MOST_GRAY_PIXELS: usize = 1 << 20;
/// Maximum extent for resizing: in larger images, positions in half output pixels would not fit into 31 bits.
const MOST_RESIZED: usize = 1 << 15;
/// Number of attempts to draw a box before the centre is taken.
const TRIES: usize = 10;

/// Values drawn for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// First row of the crop box; negative if it begins in the padding.
    pub top: i32,
    /// First column of the crop box.
    pub left: i32,
    /// Number of rows of the crop box.
    pub height: i32,
    /// Number of columns of the crop box.
    pub width: i32,
    /// 1 for a horizontal flip, else 0.
    pub flip: i32,
    /// Brightness factor, in 4096ths like all factors.
    pub brightness: i32,
    /// Contrast factor.
    pub contrast: i32,
    /// Saturation factor.
    pub saturation: i32,
    /// First row of the cutout square; negative if it begins above the image.
    pub cutout_top: i32,
    /// First column of the cutout square.
    pub cutout_left: i32,
}

/// Number of words of a [`Drawn`].
pub const DRAWN: usize = 10;

impl Drawn {
    /// Returns the words in the order of the fields.
    pub fn words(&self) -> [i32; DRAWN] {
        let Drawn { top, left, height, width, flip, brightness, contrast, saturation, cutout_top, cutout_left } = *self;
        [top, left, height, width, flip, brightness, contrast, saturation, cutout_top, cutout_left]
    }

    /// Reads the fields from words; missing words are 0.
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
    /// Returns crop and flip if nothing else is set. A kernel draws those itself.
    pub fn plain(&self) -> Option<Augment> {
        let plain = Augment { padding: self.padding, flip: self.flip };
        (*self == plain.into()).then_some(plain)
    }

    /// Checks every setting against its range, and against images of [channels, height, width].
    pub fn check(&self, image: [usize; 3]) -> Result<(), Misfit> {
        let [_, height, width] = image;
        self.check_to(image, [height, width])
    }

    /// Checks every setting as [`check`](Self::check) does, for images that become [height, width] of `output`.
    pub fn check_to(&self, [channels, rows, columns]: [usize; 3], output: [usize; 2]) -> Result<(), Misfit> {
        let [height, width] = output;
        let refuse = |message: String| Err(Misfit::Attribute(message));
        Augment { padding: self.padding, flip: self.flip }.check()?;
        if let Some(ResizedCrop { scale, ratio }) = self.resized_crop {
            if self.padding > 0 {
                return refuse(format!("padding must be 0 beside resized_crop, it is {}", self.padding));
            }
            for [height, width] in [[rows, columns], output] {
                if height.max(width) > MOST_RESIZED {
                    return refuse(format!(
                        "resized_crop needs images of at most {MOST_RESIZED} pixels each way, they are {height}x{width}"
                    ));
                }
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

    /// Draws the values for image `item` of its data set, of [height, width]. `random` comes from [`crate::rng::draw`]
    /// for the step. Crop and flip are those of [`Augment::crop`].
    pub fn draw(&self, random: &[i32], item: u32, extents: [usize; 2]) -> Drawn {
        self.draw_to(random, item, extents, extents)
    }

    /// Draws as [`draw`](Self::draw) does, for an image of `extents` that becomes one of `output`, both [height, width].
    ///
    /// A resized crop is a box of the image. A padded crop has the output's extents and lies around the image's centre,
    /// as far from it as the padding goes. The cutout square lies in the output.
    pub fn draw_to(&self, random: &[i32], item: u32, extents: [usize; 2], output: [usize; 2]) -> Drawn {
        let [height, width] = output;
        let crop = Augment { padding: self.padding, flip: self.flip }.crop(random, item);
        let words = |stream: &str| {
            let (rng, step) = drawn(stream, random);
            rng.words_at(step, item)
        };
        let [top, left, rows, columns] = match self.resized_crop {
            Some(resized) => resized.draw(random, item, extents),
            None => {
                let centre = |side: usize| centre_crop(extents[side], output[side]);
                let corner = |offset: usize, side| offset as i32 - self.padding as i32 + centre(side);
                [corner(crop.top, 0), corner(crop.left, 1), height as i32, width as i32]
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
    /// Draws top, left, height and width of the box for image `item`, of [height, width].
    pub fn draw(&self, random: &[i32], item: u32, [height, width]: [usize; 2]) -> [i32; 4] {
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
        // The whole image, less what makes it too wide or too high.
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

/// First pixel of a centre crop from `extent` pixels to `output`; negative if the crop is the larger.
pub(crate) fn centre_crop(extent: usize, output: usize) -> i32 {
    ((extent as i64 - output as i64) / 2) as i32
}

/// Converts a random word to an integer in 0..`bound`.
fn below(word: u32, bound: usize) -> usize {
    ((u64::from(word) * bound as u64) >> 32) as usize
}

/// Converts a random word to U(max(0, 1 - x), 1 + x) in 4096ths.
fn factor(x: f32, word: u32) -> i32 {
    let (low, high) = ((1.0 - f64::from(x)).max(0.0), 1.0 + f64::from(x));
    ((low + (high - low) * f64::from(unit(word))) * f64::from(ONE)).round() as i32
}

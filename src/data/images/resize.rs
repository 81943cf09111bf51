//! The size that images are brought to, and how.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::shape::ImageSize;

/// Largest side that images may be brought to.
const MOST: usize = 1 << 15;

/// How images of any size are brought to one size. Its text is what it prints, and what it is parsed from: "224",
/// "224/256" or "32x48".
///
/// ```
/// use tilegrad::data::Resize;
///
/// assert_eq!("224".parse::<Resize>()?, Resize::crop(224));
/// assert_eq!(Resize::crop(224).with_margin().to_string(), "224/256");
/// assert_eq!("32x48".parse::<Resize>()?, Resize::stretch(32, 48));
/// # Ok::<(), tilegrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resize {
    /// Scales the short side to `short`, keeping the proportions, and cuts a square of `side` out of the centre, as
    /// torchvision's `Resize(short)` and `CenterCrop(side)`. Prints as "224", or as "224/256" if the two differ.
    Crop {
        /// Side of the square.
        side: usize,
        /// Length of the short side after scaling; at least `side`.
        short: usize,
    },
    /// Scales both sides apart, without keeping the proportions. Prints as "32x48", height first.
    Stretch {
        /// Number of rows.
        height: usize,
        /// Number of pixels in a row.
        width: usize,
    },
}

/// A part of an image that is scaled: left, top, width and height in pixels, and the target's width and height.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Part {
    pub from: [f64; 4],
    pub to: [usize; 2],
}

impl Resize {
    /// Creates a resize to `side` by `side` pixels: the short side scaled to `side`, and the centre cut out.
    pub fn crop(side: usize) -> Self {
        Resize::Crop { side, short: side }
    }

    /// Creates a resize to `height` by `width` pixels that does not keep the proportions.
    pub fn stretch(height: usize, width: usize) -> Self {
        Resize::Stretch { height, width }
    }

    /// Returns the resize whose short side is scaled to 8/7 of the square cut out, as 256 is of 224. A stretch stays
    /// what it is.
    pub fn with_margin(self) -> Self {
        match self {
            Resize::Crop { side, .. } => Resize::Crop { side, short: side + side.div_ceil(7) },
            stretch => stretch,
        }
    }

    /// Returns the resize that keeps the whole of the short side: the margin around the square is not cut off.
    pub fn without_crop(self) -> Self {
        match self {
            Resize::Crop { short, .. } => Resize::crop(short),
            stretch => stretch,
        }
    }

    /// Returns the resize to the same size that stretches.
    pub fn squashed(self) -> Self {
        let [height, width] = self.extents();
        Resize::Stretch { height, width }
    }

    /// Height and width of the result.
    pub fn extents(self) -> [usize; 2] {
        match self {
            Resize::Crop { side, .. } => [side, side],
            Resize::Stretch { height, width } => [height, width],
        }
    }

    /// Checks the sizes. [`Error::Config`] names a side of 0 or above 32768, or a square larger than the short side.
    pub fn check(self) -> Result<()> {
        let sides = match self {
            Resize::Crop { side, short } => [side, short],
            Resize::Stretch { height, width } => [height, width],
        };
        if sides.iter().any(|side| !(1..=MOST).contains(side)) {
            return Err(Error::config("resize", format!("is {self}, each side must be 1 to {MOST}")));
        }
        if let Resize::Crop { side, short } = self
            && side > short
        {
            return Err(Error::config("resize", format!("is {self}, the first must not be above the second")));
        }
        Ok(())
    }

    /// The part of an image of this size that becomes the result.
    pub(super) fn part(self, ImageSize { height, width, .. }: ImageSize) -> Part {
        let [rows, columns] = self.extents();
        let to = [columns, rows];
        let Resize::Crop { side, short } = self else {
            return Part { from: [0.0, 0.0, width as f64, height as f64], to };
        };
        // torchvision rounds the long side down, and the corner of the square to the nearest even.
        let least = height.min(width);
        let scaled = |extent: usize| if extent == least { short } else { short * extent / least };
        let along = |extent: usize| {
            let (room, step) = (scaled(extent) - side, extent as f64 / scaled(extent) as f64);
            let corner = (room as f64 / 2.0).round_ties_even();
            [corner * step, side as f64 * step]
        };
        let ([left, wide], [top, high]) = (along(width), along(height));
        Part { from: [left, top, wide, high], to }
    }
}

impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Resize::Crop { side, short } if side == short => write!(f, "{side}"),
            Resize::Crop { side, short } => write!(f, "{side}/{short}"),
            Resize::Stretch { height, width } => write!(f, "{height}x{width}"),
        }
    }
}

impl FromStr for Resize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        let two = |separator| text.split_once(separator).and_then(|(a, b)| Some((number(a)?, number(b)?)));
        let resize = match (number(text), two('x'), two('/')) {
            (Some(side), _, _) => Resize::crop(side),
            (_, Some((height, width)), _) => Resize::Stretch { height, width },
            (_, _, Some((side, short))) => Resize::Crop { side, short },
            _ => {
                let forms = "a side (224) or a height and a width (32x48)";
                return Err(Error::config("resize", format!("is \"{text}\", {forms} is expected")));
            }
        };
        resize.check().map(|()| resize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_read_back_and_other_text_is_refused() {
        for resize in [Resize::crop(1), Resize::crop(224).with_margin(), Resize::stretch(3, 7), Resize::stretch(5, 5)] {
            assert_eq!(resize.to_string().parse::<Resize>().unwrap(), resize);
        }
        for text in ["", "0", "-3", "+3", "3x", "x3", "3x0", "3x4x5", "8/7", "7/", "99999999999999999999", "40000", "a"]
        {
            let error = text.parse::<Resize>().unwrap_err().to_string();
            assert!(error.starts_with("resize: is "), "{text}: {error}");
        }
        assert_eq!(Resize::crop(224).with_margin().without_crop(), Resize::crop(256));
        assert_eq!(Resize::crop(9).squashed(), Resize::stretch(9, 9));
    }

    #[test]
    fn the_square_is_cut_where_torchvision_cuts_it() {
        // Resize(224) and CenterCrop(224) of 500 wide and 375 high: 298 wide, the square from column 37.
        let part = Resize::crop(224).part(ImageSize::new(375, 500, 3));
        let step = 500.0 / 298.0;
        assert_eq!(part, Part { from: [37.0 * step, 0.0, 224.0 * step, 375.0], to: [224, 224] });
        // An odd rest is rounded to even: 10 high, 13 wide leaves 3, of which 2 lie before the square.
        let part = Resize::crop(10).part(ImageSize::new(10, 13, 1));
        assert_eq!(part.from, [2.0, 0.0, 10.0, 10.0]);
        let part = Resize::crop(10).part(ImageSize::new(15, 10, 1));
        assert_eq!(part.from, [0.0, 2.0, 10.0, 10.0]);
    }
}

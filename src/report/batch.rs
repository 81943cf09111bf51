//! A sheet of the images of a batch, as a network sees them.

use super::Picture;
use super::colour::INK;
use super::fonts::{Fonts, LETTER};
use super::names::labels;
use super::sheet::{Tile, painted, sheet, square};
use crate::data::Normalisation;
use crate::error::{Error, Result};
use crate::shape::ImageSize;

/// Approximate length of a tile's longer side in pixels, after enlargement by a whole factor.
const SIDE: usize = 112;
/// Largest number of lines of a caption.
const LINES: usize = 6;
/// Largest number of letters of a caption.
const LONGEST: usize = 80;
/// Largest number of images of a sheet. Its title gives the full number.
pub const MOST: usize = 64;

/// Draws the first images of a batch, numbers [N, C, H, W] with C, H and W of `size`, each with its caption below.
///
/// The normalisation is undone; values outside 0..255 become the nearest. Three channels are red, green and blue; of
/// another number the first is shown. A caption is written in full over several lines. [`Error::Config`] if the number of
/// values is not that of images of `size`, one for each caption.
pub fn batch(
    title: &str,
    images: &[f32],
    size: ImageSize,
    normalisation: &Normalisation,
    captions: &[String],
) -> Result<Picture> {
    let expected = size.checked_values().and_then(|values| values.checked_mul(captions.len()));
    if captions.is_empty() || images.is_empty() || expected != Some(images.len()) {
        let (values, count) = (images.len(), captions.len());
        return Err(Error::config("batch", format!("has {values} values, {count} captions ask for images of {size}")));
    }
    let ImageSize { height, width, .. } = size;
    let zoom = (SIDE / width.max(height)).max(1);
    let letters = ((width * zoom).max(SIDE) / LETTER[0]).max(1);
    let shown = captions.len().min(MOST);
    let images = images.chunks_exact(size.values()).zip(&captions[..shown]).map(|(image, caption)| {
        let caption = wrapped(caption, letters).into_iter().map(|line| (line, INK)).collect();
        Ok(Tile { picture: tile(image, size, normalisation)?, caption })
    });
    let tiles = images.collect::<Result<Vec<_>>>()?;
    let title = match shown < captions.len() {
        true => format!("{title}, {shown} of {} images", captions.len()),
        false => title.to_string(),
    };
    sheet(&title, &tiles, square(shown), SIDE)
}

/// Names of classes for captions: one that no font of the system can write becomes its class's number, and those that
/// would look alike have it in front.
pub fn captions(names: &[String]) -> Vec<String> {
    labels(names, LONGEST, Fonts::system())
}

/// The image [C, H, W] without its normalisation.
fn tile(image: &[f32], ImageSize { height, width, channels }: ImageSize, of: &Normalisation) -> Result<Picture> {
    let byte = |channel: usize, pixel: usize| {
        let value = image[channel * height * width + pixel];
        // NaN becomes 0.
        ((value - of.shift[channel.min(3)]) / of.scale[channel.min(3)]).round() as u8
    };
    painted([height, width], |pixel| match channels {
        3 => [0, 1, 2].map(|channel| byte(channel, pixel)),
        _ => [byte(0, pixel); 3],
    })
}

/// Cuts a text into lines of at most `letters` characters; of a very long one the middle is left out.
fn wrapped(text: &str, letters: usize) -> Vec<String> {
    let mut all: Vec<char> = text.chars().collect();
    let most = letters * LINES;
    if all.len() > most {
        let kept = most.saturating_sub(2);
        all.splice(kept.div_ceil(2)..all.len() - kept / 2, ['.', '.']);
    }
    all.chunks(letters).map(|line| line.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_are_written_in_full_or_without_their_middle() {
        assert_eq!(wrapped("ant", 14), ["ant"]);
        assert_eq!(wrapped("abcdefgh", 3), ["abc", "def", "gh"]);
        let [long, other] = ["x", "y"].map(|end| wrapped(&format!("{}{end}", "same beginning ".repeat(9)), 14));
        assert_eq!((long.len(), long.concat().chars().count()), (LINES, LINES * 14));
        assert_ne!(long, other);
    }

    #[test]
    fn the_normalisation_is_undone_and_channels_are_colours() {
        let normalisation = Normalisation::IMAGENET;
        let bytes: [u8; 6] = [0, 255, 17, 90, 128, 201];
        let numbers: Vec<f32> =
            (0..6).map(|i| f32::from(bytes[i]) * normalisation.scale[i / 2] + normalisation.shift[i / 2]).collect();
        let size = ImageSize::new(1, 2, 3);
        let picture = tile(&numbers, size, &normalisation).unwrap();
        assert_eq!([picture.pixel(0, 0), picture.pixel(1, 0)], [Some([0, 17, 128]), Some([255, 90, 201])]);
        let sheet = batch("first batch", &numbers, size, &normalisation, &["a".into()]).unwrap();
        let has = |colour| {
            (0..sheet.width() * sheet.height())
                .any(|i| sheet.pixel(i % sheet.width(), i / sheet.width()) == Some(colour))
        };
        assert!(has([0, 17, 128]) && has([255, 90, 201]));
        for captions in [vec![], vec!["a".to_string(); 2]] {
            assert!(batch("", &numbers, size, &normalisation, &captions).is_err());
        }
    }
}

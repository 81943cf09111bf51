//! Sheets of pictures: a network's first filters, its feature maps, and its misclassified images.

use std::path::Path;

use super::colour::{self, INK, NAN, PAPER, RIGHT, Rgb, WRONG};
use super::fonts::{Fonts, LETTER};
use super::names::{LABEL, labels, shortened};
use super::picture::text_width;
use super::predictions::{mistakes, write_csv};
use super::{Picture, Prediction};
use crate::data::Dataset;
use crate::error::{Error, Quantity, Result, printable};
use crate::shape::ImageSize;

/// Pixels between two tiles, and around the sheet.
const GAP: usize = 6;
const MARGIN: usize = 14;
/// Approximate length of a tile's longer side in pixels, after enlargement by a whole factor.
const FILTER: usize = 48;
const MAP: usize = 84;
const PHOTO: usize = 112;
/// Largest number of tiles of a sheet, and of misclassified images. The title gives the full number.
const MOST: usize = 256;
const SHOWN: usize = 120;

/// The range of values to which a tile is scaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scaling {
    /// Each tile by its own values, which also shows the shape of faint ones.
    #[default]
    Each,
    /// All tiles by the values of all, which shows which tiles are faint.
    All,
}

/// The colour map for values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colours {
    /// Black to white.
    #[default]
    Gray,
    /// matplotlib's viridis: dark blue, green, yellow.
    Viridis,
}

/// A tile with the lines below it.
pub(super) struct Tile {
    pub picture: Picture,
    pub caption: Vec<(String, Rgb)>,
}

impl Tile {
    fn bare(picture: Picture) -> Self {
        Tile { picture, caption: Vec::new() }
    }
}

/// Draws the filters of a convolution of `shape` \[out, in, height, width\], in PyTorch's order of elements.
///
/// Zero is middle gray. White is the largest absolute weight among those that `scaling` compares, and black its
/// negative. Filters with three inputs are shown in colour. Otherwise each input is a tile, and each filter a row. NaN
/// is magenta. [`Error::Config`] if the length of `weights` does not match the shape.
pub fn filters(title: &str, weights: &[f32], shape: [usize; 4], scaling: Scaling) -> Result<Picture> {
    let [outputs, inputs, height, width] = shape;
    check(weights, &shape)?;
    let plane = height * width;
    let largest = |values: &[f32]| values.iter().map(|v| v.abs()).filter(|v| v.is_finite()).fold(0.0, f32::max);
    let of_all = largest(weights);
    let in_colour = inputs == 3;
    let columns = if in_colour || inputs == 1 { square(outputs.min(MOST)) } else { inputs.min(square(MOST)) };
    let rows = if in_colour || inputs == 1 { outputs.min(MOST) } else { outputs.min(MOST / columns) };
    let mut tiles = Vec::new();
    for filter in weights.chunks_exact(inputs * plane).take(rows) {
        let limit = if scaling == Scaling::All { of_all } else { largest(filter) };
        // Weights that are all zero become middle gray.
        let part = |value: f32| if limit > 0.0 { 0.5 + 0.5 * value / limit } else { value + 0.5 };
        if in_colour {
            let colour = |i: usize| match [0, 1, 2].map(|c| part(filter[c * plane + i])) {
                parts if parts.iter().any(|part| part.is_nan()) => NAN,
                parts => parts.map(|part| colour::gray(part)[0]),
            };
            tiles.push(Tile::bare(painted([height, width], colour)?));
        } else {
            for input in filter.chunks_exact(plane).take(columns) {
                tiles.push(Tile::bare(painted([height, width], |i| shade(part(input[i]), Colours::Gray))?));
            }
        }
    }
    let title = match rows < outputs || (!in_colour && inputs > 1 && columns < inputs) {
        true if in_colour || inputs == 1 => format!("{title}, {rows} of {outputs}"),
        true => format!("{title}, {rows} of {outputs} filters, {columns} of {inputs} inputs"),
        false => title.to_string(),
    };
    sheet(&title, &tiles, columns, FILTER)
}

/// Draws the feature maps of one image, \[channels, height, width\] of `size`.
///
/// The smallest value is black (or viridis' blue) and the largest white (or yellow), among those that `scaling`
/// compares. A constant map is dark everywhere. NaN is magenta. [`Error::Config`] if the length of `maps` does not
/// match the shape.
pub fn feature_maps(title: &str, maps: &[f32], size: ImageSize, scaling: Scaling, colours: Colours) -> Result<Picture> {
    let ImageSize { height, width, channels } = size;
    check(maps, &size.chw())?;
    let range = |values: &[f32]| {
        let finite = || values.iter().copied().filter(|v| v.is_finite());
        (finite().fold(f32::INFINITY, f32::min), finite().fold(f32::NEG_INFINITY, f32::max))
    };
    let of_all = range(maps);
    let shown = channels.min(MOST);
    let mut tiles = Vec::new();
    for map in maps.chunks_exact(height * width).take(shown) {
        let (low, high) = if scaling == Scaling::All { of_all } else { range(map) };
        let part = |value: f32| match high > low {
            true => (value - low) / (high - low),
            false if value.is_nan() => value,
            false => 0.0,
        };
        tiles.push(Tile::bare(painted([height, width], |i| shade(part(map[i]), colours))?));
    }
    let title = if shown < channels { format!("{title}, {shown} of {channels}") } else { title.to_string() };
    sheet(&title, &tiles, square(shown), MAP)
}

/// Draws the images that are misclassified among `predictions`, the most confident first: each with its true class, its
/// predicted class, the probability of that, and the name of its file.
///
/// The title has the number of all mistakes, of which the first 120 are shown. A name in a script that no font has is
/// shown as its class's number; classes without names are numbers too. An image without a file, or whose file's name no
/// font has, is shown by its index. [`Error::Config`] if an image is not in `images`, or its predicted class is none.
/// Other errors are those of reading the images.
pub fn misclassified(images: &dyn Dataset, predictions: &[Prediction], names: &[String]) -> Result<Picture> {
    misclassified_by(images, predictions, names, Fonts::system())
}

/// Writes the mistakes among `predictions` into the folder `dir`: [`misclassified`] as mistakes.png, and all of them in
/// the same order as mistakes.csv. Without a mistake both say so. Errors are those of [`misclassified`], and
/// [`Error::Io`], which names the file that can't be written.
pub fn write_mistakes(dir: &Path, images: &dyn Dataset, predictions: &[Prediction], names: &[String]) -> Result<()> {
    misclassified(images, predictions, names)?.save(&dir.join("mistakes.png"))?;
    write_csv(&dir.join("mistakes.csv"), &mistakes(predictions), images, names)
}

fn misclassified_by(
    images: &dyn Dataset,
    predictions: &[Prediction],
    names: &[String],
    fonts: &Fonts,
) -> Result<Picture> {
    let (wrong, classes) = (mistakes(predictions), images.classes().max(names.len()));
    let inside = |of: &&Prediction| of.image < images.len() && of.truth.max(of.predicted) < classes;
    if let Some(Prediction { image, predicted, .. }) = wrong.iter().find(|wrong| !inside(wrong)) {
        let count = images.len();
        let message =
            format!("image {image} taken for class {predicted}: the set has {count} images and {classes} classes");
        return Err(Error::config("misclassified", message));
    }
    let labels = labels(names, LABEL, fonts);
    let name = |class: usize| labels.get(class).cloned().unwrap_or_else(|| class.to_string());
    let ImageSize { height, width, channels } = images.image_size();
    let shown = &wrong[..wrong.len().min(SHOWN)];
    let mut tiles = Vec::new();
    for wrong in shown {
        let (bytes, _) = images.get(wrong.image)?;
        let picture = painted([height, width], |i| match bytes.get(i * channels..(i + 1) * channels) {
            Some([r, g, b]) => [*r, *g, *b],
            Some([first, ..]) => [*first; 3],
            _ => NAN,
        })?;
        let file = images.path(wrong.image).and_then(Path::file_name).map(printable);
        let file = file.filter(|file| fonts.write(file)).unwrap_or_else(|| format!("image {}", wrong.image));
        let share = format!("{:.1}%", wrong.probability * 100.0);
        let caption = vec![
            (name(wrong.truth), RIGHT),
            (format!("> {}", name(wrong.predicted)), WRONG),
            (format!("{share} {}", shortened(&file, LABEL + 2)), INK),
        ];
        tiles.push(Tile { picture, caption });
    }
    let all = predictions.len();
    let title = match (tiles.len(), wrong.len()) {
        (0, _) => "no misclassified image".to_string(),
        (shown, wrong) if shown < wrong => {
            format!("{wrong} of {all} images misclassified (true > predicted), the {shown} most confident")
        }
        (wrong, _) => format!("{wrong} of {all} images misclassified (true > predicted)"),
    };
    sheet_by(&title, &tiles, square(tiles.len()).max(4), PHOTO, fonts)
}

fn check(values: &[f32], shape: &[usize]) -> Result<()> {
    let expected = shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent));
    match expected.filter(|&expected| expected > 0) == Some(values.len()) {
        true => Ok(()),
        false => {
            let error =
                Error::config("sheet", format!("has {} values, which are not of shape {shape:?}", values.len()));
            Err(error.between(Quantity::Extents(shape.to_vec()), values.len()))
        }
    }
}

/// Number of columns that makes a sheet somewhat wider than tall.
pub(super) fn square(tiles: usize) -> usize {
    ((tiles as f64 * 1.5).sqrt().round() as usize).clamp(1, tiles.max(1))
}

fn shade(part: f32, colours: Colours) -> Rgb {
    match colours {
        _ if part.is_nan() => NAN,
        Colours::Gray => colour::gray(part),
        Colours::Viridis => colour::viridis(part),
    }
}

/// Creates a picture whose pixel `i`, counted by rows, has the colour that `colour` returns.
pub(super) fn painted([height, width]: [usize; 2], colour: impl Fn(usize) -> Rgb) -> Result<Picture> {
    let mut picture = Picture::new(width, height, PAPER)?;
    (0..width * height).for_each(|i| picture.set(i % width, i / width, colour(i)));
    Ok(picture)
}

/// Lays out tiles of one size below a title, with their longer side enlarged to about `side` pixels.
pub(super) fn sheet(title: &str, tiles: &[Tile], columns: usize, side: usize) -> Result<Picture> {
    sheet_by(title, tiles, columns, side, Fonts::system())
}

fn sheet_by(title: &str, tiles: &[Tile], columns: usize, side: usize, fonts: &Fonts) -> Result<Picture> {
    let (width, height) = tiles.first().map_or((0, 0), |tile| (tile.picture.width(), tile.picture.height()));
    let zoom = (side / width.max(height).max(1)).max(1);
    let lines = tiles.iter().map(|tile| tile.caption.len()).max().unwrap_or(0);
    let widest = tiles.iter().flat_map(|tile| &tile.caption).map(|(line, _)| text_width(line)).max().unwrap_or(0);
    let below = if lines > 0 { lines * LETTER[1] + GAP } else { 0 };
    let cell = [(width * zoom).max(widest) + GAP, height * zoom + below + GAP];
    let rows = tiles.len().div_ceil(columns);
    let top = MARGIN + LETTER[1] + MARGIN / 2;
    let across = (columns.min(tiles.len()) * cell[0]).max(text_width(title));
    let mut sheet = Picture::new(across + 2 * MARGIN - GAP.min(across), top + rows * cell[1] + MARGIN - GAP, PAPER)?;
    sheet.text([MARGIN, MARGIN], title, INK, fonts);
    for (i, tile) in tiles.iter().enumerate() {
        let [x, y] = [MARGIN + i % columns * cell[0], top + i / columns * cell[1]];
        sheet.paste([x, y], &tile.picture, zoom);
        for (line, (text, colour)) in tile.caption.iter().enumerate() {
            sheet.text([x, y + height * zoom + 2 + line * LETTER[1]], text, *colour, fonts);
        }
    }
    Ok(sheet)
}

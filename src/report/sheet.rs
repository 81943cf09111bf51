//! Sheets of pictures: a network's first filters, its feature maps, and its misclassified images.

use super::Picture;
use super::colour::{self, INK, NAN, PAPER, RIGHT, Rgb, WRONG};
use super::picture::{LETTER, shortened, text_width};
use crate::data::ImageSet;
use crate::error::{Error, Quantity, Result};
use crate::shape::ImageSize;

/// Pixels between two tiles, and around the sheet.
const GAP: usize = 6;
const MARGIN: usize = 14;
/// Approximate length of a tile's longer side in pixels, after enlargement by a whole factor.
const FILTER: usize = 48;
const MAP: usize = 84;
const PHOTO: usize = 112;
/// Largest number of tiles of a sheet. Its title gives the full number.
const MOST: usize = 256;

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

/// A misclassified image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Index of the image in the set.
    pub image: usize,
    /// The predicted class.
    pub predicted: usize,
}

/// A tile with the lines below it.
struct Tile {
    picture: Picture,
    caption: Vec<(String, Rgb)>,
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

/// Draws misclassified images, each with its true class and its predicted class.
///
/// [`Error::Config`] if an image is not in the set, or its predicted class is none of the set's.
pub fn misclassified(images: &ImageSet, wrong: &[Wrong]) -> Result<Picture> {
    let name = |class: usize| images.class_names.get(class).cloned().unwrap_or_else(|| class.to_string());
    let shown = &wrong[..wrong.len().min(MOST)];
    let inside = |wrong: &&Wrong| wrong.image < images.len() && wrong.predicted < images.classes;
    if let Some(Wrong { image, predicted }) = shown.iter().find(|wrong| !inside(wrong)) {
        let (count, classes) = (images.len(), images.classes);
        let message =
            format!("image {image} taken for class {predicted}: the set has {count} images and {classes} classes");
        return Err(Error::config("misclassified", message));
    }
    let names = |wrong: &Wrong| [name(images.labels[wrong.image] as usize), name(wrong.predicted)];
    // One line if every caption is narrower than a tile, else two.
    let side = images.height.max(images.width);
    let letters = images.width * (PHOTO / side).max(1) / LETTER[0];
    let short = |wrong: &Wrong| names(wrong).concat().chars().count() + 3 <= letters;
    let one_line = shown.iter().all(short);
    let mut tiles = Vec::new();
    for wrong in shown {
        let bytes = images.image(wrong.image);
        let channels = images.channels;
        let picture = painted([images.height, images.width], |i| match &bytes[i * channels..(i + 1) * channels] {
            [r, g, b] => [*r, *g, *b],
            others => [others[0]; 3],
        })?;
        let [truth, taken] = names(wrong);
        let letters = letters.max(PHOTO / LETTER[0]);
        let caption = match one_line {
            true => vec![(format!("{truth} > {taken}"), INK)],
            false => vec![(shortened(&truth, letters), RIGHT), (shortened(&format!("> {taken}"), letters), WRONG)],
        };
        tiles.push(Tile { picture, caption });
    }
    let count = match (tiles.len(), wrong.len()) {
        (0, _) => "no misclassified image".to_string(),
        (shown, all) if shown < all => format!("misclassified (true > predicted), {shown} of {all}"),
        (1, _) => "1 misclassified image (true > predicted)".to_string(),
        (all, _) => format!("{all} misclassified images (true > predicted)"),
    };
    sheet(&count, &tiles, square(tiles.len()).max(4), PHOTO)
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
fn square(tiles: usize) -> usize {
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
fn painted([height, width]: [usize; 2], colour: impl Fn(usize) -> Rgb) -> Result<Picture> {
    let mut picture = Picture::new(width, height, PAPER)?;
    (0..width * height).for_each(|i| picture.set(i % width, i / width, colour(i)));
    Ok(picture)
}

/// Lays out tiles of one size below a title, with their longer side enlarged to about `side` pixels.
fn sheet(title: &str, tiles: &[Tile], columns: usize, side: usize) -> Result<Picture> {
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
    sheet.text([MARGIN, MARGIN], title, INK);
    for (i, tile) in tiles.iter().enumerate() {
        let [x, y] = [MARGIN + i % columns * cell[0], top + i / columns * cell[1]];
        sheet.paste([x, y], &tile.picture, zoom);
        for (line, (text, colour)) in tile.caption.iter().enumerate() {
            sheet.text([x, y + height * zoom + 2 + line * LETTER[1]], text, *colour);
        }
    }
    Ok(sheet)
}

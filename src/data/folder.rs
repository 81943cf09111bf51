//! Images in folders, one folder for each class, as torchvision's `ImageFolder` has them.
//!
//! Either `DIR/train/CLASS/*` and `DIR/test/CLASS/*`, or `DIR/CLASS/*`, of which a part is held out for the test. Images are
//! .jpg, .jpeg or .png; other files, and names that start with a dot, are passed over. Classes are numbered in the order of
//! their sorted names, images follow one another in the order of their sorted names, whatever the system lists first.

use std::fs;
use std::path::{Path, PathBuf};

use image::imageops::FilterType;
use image::{DynamicImage, ImageReader};
use rayon::prelude::*;

use super::ImageSet;
use crate::error::{Error, Result};

/// How a folder of images is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FolderOptions {
    /// [height, width] that every image is brought to, its proportions not kept; without it all must have one size.
    pub resize: Option<[usize; 2]>,
    /// Leaves out files that can't be read as images, with a warning in the log, instead of giving up at the first.
    pub skip_bad: bool,
    /// The part that is held out for the test where there is no folder `train`.
    pub test_fraction: f64,
    /// Which images are held out.
    pub seed: u64,
}

impl Default for FolderOptions {
    /// Images as they are, all of them good, a fifth held out.
    fn default() -> Self {
        FolderOptions { resize: None, skip_bad: false, test_fraction: 0.2, seed: 1 }
    }
}

/// What has been read.
#[derive(Debug)]
pub struct Folder {
    /// The images to train on, with the classes' names.
    pub train: ImageSet,
    /// The images to test on, of the same classes.
    pub test: ImageSet,
    /// What was wrong with the files that were left out, each with its path.
    pub skipped: Vec<Error>,
}

/// The images of the folder `dir`: gray if all of them are, else red, green and blue; transparency is dropped.
///
/// Files are decoded on all cores. [`Error::Data`] names the folder that has no classes or no images, the file that is no
/// image, or the first whose size is not that of the others; [`Error::Io`] is what the system refuses.
pub fn read(dir: &Path, options: &FolderOptions) -> Result<Folder> {
    if let Some([height, width]) = options.resize
        && (height == 0 || width == 0)
    {
        return Err(Error::config("resize", format!("is {height}x{width}, both must be at least 1")));
    }
    let (train_dir, test_dir) = (dir.join("train"), dir.join("test"));
    if train_dir.is_dir() {
        if !test_dir.is_dir() {
            return Err(Error::data(dir, "has a folder train but no folder test beside it"));
        }
        let train = list(&train_dir)?;
        let mut test = list(&test_dir)?;
        for file in &mut test.files {
            let name = &test.names[file.class];
            file.class = train.names.iter().position(|other| other == name).ok_or_else(|| {
                Error::data(test_dir.join(name), format!("is a class that {} does not have", train_dir.display()))
            })?;
        }
        let count = train.files.len();
        let mut files = train.files;
        files.extend(test.files);
        let (set, skipped, kept) = decode(dir, &files, train.names, options)?;
        let split = kept.iter().filter(|&&i| i < count).count() as u32;
        let (train, test) =
            (set.subset(&Vec::from_iter(0..split)), set.subset(&Vec::from_iter(split..set.len() as u32)));
        for (set, dir) in [(&train, train_dir), (&test, test_dir)] {
            if set.is_empty() {
                return Err(Error::data(dir, "has no image that can be read"));
            }
        }
        return Ok(Folder { train, test, skipped });
    }
    let Listing { names, files } = list(dir)?;
    let (set, skipped, _) = decode(dir, &files, names, options)?;
    let (train, test) = set.split_validation(options.test_fraction, options.seed)?;
    Ok(Folder { train, test, skipped })
}

/// A file with its class.
struct File {
    path: PathBuf,
    class: usize,
}

/// The classes of a folder and their files.
struct Listing {
    names: Vec<String>,
    files: Vec<File>,
}

/// The entries of a folder whose names do not start with a dot, sorted by name.
fn entries(dir: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| Error::io(dir, error))? {
        let entry = entry.map_err(|error| Error::io(dir, error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            entries.push((name, entry.path()));
        }
    }
    entries.sort();
    Ok(entries)
}

/// The classes in `dir`, each with at least one file that should be an image.
fn list(dir: &Path) -> Result<Listing> {
    let (mut names, mut files) = (Vec::new(), Vec::new());
    for (name, folder) in entries(dir)?.into_iter().filter(|(_, path)| path.is_dir()) {
        let before = files.len();
        for (_, path) in entries(&folder)? {
            let kind = path.extension().map(|kind| kind.to_string_lossy().to_ascii_lowercase());
            if matches!(kind.as_deref(), Some("jpg" | "jpeg" | "png")) && path.is_file() {
                files.push(File { path, class: names.len() });
            }
        }
        if files.len() == before {
            return Err(Error::data(
                folder,
                "is a class without a .jpg, .jpeg or .png file; add some or remove the folder",
            ));
        }
        names.push(name);
    }
    if names.is_empty() {
        return Err(Error::data(
            dir,
            "has no folders; a folder for each class is expected, or train and test with them",
        ));
    }
    Ok(Listing { names, files })
}

/// A decoded image.
struct Pixels {
    bytes: Vec<u8>,
    /// [height, width].
    size: [usize; 2],
    channels: usize,
}

/// The set of all files, what was wrong with those left out, and which files are in the set.
fn decode(
    dir: &Path,
    files: &[File],
    names: Vec<String>,
    options: &FolderOptions,
) -> Result<(ImageSet, Vec<Error>, Vec<usize>)> {
    let decoded: Vec<Result<Pixels>> = files.par_iter().map(|file| open(&file.path, options.resize)).collect();
    let (mut good, mut kept, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    for (i, result) in decoded.into_iter().enumerate() {
        match result {
            Ok(pixels) => {
                good.push(pixels);
                kept.push(i);
            }
            Err(error) if options.skip_bad => {
                log::warn!("left out: {error}");
                skipped.push(error);
            }
            Err(error) => return Err(error),
        }
    }
    let Some(size) = good.first().map(|pixels| pixels.size) else {
        return Err(Error::data(dir, format!("has no image that can be read among {} files", files.len())));
    };
    if let Some(i) = good.iter().position(|pixels| pixels.size != size) {
        let show = |[height, width]: [usize; 2]| format!("{width} wide and {height} high");
        let (path, first) = (&files[kept[i]].path, files[kept[0]].path.display());
        let message =
            format!("is {}, but {first} is {}: set resize to bring all to one size", show(good[i].size), show(size));
        return Err(Error::data(path, message));
    }
    let channels = good.iter().map(|pixels| pixels.channels).max().unwrap_or(1);
    let mut images = Vec::with_capacity(good.len() * size[0] * size[1] * channels);
    for pixels in good {
        match pixels.channels == channels {
            true => images.extend_from_slice(&pixels.bytes),
            // Gray among colours.
            false => images.extend(pixels.bytes.iter().flat_map(|&byte| [byte; 3])),
        }
    }
    let labels = kept.iter().map(|&i| files[i].class as i32).collect();
    let set = ImageSet::new(images, labels, [size[0], size[1], channels], names.len())?.named(names)?;
    Ok((set, skipped, kept))
}

/// Decodes a file by its content, whatever its name says.
fn open(path: &Path, resize: Option<[usize; 2]>) -> Result<Pixels> {
    let system = |error| Error::io(path, error);
    let reader = ImageReader::open(path).map_err(system)?.with_guessed_format().map_err(system)?;
    let image = reader.decode().map_err(|error| Error::data(path, format!("is no image that can be read: {error}")))?;
    let gray = !image.color().has_color();
    let scaled = |image: DynamicImage| match resize {
        Some([height, width]) if [image.height() as usize, image.width() as usize] != [height, width] => {
            image.resize_exact(width as u32, height as u32, FilterType::Triangle)
        }
        _ => image,
    };
    // To eight bits a channel first, so that scaling works on what is kept.
    let image = scaled(if gray { image.into_luma8().into() } else { image.into_rgb8().into() });
    let size = [image.height() as usize, image.width() as usize];
    Ok(Pixels { bytes: image.into_bytes(), size, channels: if gray { 1 } else { 3 } })
}

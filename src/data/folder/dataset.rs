//! The images of a folder, each decoded on demand.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder, ImageReader};
use rayon::prelude::*;

use super::cache::{Cache, Content, key};
use super::listing::{File, Files};
use super::options::{FolderOptions, Resize};
use crate::data::{Dataset, ImageSet};
use crate::error::{Error, Result};
use crate::shape::ImageSize;

/// Number of files decoded at once when all are: enough for all cores, few enough for memory.
const AT_ONCE: usize = 512;

/// The images of a folder by class, decoded on demand, from the files or from a cache file. [`super::open`] creates it.
#[derive(Debug)]
pub struct FolderDataset {
    /// Path and label of each image.
    files: Vec<(PathBuf, i32)>,
    names: Vec<String>,
    format: Format,
    cache: Option<Cache>,
    kept: Kept,
}

/// The target format of every image.
#[derive(Clone, Copy, Debug)]
struct Format {
    resize: Option<Resize>,
    size: ImageSize,
}

impl FolderDataset {
    /// Opens the images of `files`. Returns them with the indices of their files and the errors of omitted files.
    pub(super) fn open(files: &Files, options: &FolderOptions) -> Result<(Self, Vec<usize>, Vec<Error>)> {
        let (format, kept, skipped, cache) = match &options.cache {
            Some(path) => {
                let (content, cache) = cached(path, files, options)?;
                let skipped = content.skipped.into_iter();
                let skipped = skipped.map(|(i, message)| Error::data(&files.files[i].path, message)).collect();
                (Format { resize: options.resize, size: content.size }, content.kept, skipped, Some(cache))
            }
            None => {
                let (format, kept, skipped) = inspect(files, options)?;
                (format, kept, skipped, None)
            }
        };
        let dataset = FolderDataset {
            files: kept.iter().map(|&i| (files.files[i].path.clone(), files.files[i].class as i32)).collect(),
            names: files.names.clone(),
            format,
            cache,
            kept: Kept::new(kept.len(), options.keep),
        };
        Ok((dataset, kept, skipped))
    }
}

impl Dataset for FolderDataset {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn image_size(&self) -> ImageSize {
        self.format.size
    }

    fn classes(&self) -> usize {
        self.names.len()
    }

    fn class_names(&self) -> &[String] {
        &self.names
    }

    fn get(&self, i: usize) -> Result<(Cow<'_, [u8]>, i32)> {
        let Some((path, label)) = self.files.get(i) else {
            return Err(Error::config("data set", format!("image {i} of a data set of {}", self.files.len())));
        };
        if let Some(bytes) = self.kept.get(i) {
            return Ok((Cow::Borrowed(bytes), *label));
        }
        let bytes = match self.cache.as_ref().and_then(|cache| cache.image(i)) {
            Some(bytes) => bytes,
            None => self.format.decode(path)?,
        };
        Ok((self.kept.keep(i, bytes), *label))
    }

    fn label(&self, i: usize) -> Result<i32> {
        let label = self.files.get(i).map(|(_, label)| *label);
        label.ok_or_else(|| Error::config("data set", format!("image {i} of a data set of {}", self.files.len())))
    }

    fn path(&self, i: usize) -> Option<&Path> {
        self.files.get(i).map(|(path, _)| path.as_path())
    }

    fn digest(&self, i: usize) -> Result<u32> {
        let Some((path, _)) = self.files.get(i) else { return Ok(crc32c::crc32c(&self.get(i)?.0)) };
        Ok(crc32c::crc32c(&std::fs::read(path).map_err(|error| Error::io(path, error))?))
    }
}

/// Images kept in memory, those first requested. Each epoch requests all in another order, so none is more worth
/// keeping than another.
#[derive(Debug)]
struct Kept {
    images: Vec<OnceLock<Vec<u8>>>,
    /// Number of bytes still available.
    room: AtomicU64,
}

impl Kept {
    fn new(count: usize, bytes: u64) -> Self {
        let count = if bytes > 0 { count } else { 0 };
        Kept { images: (0..count).map(|_| OnceLock::new()).collect(), room: AtomicU64::new(bytes) }
    }

    fn get(&self, i: usize) -> Option<&[u8]> {
        self.images.get(i)?.get().map(Vec::as_slice)
    }

    /// Keeps image `i` if there is room for it.
    fn keep(&self, i: usize, bytes: Vec<u8>) -> Cow<'_, [u8]> {
        let Some(slot) = self.images.get(i) else { return Cow::Owned(bytes) };
        let take = |room: u64| room.checked_sub(bytes.len() as u64);
        match self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Cow::Borrowed(slot.get_or_init(|| bytes)),
            Err(_) => Cow::Owned(bytes),
        }
    }
}

/// Decodes all images of `files` into memory. Returns them with the indices of their files and the errors of omitted
/// files.
pub(super) fn decode(files: &Files, options: &FolderOptions) -> Result<(ImageSet, Vec<usize>, Vec<Error>)> {
    let mut images = Vec::new();
    let (format, kept, skipped) = decode_all(files, options, &mut |image| {
        images.extend_from_slice(image);
        Ok(())
    })?;
    let labels = kept.iter().map(|&i| files.files[i].class as i32).collect();
    let set = ImageSet::new(images, labels, format.size, files.names.len())?;
    Ok((set.named(files.names.iter().cloned())?, kept, skipped))
}

/// Opens the cache file at `path` of the decoded images of `files`, or creates it if it is not valid for them.
fn cached(path: &Path, files: &Files, options: &FolderOptions) -> Result<(Content, Cache)> {
    let key = key(files, options)?;
    match Cache::open(path, key) {
        Ok(found) => return Ok(found),
        Err(reason) => log::info!("images are decoded anew into {}: {reason}", path.display()),
    }
    Cache::write(path, key, |sink| {
        let (format, kept, skipped) = decode_all(files, options, sink)?;
        let place = |path: &Path| files.files.iter().position(|file| file.path == path);
        let skipped = skipped.into_iter().filter_map(|error| match error {
            Error::Data { path, message, .. } => Some((place(&path)?, message)),
            _ => None,
        });
        Ok(Content { size: format.size, kept, skipped: skipped.collect() })
    })?;
    Cache::open(path, key).map_err(|reason| Error::data(path, format!("was written and can't be read: {reason}")))
}

/// Passes the decoded images of all files to `sink`, in order. Returns the indices of their files and the errors of
/// omitted files.
fn decode_all(
    files: &Files,
    options: &FolderOptions,
    sink: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<(Format, Vec<usize>, Vec<Error>)> {
    let (format, candidates, mut skipped) = inspect(files, options)?;
    let mut kept = Vec::new();
    for some in candidates.chunks(AT_ONCE) {
        let decoded: Vec<Result<Vec<u8>>> = some.par_iter().map(|&i| format.decode(&files.files[i].path)).collect();
        for (&i, result) in some.iter().zip(decoded) {
            if let Some(image) = good(result, options, &mut skipped)? {
                sink(&image)?;
                kept.push(i);
            }
        }
    }
    match kept.is_empty() {
        true => Err(none(files)),
        false => Ok((format, kept, skipped)),
    }
}

/// Inspects the files' headers. Returns the common format, the indices of the files readable so far, and the errors of
/// the others.
fn inspect(files: &Files, options: &FolderOptions) -> Result<(Format, Vec<usize>, Vec<Error>)> {
    let look = |file: &File| Ok(Opened::new(&file.path)?.size());
    let seen: Vec<Result<ImageSize>> = files.files.par_iter().map(look).collect();
    let (mut kept, mut skipped, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
    for (i, result) in seen.into_iter().enumerate() {
        if let Some(found) = good(result, options, &mut skipped)? {
            kept.push(i);
            sizes.push(found);
        }
    }
    let Some(&ImageSize { height, width, .. }) = sizes.first() else { return Err(none(files)) };
    let Resize { height, width } = options.resize.unwrap_or(Resize { height, width });
    if options.resize.is_none()
        && let Some(other) = sizes.iter().position(|found| [found.height, found.width] != [height, width])
    {
        let show = |size: ImageSize| format!("{} wide and {} high", size.width, size.height);
        let first = files.files[kept[0]].path.display();
        let (found, expected) = (show(sizes[other]), show(sizes[0]));
        let message = format!("is {found}, but {first} is {expected}: set resize to bring all to one size");
        return Err(Error::data(&files.files[kept[other]].path, message).between(sizes[0], sizes[other]));
    }
    let channels = sizes.iter().map(|size| size.channels).max().unwrap_or(1);
    Ok((Format { resize: options.resize, size: ImageSize::new(height, width, channels) }, kept, skipped))
}

/// The result, or `None` if it is bad and bad files are omitted.
fn good<T>(result: Result<T>, options: &FolderOptions, skipped: &mut Vec<Error>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        // A system error is not the fault of one file.
        Err(error @ Error::Data { .. }) if options.skip_bad => {
            log::warn!("left out: {error}");
            skipped.push(error);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn none(files: &Files) -> Error {
    Error::data(&files.dir, format!("has no image that can be read among {} files", files.files.len()))
}

/// A file recognised by its content, whatever its name.
struct Opened<'a> {
    path: &'a Path,
    decoder: Box<dyn ImageDecoder + 'a>,
}

impl<'a> Opened<'a> {
    fn new(path: &'a Path) -> Result<Self> {
        let system = |error| Error::io(path, error);
        let reader = ImageReader::open(path).map_err(system)?.with_guessed_format().map_err(system)?;
        let decoder = reader.into_decoder().map_err(|error| unreadable(path, &error))?;
        Ok(Opened { path, decoder: Box::new(decoder) })
    }

    /// Size of the image, with 1 or 3 channels.
    fn size(&self) -> ImageSize {
        let (width, height) = self.decoder.dimensions();
        let channels = if self.decoder.color_type().has_color() { 3 } else { 1 };
        ImageSize::new(height as usize, width as usize, channels)
    }

    fn decode(self) -> Result<DynamicImage> {
        DynamicImage::from_decoder(self.decoder).map_err(|error| unreadable(self.path, &error))
    }
}

fn unreadable(path: &Path, error: &image::ImageError) -> Error {
    Error::data(path, format!("is no image that can be read: {error}"))
}

/// Reads the image at `path`, scaled and converted to bytes of this size, for a network trained on a folder's images.
///
/// [`Error::Io`] and [`Error::Data`] name a file that is missing or not an image. [`Error::Config`] if the channels are
/// not 1 or 3.
pub fn image_file(path: &Path, size: ImageSize) -> Result<Vec<u8>> {
    let ImageSize { height, width, channels } = size;
    let image = Opened::new(path)?.decode()?;
    let image: DynamicImage = match channels {
        1 => image.into_luma8().into(),
        3 => image.into_rgb8().into(),
        other => return Err(Error::config("channels", format!("of an image file can be 1 or 3, not {other}"))),
    };
    if [image.height() as usize, image.width() as usize] == [height, width] {
        return Ok(image.into_bytes());
    }
    Ok(image.resize_exact(width as u32, height as u32, FilterType::Triangle).into_bytes())
}

impl Format {
    /// Decodes the image at `path` to bytes [height, width, channels].
    fn decode(&self, path: &Path) -> Result<Vec<u8>> {
        let image = Opened::new(path)?.decode()?;
        let gray = !image.color().has_color();
        let scaled = |image: DynamicImage| match self.resize {
            Some(Resize { height, width }) if [image.height() as usize, image.width() as usize] != [height, width] => {
                image.resize_exact(width as u32, height as u32, FilterType::Triangle)
            }
            _ => image,
        };
        // Eight bits per channel first, so that scaling works on what is kept.
        let image = scaled(if gray { image.into_luma8().into() } else { image.into_rgb8().into() });
        let ImageSize { height, width, channels } = self.size;
        let size = [image.height() as usize, image.width() as usize];
        if size != [height, width] || (channels == 1 && !gray) {
            return Err(Error::data(path, "has changed since the folder was opened; open it again"));
        }
        Ok(match gray && channels == 3 {
            // A gray image among colour images.
            true => image.into_bytes().into_iter().flat_map(|byte| [byte; 3]).collect(),
            false => image.into_bytes(),
        })
    }
}

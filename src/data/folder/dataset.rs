//! The images of a folder, each decoded on demand.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::cache::{Cache, Content, key};
use super::listing::Files;
use super::options::FolderOptions;
use super::survey::{Format, Survey, look, none};
use crate::data::images::{ImageOptions, Resize, file_bytes};
use crate::data::{Cut, Dataset, ImageSet};
use crate::error::{Error, Result};
use crate::shape::ImageSize;

/// Bytes of decoded images on their way to a cache file.
const AT_ONCE: usize = 64 << 20;

/// The images of a folder by class, decoded on demand, from the files or from a cache file. [`super::open`] creates it.
///
/// Boxes for a random resized crop ([`Dataset::get_cut`]) are cut out of the photos, whose files are decoded each time: a
/// cache file holds scaled images and serves only what takes whole ones, such as evaluation.
#[derive(Debug)]
pub struct FolderDataset {
    files: Arc<[Entry]>,
    names: Vec<String>,
    format: Format,
    cache: Option<Cache>,
    kept: Kept,
}

/// The file of an image.
#[derive(Debug)]
struct Entry {
    path: PathBuf,
    label: i32,
    digest: u32,
}

impl FolderDataset {
    /// Opens the images of `files`. Returns them with the indices of their files and the errors of omitted files.
    pub(super) fn open(files: &Files, options: &FolderOptions) -> Result<(Self, Vec<usize>, Vec<Error>)> {
        options.images.check()?;
        let (format, survey, cache) = match &options.cache {
            Some(path) => {
                let (format, survey, cache) = cached(path, files, options)?;
                (format, survey, Some(cache))
            }
            None => {
                let (format, survey) = inspect(files, options)?;
                (format, survey, None)
            }
        };
        let Survey { kept, found, skipped } = survey;
        let entry = |(&i, digest): (&usize, u32)| {
            let file = &files.files[i];
            Entry { path: file.path.clone(), label: file.class as i32, digest }
        };
        let dataset = FolderDataset {
            files: kept.iter().zip(found).map(entry).collect(),
            names: files.names.clone(),
            format,
            cache,
            kept: Kept::new(kept.len(), options.keep),
        };
        Ok((dataset, kept, skipped.into_iter().map(|(_, error)| error).collect()))
    }
}

impl FolderDataset {
    /// The same images brought to another size, always decoded from the files.
    pub(super) fn resized(&self, resize: Resize) -> Self {
        let [height, width] = resize.extents();
        let options = ImageOptions { resize: Some(resize), ..self.format.options };
        let format = Format { options, size: ImageSize::new(height, width, options.channels), first: None };
        let (files, names) = (Arc::clone(&self.files), self.names.clone());
        FolderDataset { files, names, format, cache: None, kept: Kept::new(0, 0) }
    }

    fn entry(&self, i: usize) -> Result<&Entry> {
        let entry = self.files.get(i);
        entry.ok_or_else(|| Error::config("data set", format!("image {i} of a data set of {}", self.files.len())))
    }
}

/// Checks that the digest of a file is still that of the survey.
fn unchanged(path: &Path, [expected, found]: [u32; 2]) -> Result<()> {
    match expected == found {
        true => Ok(()),
        false => Err(Error::data(path, "has changed since the folder was opened; open it again")),
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
        let Entry { path, label, digest } = self.entry(i)?;
        if let Some(bytes) = self.kept.get(i) {
            return Ok((Cow::Borrowed(bytes), *label));
        }
        let bytes = match self.cache.as_ref().and_then(|cache| cache.image(i)) {
            Some(bytes) => bytes,
            None => {
                let (pixels, found) = self.format.read(path)?;
                unchanged(path, [*digest, found])?;
                pixels.into_bytes()
            }
        };
        Ok((self.kept.keep(i, bytes), *label))
    }

    fn get_cut(&self, i: usize, to: [usize; 2], cut: &Cut<'_>) -> Result<Option<(Vec<u8>, i32)>> {
        let Entry { path, label, digest } = self.entry(i)?;
        let (pixels, found) = self.format.read_cut(path, to, cut)?;
        unchanged(path, [*digest, found])?;
        Ok(Some((pixels.into_bytes(), *label)))
    }

    fn label(&self, i: usize) -> Result<i32> {
        self.entry(i).map(|file| file.label)
    }

    fn path(&self, i: usize) -> Option<&Path> {
        self.files.get(i).map(|file| file.path.as_path())
    }

    fn file_digest(&self, i: usize) -> Option<u32> {
        self.files.get(i).map(|file| file.digest)
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

/// Decodes all images of `files` into memory, each to its place. Returns them with the indices of their files and the
/// errors of omitted files.
pub(super) fn read_all(files: &Files, options: &FolderOptions) -> Result<(ImageSet, Vec<usize>, Vec<Error>)> {
    options.images.check()?;
    let format = Format::of(files, options)?;
    let mut images = room(&format, files.files.len())?;
    let Survey { kept, found, skipped } = format.read_all(files, options, &mut images)?;
    if kept.is_empty() {
        return Err(none(files));
    }
    images.truncate(kept.len() * format.size.values());
    let labels = kept.iter().map(|&i| files.files[i].class as i32).collect();
    let mut set = ImageSet::new(images, labels, format.size, files.names.len())?;
    set.digests = found;
    let skipped = skipped.into_iter().map(|(_, error)| error).collect();
    Ok((set.named(files.names.iter().cloned())?, kept, skipped))
}

/// Room for `count` images. [`Error::Limit`] if there is none.
fn room(format: &Format, count: usize) -> Result<Vec<u8>> {
    let bytes = format.size.checked_values().and_then(|bytes| bytes.checked_mul(count));
    let taken = bytes.filter(|&bytes| Vec::<u8>::new().try_reserve_exact(bytes).is_ok());
    taken.map(|bytes| vec![0; bytes]).ok_or_else(|| {
        let what = format!("{count} images of {}", format.size);
        let needed = format!("{} bytes", format.size.values() as u128 * count as u128);
        Error::limit(
            what,
            needed,
            "less memory than that",
            "smaller images need less, and images decoded on demand none",
        )
    })
}

/// Looks at the files without decoding them, or at all of each if bad ones are to be omitted.
fn inspect(files: &Files, options: &FolderOptions) -> Result<(Format, Survey<u32>)> {
    let survey = Survey::of(files, options, |path| look(path, &options.images, options.skip_bad))?;
    let (Some(&first), Some(seen)) = (survey.kept.first(), survey.found.first()) else { return Err(none(files)) };
    let images = options.images;
    let [height, width] = images.resize.map_or([seen.size.height, seen.size.width], |resize| resize.extents());
    let first = images.resize.is_none().then(|| files.files[first].path.clone());
    let format = Format { options: images, size: ImageSize::new(height, width, images.channels), first };
    for (&i, seen) in survey.kept.iter().zip(&survey.found) {
        format.check(&files.files[i].path, seen.size)?;
    }
    let Survey { kept, found, skipped } = survey;
    Ok((format, Survey { kept, found: found.into_iter().map(|seen| seen.digest).collect(), skipped }))
}

/// Opens the cache file at `path` of the decoded images of `files`, or creates it if it is not valid for them.
fn cached(path: &Path, files: &Files, options: &FolderOptions) -> Result<(Format, Survey<u32>, Cache)> {
    let digest = |path: &Path| {
        let bytes = file_bytes(path, options.images.max_pixels)?;
        Ok((bytes.len() as u64, crc32c::crc32c(&bytes)))
    };
    let seen = Survey::of(files, options, digest)?;
    let mut digests = vec![None; files.files.len()];
    seen.kept.iter().zip(&seen.found).for_each(|(&i, &found)| digests[i] = Some(found));
    let key = key(&digests, options);
    let opened = match Cache::open(path, key, files.files.len(), &options.images) {
        Ok(opened) => {
            log::info!("images come decoded from {}; removing the file renews it", path.display());
            opened
        }
        Err(reason) => {
            log::info!("images are decoded anew into {}: {reason}", path.display());
            Cache::write(path, key, |sink| fill(files, options, sink))?;
            Cache::open(path, key, files.files.len(), &options.images)
                .map_err(|reason| Error::data(path, format!("was written and can't be read: {reason}")))?
        }
    };
    let (Content { size, kept, skipped }, cache) = opened;
    let error = |(i, message): (usize, String)| (i, Error::data(&files.files[i].path, message));
    let found = kept.iter().map(|&i| digests[i].map_or(0, |(_, digest)| digest)).collect();
    let survey = Survey { kept, found, skipped: skipped.into_iter().map(error).collect() };
    Ok((Format { options: options.images, size, first: None }, survey, cache))
}

/// Passes the decoded images of all files to `sink`, in order, and describes them.
fn fill(files: &Files, options: &FolderOptions, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<Content> {
    let format = Format::of(files, options)?;
    let bytes = format.size.values();
    let places = (AT_ONCE / bytes).clamp(1, files.files.len().max(1));
    let mut images = room(&format, places)?;
    let mut survey = Survey::new();
    for first in (0..files.files.len()).step_by(places) {
        let count = places.min(files.files.len() - first);
        let kept = format.read_some(files, first, options, &mut images[..count * bytes], &mut survey)?;
        images[..kept * bytes].chunks_exact(bytes).try_for_each(&mut *sink)?;
    }
    if survey.kept.is_empty() {
        return Err(none(files));
    }
    let reason = |(i, error)| match error {
        Error::Data { message, .. } => (i, message),
        Error::Io { source, .. } => (i, source.to_string()),
        other => (i, other.to_string()),
    };
    Ok(Content { size: format.size, kept: survey.kept, skipped: survey.skipped.into_iter().map(reason).collect() })
}

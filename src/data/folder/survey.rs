//! A look at all files of a folder: which can be read, the digest of each, and the size that they have in common.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::listing::Files;
use super::options::FolderOptions;
use crate::data::Cut;
use crate::data::images::{ImageOptions, Pixels, decode, file_bytes, inspect};
use crate::error::{Error, Result};
use crate::shape::ImageSize;

/// Number of files looked at before the first error ends it: enough for all cores.
const AT_ONCE: usize = 256;

/// The files that are used, with what was read of each, and the errors of those that are omitted.
pub(super) struct Survey<T> {
    /// Indices of the files.
    pub kept: Vec<usize>,
    /// What was read of each.
    pub found: Vec<T>,
    /// Index and error of each omitted file.
    pub skipped: Vec<(usize, Error)>,
}

impl<T: Send> Survey<T> {
    /// Looks at all `files` on all cores. Bad ones are omitted if the options say so, else the first is the error.
    pub fn of(files: &Files, options: &FolderOptions, look: impl Fn(&Path) -> Result<T> + Sync) -> Result<Self> {
        let mut survey = Survey { kept: Vec::new(), found: Vec::new(), skipped: Vec::new() };
        for (chunk, some) in files.files.chunks(AT_ONCE).enumerate() {
            let seen: Vec<Result<T>> = some.par_iter().map(|file| look(&file.path)).collect();
            for (i, result) in seen.into_iter().enumerate() {
                survey.add(chunk * AT_ONCE + i, result, options)?;
            }
        }
        Ok(survey)
    }

    /// An empty survey.
    pub fn new() -> Self {
        Survey { kept: Vec::new(), found: Vec::new(), skipped: Vec::new() }
    }

    /// Adds file `i`, or omits it. An error that is not the fault of one file is returned.
    pub fn add(&mut self, i: usize, result: Result<T>, options: &FolderOptions) -> Result<bool> {
        match result {
            Ok(found) => {
                self.kept.push(i);
                self.found.push(found);
                Ok(true)
            }
            // A size that differs from the others' compares two values.
            Err(error @ (Error::Data { mismatch: None, .. } | Error::Io { .. })) if options.skip_bad => {
                log::warn!("left out: {error}");
                self.skipped.push((i, error));
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// What a look at a file finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub digest: u32,
    pub size: ImageSize,
}

/// Looks at the file at `path`: at its header, or at all of it if `whole`.
pub(super) fn look(path: &Path, options: &ImageOptions, whole: bool) -> Result<Seen> {
    let bytes = file_bytes(path, options.max_pixels)?;
    let size = match whole {
        true => decode(path, &bytes, options.max_pixels)?.size(),
        false => inspect(path, &bytes, options.max_pixels)?,
    };
    Ok(Seen { digest: crc32c::crc32c(&bytes), size })
}

/// The format that every image of a folder has.
#[derive(Clone, Debug)]
pub(super) struct Format {
    pub options: ImageOptions,
    /// Size after scaling.
    pub size: ImageSize,
    /// The file whose size is everyone's, without a resize.
    pub first: Option<PathBuf>,
}

impl Format {
    /// The format by `options`; without a resize that of the first file that can be read.
    pub fn of(files: &Files, options: &FolderOptions) -> Result<Self> {
        let images = options.images;
        let made = |[height, width]: [usize; 2], first| Format {
            options: images,
            size: ImageSize::new(height, width, images.channels),
            first,
        };
        if let Some(resize) = images.resize {
            return Ok(made(resize.extents(), None));
        }
        for file in &files.files {
            match look(&file.path, &images, options.skip_bad) {
                Ok(Seen { size, .. }) => return Ok(made([size.height, size.width], Some(file.path.clone()))),
                Err(Error::Data { .. } | Error::Io { .. }) if options.skip_bad => {}
                Err(error) => return Err(error),
            }
        }
        Err(none(files))
    }

    /// Checks the size of the image at `path`, before scaling, against that of all.
    pub fn check(&self, path: &Path, found: ImageSize) -> Result<()> {
        let Some(first) = &self.first else { return Ok(()) };
        if [found.height, found.width] == [self.size.height, self.size.width] {
            return Ok(());
        }
        let show = |size: ImageSize| format!("{} wide and {} high", size.width, size.height);
        let (found_text, expected) = (show(found), show(self.size));
        let first = first.display();
        let message = format!("is {found_text}, but {first} is {expected}: set resize to bring all to one size");
        Err(Error::data(path, message).between(self.size, found))
    }

    /// Reads the image at `path` in this format, with the digest of its file.
    pub fn read(&self, path: &Path) -> Result<(Pixels, u32)> {
        let bytes = file_bytes(path, self.options.max_pixels)?;
        Ok((self.options.read(path, &bytes)?, crc32c::crc32c(&bytes)))
    }

    /// Reads a box of the image at `path`, brought to the height and width of `to`, with the digest of its file.
    pub fn read_cut(&self, path: &Path, to: [usize; 2], cut: &Cut<'_>) -> Result<(Pixels, u32)> {
        let bytes = file_bytes(path, self.options.max_pixels)?;
        Ok((self.options.read_cut(path, &bytes, to, cut)?, crc32c::crc32c(&bytes)))
    }

    /// Reads all `files` into `images`, one after the other, and omits bad ones. `images` has a place for each of
    /// them; the first places are then those of the images that were kept, whose digests are what was found.
    pub fn read_all(&self, files: &Files, options: &FolderOptions, images: &mut [u8]) -> Result<Survey<u32>> {
        let mut survey = Survey::new();
        self.read_some(files, 0, options, images, &mut survey)?;
        Ok(survey)
    }

    /// Reads the files from `first` on, one for each place in `images`, into the first places. Returns how many were
    /// kept.
    pub fn read_some(
        &self,
        files: &Files,
        first: usize,
        options: &FolderOptions,
        images: &mut [u8],
        survey: &mut Survey<u32>,
    ) -> Result<usize> {
        let bytes = self.size.values();
        let mut kept = 0;
        for begin in (0..images.len() / bytes).step_by(AT_ONCE) {
            let end = (begin + AT_ONCE).min(images.len() / bytes);
            let some = &files.files[first + begin..first + end];
            let read = images[begin * bytes..end * bytes].par_chunks_mut(bytes).zip(some).map(|(place, file)| {
                let (pixels, digest) = self.read(&file.path)?;
                self.check(&file.path, pixels.size())?;
                place.copy_from_slice(pixels.bytes());
                Ok(digest)
            });
            let read: Vec<Result<u32>> = read.collect();
            for (i, result) in (begin..).zip(read) {
                if survey.add(first + i, result, options)? {
                    images.copy_within(i * bytes..(i + 1) * bytes, kept * bytes);
                    kept += 1;
                }
            }
        }
        Ok(kept)
    }
}

pub(super) fn none(files: &Files) -> Error {
    Error::data(&files.dir, format!("has no image that can be read among {} files", files.files.len()))
}

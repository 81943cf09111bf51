//! A cache file of decoded images, so that a folder of images is decoded once and not in every run.
//!
//! After a word that marks the file the images are stored in sequence, all of one size, so that each is found by its
//! index. Then come, for each image, the index of its file and a checksum; the omitted files, each with its reason; and
//! a trailer of fixed length. All numbers are little-endian with 64 bits. Opening the file reads only the trailer and
//! the lists. No number of the file is trusted with memory: they are held against the folder that the file is for.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::options::FolderOptions;
use crate::data::images::ImageOptions;
use crate::error::{Error, Result};
use crate::rng::fnv1a;
use crate::shape::ImageSize;

/// Changes with the layout.
const MAGIC: &[u8; 8] = b"tgimage2";
/// Key, height, width, channels, images, omitted files, bytes of the lists, checksum of the lists and of these; magic.
const TRAILER: usize = 9 * 8;
/// Bytes before the images.
const FRONT: u64 = MAGIC.len() as u64;

/// An open cache file.
#[derive(Debug)]
pub(super) struct Cache {
    path: PathBuf,
    file: Mutex<File>,
    image_bytes: usize,
    checksums: Vec<u64>,
    damaged: AtomicBool,
}

/// Description of the images in a cache.
#[derive(Debug)]
pub(super) struct Content {
    /// Size of each image.
    pub size: ImageSize,
    /// Index of each image's file in the listing of the folder.
    pub kept: Vec<usize>,
    /// Indices of the omitted files, each with its reason.
    pub skipped: Vec<(usize, String)>,
}

/// Longest reason for which a file was omitted, in bytes.
const REASON: usize = 4096;

/// Key of a cache: a hash of the length and digest of each file, `None` for one that can't be read, and of the options
/// that affect decoding.
pub(super) fn key(files: &[Option<(u64, u32)>], options: &FolderOptions) -> u64 {
    let FolderOptions { images: ImageOptions { resize, channels, max_pixels }, skip_bad, .. } = options;
    let resize = resize.map(|resize| resize.to_string());
    fnv1a(format!("{resize:?} {channels} {max_pixels} {skip_bad} {files:?}").as_bytes())
}

/// Checks that a cache may be written at `path`: that there is nothing, or an older cache, complete or not.
fn replaceable(path: &Path) -> Result<()> {
    let read = |file: &mut File, bytes: &mut [u8; 8]| -> io::Result<usize> {
        let mut length = 0;
        while length < bytes.len() {
            match file.read(&mut bytes[length..])? {
                0 => break,
                more => length += more,
            }
        }
        Ok(length)
    };
    let marks = || -> io::Result<bool> {
        if !fs::metadata(path)?.is_file() {
            return Ok(false);
        }
        let (mut file, mut mark) = (File::open(path)?, [0; 8]);
        let length = read(&mut file, &mut mark)?;
        let at_the_front = MAGIC.starts_with(&mark[..length]) || mark[..7] == MAGIC[..7];
        if length == 8 && !at_the_front {
            file.seek(SeekFrom::End(-8))?;
            read(&mut file, &mut mark)?;
        }
        Ok(at_the_front || mark[..7] == MAGIC[..7])
    };
    match marks() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::data(path, "is no cache of decoded images and is not overwritten; name another file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io(path, error)),
    }
}

impl Cache {
    /// Opens the cache at `path` if it is complete and its key is `key`; otherwise returns the reason why it is
    /// unusable. It is for a folder of `files` files, read by these options.
    pub fn open(path: &Path, key: u64, files: usize, images: &ImageOptions) -> Result<(Content, Self), String> {
        let regular = fs::metadata(path).map_err(|error| error.to_string())?.is_file();
        if !regular {
            return Err("it is no file".into());
        }
        let mut file = File::open(path).map_err(|error| error.to_string())?;
        let length = file.metadata().map_err(|error| error.to_string())?.len();
        let mut part = |start: Option<u64>, bytes: usize| -> Result<Vec<u8>, String> {
            let start = start.ok_or("it is cut short")?;
            let mut content = vec![0; bytes];
            file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(&mut content)).map_err(|e| e.to_string())?;
            Ok(content)
        };
        let trailer = part(length.checked_sub(TRAILER as u64), TRAILER)?;
        let Some(numbers) = trailer.strip_suffix(MAGIC) else { return Err("it is no such file, or cut short".into()) };
        if part(Some(0), MAGIC.len())? != MAGIC {
            return Err("it is damaged".into());
        }
        let mut numbers = numbers.chunks_exact(8).map(number);
        let mut next = || numbers.next().unwrap_or(0);
        let (found, extents, images_in, skipped) = (next(), [next(), next(), next()], next(), next());
        let (lists, checksum) = (next(), next());
        if found != key {
            return Err("files or options have changed".into());
        }
        // Every file is in one of the lists, so that neither is longer than the folder explains.
        let most = files as u64 * (16 + REASON as u64);
        let size = size(extents, images).filter(|_| images_in.checked_add(skipped) == Some(files as u64));
        let size = size.filter(|_| lists <= most).ok_or("it is damaged")?;
        let end = length.checked_sub(TRAILER as u64 + lists);
        let bytes = (size.values() as u64).checked_mul(images_in).and_then(|bytes| bytes.checked_add(FRONT));
        if end.is_none() || bytes != end {
            return Err("it is cut short".into());
        }
        let lists = part(end, lists as usize)?;
        if fnv1a(&[&lists, &trailer[..TRAILER - 16]].concat()) != checksum {
            return Err("it is damaged".into());
        }
        let (content, checksums) =
            content(&lists, size, images_in as usize, skipped as usize, files).ok_or("it is damaged")?;
        let (file, damaged) = (Mutex::new(file), AtomicBool::new(false));
        let image_bytes = content.size.values();
        Ok((content, Cache { path: path.to_path_buf(), file, image_bytes, checksums, damaged }))
    }

    /// Writes the cache at `path`. `decode` passes on the images in order and then describes them. An existing file
    /// stays until the new one is complete.
    pub fn write(
        path: &Path,
        key: u64,
        decode: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<Content>,
    ) -> Result<()> {
        replaceable(path)?;
        let system = |error| Error::io(path, error);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(system)?;
        }
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = path.with_file_name(name);
        let write = || -> Result<()> {
            let mut file = BufWriter::new(File::create(&temporary).map_err(system)?);
            file.write_all(MAGIC).map_err(system)?;
            let mut checksums = Vec::new();
            let content = decode(&mut |image| {
                checksums.push(fnv1a(image));
                file.write_all(image).map_err(system)
            })?;
            let end = lists_and_trailer(key, &content, &checksums);
            let finish = |mut file: BufWriter<File>| -> io::Result<()> {
                file.write_all(&end)?;
                file.into_inner()?.sync_all()
            };
            finish(file).map_err(system)?;
            fs::rename(&temporary, path).map_err(system)
        };
        write().inspect_err(|_| {
            // The first error is the one that matters.
            let _ = fs::remove_file(&temporary);
        })
    }

    /// Reads image `i`; `None` if it is unreadable or damaged. The file is then removed, so that the next run rebuilds
    /// it.
    pub fn image(&self, i: usize) -> Option<Vec<u8>> {
        if self.damaged.load(Ordering::Relaxed) {
            return None;
        }
        let checksum = *self.checksums.get(i)?;
        let mut bytes = vec![0; self.image_bytes];
        let read = {
            // Nothing can panic while the lock is held.
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(FRONT + (i * self.image_bytes) as u64)).and_then(|_| file.read_exact(&mut bytes))
        };
        if read.is_ok() && fnv1a(&bytes) == checksum {
            return Some(bytes);
        }
        if !self.damaged.swap(true, Ordering::Relaxed) {
            log::warn!("{} is damaged and not used any more; the next run makes it anew", self.path.display());
            let _ = fs::remove_file(&self.path);
        }
        None
    }
}

fn lists_and_trailer(key: u64, content: &Content, checksums: &[u64]) -> Vec<u8> {
    let mut lists = Vec::new();
    for (&i, checksum) in content.kept.iter().zip(checksums) {
        lists.extend([i as u64, *checksum].map(u64::to_le_bytes).concat());
    }
    for (i, message) in &content.skipped {
        let cut = (0..=REASON.min(message.len())).rev().find(|&end| message.is_char_boundary(end)).unwrap_or(0);
        let message = &message[..cut];
        lists.extend([*i as u64, message.len() as u64].map(u64::to_le_bytes).concat());
        lists.extend(message.as_bytes());
    }
    let ImageSize { height, width, channels } = content.size;
    let [height, width, channels] = [height, width, channels].map(|extent| extent as u64);
    let counts = [content.kept.len() as u64, content.skipped.len() as u64, lists.len() as u64];
    let numbers = [&[key, height, width, channels][..], &counts].concat();
    let length = lists.len();
    lists.extend(numbers.into_iter().flat_map(u64::to_le_bytes));
    let checksum = fnv1a(&lists);
    debug_assert_eq!(lists.len() + 16, length + TRAILER);
    lists.extend(checksum.to_le_bytes());
    lists.extend(MAGIC);
    lists
}

/// The size of the images, if options with these settings can have led to it.
fn size(extents: [u64; 3], images: &ImageOptions) -> Option<ImageSize> {
    let [height, width, channels] = extents;
    let fits = match images.resize {
        Some(resize) => [height, width] == resize.extents().map(|extent| extent as u64),
        None => height.checked_mul(width).is_some_and(|pixels| (1..=images.max_pixels).contains(&pixels)),
    };
    let size = ImageSize::new(height as usize, width as usize, channels as usize);
    (fits && channels == images.channels as u64 && size.checked_values().is_some()).then_some(size)
}

/// Reads the lists of a cache of a folder of `files` files. `None` if they are not as written.
fn content(
    mut lists: &[u8],
    size: ImageSize,
    images: usize,
    skipped: usize,
    files: usize,
) -> Option<(Content, Vec<u64>)> {
    let (mut kept, mut checksums, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..images {
        kept.push(take(&mut lists) as usize);
        checksums.push(take(&mut lists));
    }
    for _ in 0..skipped {
        let (i, length) = (take(&mut lists) as usize, take(&mut lists) as usize);
        let (message, rest) = lists.split_at_checked(length)?;
        left_out.push((i, String::from_utf8_lossy(message).into_owned()));
        lists = rest;
    }
    let inside =
        kept.is_sorted_by(|a, b| a < b) && kept.iter().chain(left_out.iter().map(|(i, _)| i)).all(|&i| i < files);
    (inside && lists.is_empty()).then_some((Content { size, kept, skipped: left_out }, checksums))
}

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

/// Removes and returns the next number.
fn take(bytes: &mut &[u8]) -> u64 {
    let (first, rest) = bytes.split_at(bytes.len().min(8));
    *bytes = rest;
    number(first)
}

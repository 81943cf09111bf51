//! A cache file of decoded images, so that a folder of images is decoded once and not in every run.
//!
//! The images are stored in sequence, all of one size, so that each is found by its index. Then come, for each image,
//! the index of its file and a checksum; the omitted files, each with its reason; and a trailer of fixed length. All
//! numbers are little-endian with 64 bits. Opening the file reads only the trailer and the lists.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use super::listing::Files;
use super::options::{FolderOptions, Resize};
use crate::error::{Error, Result};
use crate::rng::fnv1a;
use crate::shape::ImageSize;

/// Changes with the layout.
const MAGIC: &[u8; 8] = b"tgimage1";
/// Key, height, width, channels, images, omitted files, bytes of the lists, checksum of the lists and of these; magic.
const TRAILER: usize = 9 * 8;

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

/// Key of a cache of `files`: a hash of the files' names, lengths and times, and of the options that affect decoding.
pub(super) fn key(files: &Files, options: &FolderOptions) -> Result<u64> {
    let resize = options.resize.map(|Resize { height, width }| [height, width]);
    let mut text = format!("{resize:?} {}", options.skip_bad);
    for file in &files.files {
        let metadata = fs::metadata(&file.path).map_err(|error| Error::io(&file.path, error))?;
        // A system without times still has lengths.
        let time = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let path = file.path.strip_prefix(&files.dir).unwrap_or(&file.path);
        text.push_str(&format!("\n{} {} {path:?}", metadata.len(), time.as_nanos()));
    }
    Ok(fnv1a(text.as_bytes()))
}

impl Cache {
    /// Opens the cache at `path` if it is complete and its key is `key`; otherwise returns the reason why it is
    /// unusable.
    pub fn open(path: &Path, key: u64) -> Result<(Content, Self), String> {
        let mut file = File::open(path).map_err(|error| error.to_string())?;
        let length = file.metadata().map_err(|error| error.to_string())?.len();
        let mut tail = |bytes: u64, from_end: u64| -> Result<Vec<u8>, String> {
            let mut content = vec![0; bytes as usize];
            let start = length.checked_sub(from_end).ok_or("it is cut short")?;
            file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(&mut content)).map_err(|e| e.to_string())?;
            Ok(content)
        };
        let trailer = tail(TRAILER as u64, TRAILER as u64)?;
        let Some(numbers) = trailer.strip_suffix(MAGIC) else { return Err("it is no such file, or cut short".into()) };
        let mut numbers = numbers.chunks_exact(8).map(number);
        let mut next = || numbers.next().unwrap_or(0);
        let (found, extents, images, skipped) = (next(), [next(), next(), next()], next(), next());
        let (lists, checksum) = (next(), next());
        if found != key {
            return Err("files or options have changed".into());
        }
        let images_end = length.checked_sub(TRAILER as u64 + lists);
        let bytes = extents.iter().try_fold(1_u64, |product, &extent| product.checked_mul(extent));
        if images_end.is_none() || bytes.and_then(|bytes| bytes.checked_mul(images)) != images_end {
            return Err("it is cut short".into());
        }
        let lists = tail(lists, TRAILER as u64 + lists)?;
        if fnv1a(&[&lists, &trailer[..TRAILER - 16]].concat()) != checksum {
            return Err("it is damaged".into());
        }
        // The checksum has shown that the lists are as written.
        let mut lists = lists.as_slice();
        let (mut kept, mut checksums) = (Vec::new(), Vec::new());
        for _ in 0..images {
            kept.push(take(&mut lists) as usize);
            checksums.push(take(&mut lists));
        }
        let mut left_out = Vec::new();
        for _ in 0..skipped {
            let (i, length) = (take(&mut lists) as usize, take(&mut lists) as usize);
            let (message, rest) = lists.split_at_checked(length).ok_or("it is damaged")?;
            left_out.push((i, String::from_utf8_lossy(message).into_owned()));
            lists = rest;
        }
        let [height, width, channels] = extents.map(|extent| extent as usize);
        let content = Content { size: ImageSize::new(height, width, channels), kept, skipped: left_out };
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
        let system = |error| Error::io(path, error);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(system)?;
        }
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = path.with_file_name(name);
        let write = || -> Result<()> {
            let mut file = BufWriter::new(File::create(&temporary).map_err(system)?);
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
            file.seek(SeekFrom::Start((i * self.image_bytes) as u64)).and_then(|_| file.read_exact(&mut bytes))
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

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

/// Removes and returns the next number.
fn take(bytes: &mut &[u8]) -> u64 {
    let (first, rest) = bytes.split_at(bytes.len().min(8));
    *bytes = rest;
    number(first)
}

//! Files in the user's cache folder, with results that a later run need not compute again. Nothing here is ever an
//! error: a missing, damaged or unwritable file costs time and a line in the log.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::Error;
use crate::files::write_whole;
use crate::rng::fnv1a;

/// Header of a pipeline file. A checksum of the rest follows.
const MAGIC: &[u8] = b"tilegrad pipelines 1\n";

/// The folder for files kept between runs: `TILEGRAD_CACHE_DIR` (none if it is empty), else `tilegrad` in the user's
/// cache folder, if there is one.
pub(crate) fn directory() -> Option<PathBuf> {
    choose(|name| std::env::var_os(name))
}

fn choose(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(named) = variable("TILEGRAD_CACHE_DIR") {
        return (!named.is_empty()).then(|| named.into());
    }
    // The XDG specification says to ignore paths that are not absolute.
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = if cfg!(target_os = "windows") {
        absolute("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        absolute("HOME").map(|home| home.join("Library/Caches"))
    } else {
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))
    };
    caches.map(|caches| caches.join("tilegrad"))
}

/// Writes a file atomically, and creates its parent folders.
pub(crate) fn write(path: &Path, content: &[u8]) {
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(|source| Error::io(path, source));
    let written = folder.and_then(|()| write_whole(path, content));
    if let Err(error) = written {
        log::warn!("{error}; the next run starts no faster");
    }
}

/// wgpu's pipeline cache, and the file that stores it.
pub(super) struct PipelineCache {
    pub cache: wgpu::PipelineCache,
    file: Option<PathBuf>,
    /// Checksum of the file's content.
    kept: Mutex<Option<u64>>,
}

impl PipelineCache {
    /// Opens a cache with the data of earlier runs in `folder`.
    pub fn open(device: &wgpu::Device, info: &wgpu::AdapterInfo, folder: Option<&Path>) -> Self {
        let file = folder.zip(wgpu::util::pipeline_cache_key(info)).map(|(folder, key)| folder.join(key));
        let content = file.as_deref().and_then(read);
        if let (Some(file), Some(content)) = (&file, content) {
            let kept = Mutex::new(Some(fnv1a(&content)));
            match create(device, Some(&content)) {
                Ok(cache) => return PipelineCache { cache, file: Some(file.clone()), kept },
                Err(error) => log::warn!("{}: is not used: {error}", file.display()),
            }
        }
        let create_empty = wgpu::PipelineCacheDescriptor { label: Some("tilegrad"), data: None, fallback: true };
        // SAFETY: no initial data is passed that could be invalid.
        let cache = unsafe { device.create_pipeline_cache(&create_empty) };
        PipelineCache { cache, file, kept: Mutex::new(None) }
    }

    /// Writes the driver's compiled data, unless the file already holds it.
    pub fn save(&self) {
        let (Some(file), Some(content)) = (&self.file, self.cache.get_data()) else { return };
        let checksum = fnv1a(&content);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if *kept == Some(checksum) {
            return;
        }
        write(file, &[MAGIC, &checksum.to_le_bytes(), &content].concat());
        // Recorded even if the write failed, because it would fail again.
        *kept = Some(checksum);
        log::debug!("{}: {} bytes of pipelines", file.display(), content.len());
    }
}

/// Reads the content of a file written by [`PipelineCache::save`].
fn read(file: &Path) -> Option<Vec<u8>> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            log::warn!("{}: cannot be read: {error}", file.display());
            return None;
        }
    };
    let content = content_of(&bytes);
    if content.is_none() {
        log::warn!("{}: is damaged or of another program, and is not used", file.display());
    }
    content.map(<[u8]>::to_vec)
}

/// The content after the checksum, if the checksum matches.
fn content_of(bytes: &[u8]) -> Option<&[u8]> {
    let (checksum, content) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<8>()?;
    (u64::from_le_bytes(*checksum) == fnv1a(content)).then_some(content)
}

fn create(device: &wgpu::Device, data: Option<&[u8]>) -> Result<wgpu::PipelineCache, wgpu::Error> {
    // For data of another device wgpu reports an error instead of an empty cache.
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let descriptor = wgpu::PipelineCacheDescriptor { label: Some("tilegrad"), data, fallback: true };
    // SAFETY: the checksum shows that this is what `get_data` returned. wgpu itself compares the device and driver.
    let cache = unsafe { device.create_pipeline_cache(&descriptor) };
    pollster::block_on(scope.pop()).map_or(Ok(cache), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_the_named_one_or_the_users() {
        let of = |variables: &[(&str, &str)]| {
            choose(|name| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| value.into()))
        };
        let root = std::env::temp_dir();
        let home = root.to_str().unwrap();
        assert_eq!(of(&[("TILEGRAD_CACHE_DIR", "somewhere"), ("HOME", home)]), Some("somewhere".into()));
        assert_eq!(of(&[("TILEGRAD_CACHE_DIR", ""), ("HOME", home), ("LOCALAPPDATA", home)]), None);
        assert_eq!(of(&[]), None);
        let users = of(&[("HOME", home), ("LOCALAPPDATA", home)]).unwrap();
        assert!(users.starts_with(&root) && users.ends_with("tilegrad"), "{}", users.display());
        if cfg!(target_os = "linux") {
            assert_eq!(of(&[("HOME", home)]), Some(root.join(".cache/tilegrad")));
            assert_eq!(of(&[("HOME", home), ("XDG_CACHE_HOME", "/x")]), Some("/x/tilegrad".into()));
            assert_eq!(of(&[("HOME", home), ("XDG_CACHE_HOME", "x")]), Some(root.join(".cache/tilegrad")));
        }
    }

    #[test]
    fn only_whole_files_have_content() {
        let file = |content: &[u8]| [MAGIC, &fnv1a(content).to_le_bytes(), content].concat();
        assert_eq!(content_of(&file(b"compiled")), Some(&b"compiled"[..]));
        let whole = file(b"compiled");
        for cut in 0..whole.len() {
            assert_eq!(content_of(&whole[..cut]), None, "{cut} bytes");
            let mut damaged = whole.clone();
            damaged[cut] ^= 4;
            assert_eq!(content_of(&damaged), None, "byte {cut}");
        }
    }
}

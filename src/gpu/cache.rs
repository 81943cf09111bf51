//! Files in the user's cache directory: where they are, how they are written, and by what they know a device and a shader.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::Device;
use crate::error::{Error, Result};

/// The version of wgpu that kernels are translated by, as Cargo.toml asks for it.
const WGPU: &str = "30";

/// Where this library's cache files are: the directory that `TILEGRAD_CACHE_DIR` names (none if it is empty), else
/// "tilegrad" in the user's cache directory.
pub(crate) fn directory() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(own) = std::env::var_os("TILEGRAD_CACHE_DIR") {
        return (!own.is_empty()).then(|| own.into());
    }
    let users = if cfg!(windows) {
        named("LOCALAPPDATA")
    } else if cfg!(target_vendor = "apple") {
        named("HOME").map(|home| home.join("Library/Caches"))
    } else {
        named("XDG_CACHE_HOME").or_else(|| named("HOME").map(|home| home.join(".cache")))
    };
    users.map(|directory| directory.join("tilegrad"))
}

/// Writes `content` to a temporary file beside `path`, flushes it and renames it, so that `path` is whole or untouched.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|source| {
        // The error that matters is the first one.
        let _ = std::fs::remove_file(&temporary);
        Error::io(path, source)
    })
}

/// What measurements on a device depend on beside the kernels: where one of these differs, they say nothing.
pub(super) fn identity(device: &Device) -> Vec<(&'static str, String)> {
    let info = device.info();
    vec![
        ("tilegrad", env!("CARGO_PKG_VERSION").into()),
        ("wgpu", WGPU.into()),
        ("backend", format!("{:?}", info.backend)),
        ("vendor", format!("{:#06x}", info.vendor)),
        ("device", format!("{:#06x}", info.device)),
        ("name", info.name.clone()),
        ("driver", format!("{} {}", info.driver, info.driver_info)),
        // Limits decide which candidates there are.
        ("limits", format!("{:?}", device.caps())),
    ]
}

/// The FNV-1a hash of a text, the same in every run and on every machine.
pub(super) fn hash(texts: impl IntoIterator<Item = impl AsRef<str>>) -> u64 {
    let bytes = texts.into_iter().flat_map(|text| text.as_ref().bytes().chain([0]).collect::<Vec<_>>());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_fnv() {
        // The published value for "a", then what the byte after it makes of it.
        let of_a = 0xaf63_dc4c_8601_ec8c_u64;
        assert_eq!(hash(["a"]), of_a.wrapping_mul(0x0100_0000_01b3));
        assert_ne!(hash(["ab", "c"]), hash(["a", "bc"]));
    }

    #[test]
    fn the_version_of_wgpu_is_that_of_cargo_toml() {
        let manifest = include_str!("../../Cargo.toml");
        assert!(manifest.contains(&format!("wgpu = {{ version = \"{WGPU}\"")));
    }
}

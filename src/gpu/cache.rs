//! Where the user's cache directory is.

use std::path::PathBuf;

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

//! Atomic file writes: a file is complete at every moment.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::error::{Error, Result};

/// Writes `content` to a temporary file beside `path`, flushes it and renames it; `path` is then complete or untouched.
///
/// Errors are [`Error::Io`].
pub fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    // Threads of one process may write the same file.
    name.push(format!(".{}.{:?}.tmp", std::process::id(), std::thread::current().id()));
    let temporary = path.with_file_name(name);
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|source| {
        // The first error is the one that matters.
        let _ = std::fs::remove_file(&temporary);
        Error::io(path, source)
    })
}

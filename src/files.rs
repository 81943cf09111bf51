//! Files that are whole at every moment.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::error::{Error, Result};

/// Writes `content` to a temporary file beside `path`, flushes it and renames it, so that `path` is whole or untouched.
///
/// [`Error::Io`] is what the system refuses.
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
        // The error that matters is the first one.
        let _ = std::fs::remove_file(&temporary);
        Error::io(path, source)
    })
}

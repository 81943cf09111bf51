//! Atomic file writes: a file is complete at every moment. The marks of a run's folder.

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

/// Name of the folder of checkpoints within a run's folder.
pub(crate) const CHECKPOINTS: &str = "checkpoints";
/// Name of the file that a run writes last.
pub(crate) const SUMMARY: &str = "summary.json";
/// Names of files that a run writes on its way.
const ON_THE_WAY: [&str; 3] = ["config.toml", "history.csv", "model.safetensors"];

/// True if `dir` is the folder of a training run, unfinished or finished.
pub(crate) fn is_run_folder(dir: &Path) -> bool {
    let marked = dir.join(CHECKPOINTS).is_dir() || dir.join(SUMMARY).is_file();
    marked && ON_THE_WAY.iter().any(|name| dir.join(name).is_file())
}

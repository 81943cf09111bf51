//! Atomic file writes: a file is complete at every moment. The marks of a run's folder.

use std::fs::File;
use std::io::{Read, Write};
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

/// Opens the regular file at `path`, or a link to one, and returns it with its length. Opening a FIFO would wait for a
/// writer, and a device never ends.
pub(crate) fn open_regular(path: &Path) -> Result<(File, u64)> {
    let system = |error| Error::io(path, error);
    let metadata = std::fs::metadata(path).map_err(system)?;
    if !metadata.is_file() {
        let kind = if metadata.is_dir() { "a folder" } else { "a FIFO, socket or device" };
        return Err(Error::data(path, format!("is {kind}, not a file")));
    }
    Ok((File::open(path).map_err(system)?, metadata.len()))
}

/// Most bytes of a text that people write.
const TEXT: u64 = 16 << 20;

/// Reads the text file at `path`, of at most 16 MiB.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    file.take(TEXT + 1).read_to_string(&mut text).map_err(|error| Error::io(path, error))?;
    match text.len() as u64 > TEXT {
        true => Err(Error::data(path, format!("has more than {TEXT} bytes; a text as it is expected has fewer"))),
        false => Ok(text),
    }
}

/// Most bytes to which the compressed file of this length may expand: 64 MiB, or 128 times its length. Images and
/// labels are compressed to a tenth at best; a file that is made to fill the memory, to a thousandth.
pub(crate) fn most_expanded(length: u64) -> u64 {
    length.saturating_mul(128).max(64 << 20)
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

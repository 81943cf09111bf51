//! Unpacking of published archives.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use flate2::read::GzDecoder;

use crate::error::{Error, Result};
use crate::files::write_whole;

/// Unpacks the files `names` of the folder `folder` in the .tar.gz archive at `path` to `dir/folder`, each atomically.
/// Other files are not unpacked.
///
/// [`Error::Data`] names the archive's fault or a missing file.
pub fn unpack(path: &Path, folder: &str, names: &[String], dir: &Path) -> Result<()> {
    let wrong = |error: io::Error| Error::data(path, format!("is no archive that can be unpacked: {error}"));
    let target = dir.join(folder);
    fs::create_dir_all(&target).map_err(|error| Error::io(&target, error))?;
    let mut missing: Vec<&String> = names.iter().collect();
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    let mut archive = tar::Archive::new(GzDecoder::new(io::BufReader::new(file)));
    for entry in archive.entries().map_err(wrong)? {
        let mut entry = entry.map_err(wrong)?;
        let name = entry.path().map_err(wrong)?.into_owned();
        let name = name.strip_prefix(".").unwrap_or(&name);
        // Only these names, so an archive cannot write elsewhere.
        let Some(at) = missing.iter().position(|wanted| *name == Path::new(folder).join(wanted)) else { continue };
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(wrong)?;
        write_whole(&target.join(missing.remove(at)), &content)?;
    }
    match missing.first() {
        None => Ok(()),
        Some(name) => Err(Error::data(path, format!("holds no {folder}/{name}"))),
    }
}

//! Unpacking what is published as one archive.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use flate2::read::GzDecoder;

use crate::error::{Error, Result};
use crate::files::write_whole;

/// Unpacks the files `names` of the folder `folder` in the archive at `path`, a .tar.gz, to `dir/folder`, each whole or not
/// at all; what else is in it stays there.
///
/// [`Error::Data`] says what is wrong with the archive or missing in it.
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
        // Only these names: an archive cannot write to other places.
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

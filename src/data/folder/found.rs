//! Image files at paths that a person names, in any folders.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::walk::{LeftOut, PassedOver, endings, images};
use crate::error::{Error, Result};

/// The image files at some paths, for prediction.
///
/// Of a folder they are the files that training takes from the folder of a class: with the ending of an image, at any
/// depth, hidden ones left out, links followed. A file that is named itself is taken whatever its ending. A file that is
/// reached in several ways is taken once.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ImageFiles {
    /// The files, in the order of the paths, and by name within a folder.
    pub files: Vec<PathBuf>,
    /// What the folders hold besides.
    pub passed: PassedOver,
    /// Errors of paths that are missing, of folders that can't be listed, and of folders without images.
    pub errors: Vec<Error>,
}

impl ImageFiles {
    /// Finds the image files at `paths`. A path with an error does not end the search.
    pub fn find(paths: &[impl AsRef<Path>]) -> Self {
        let mut found = ImageFiles::default();
        let mut seen = HashSet::new();
        for path in paths.iter().map(AsRef::as_ref) {
            match found.at(path) {
                // What can't be resolved is named when it is read.
                Ok(files) => found.files.extend(
                    files.into_iter().filter(|file| fs::canonicalize(file).map_or(true, |real| seen.insert(real))),
                ),
                Err(error) => found.errors.push(error),
            }
        }
        found
    }

    fn at(&mut self, path: &Path) -> Result<Vec<PathBuf>> {
        if !fs::metadata(path).map_err(|error| Error::io(path, error))?.is_dir() {
            return Ok(vec![path.to_path_buf()]);
        }
        let mut left = LeftOut::new(true);
        let files = images(path, &mut self.passed, &mut left)?;
        // A folder within that can't be listed does not end the search either.
        self.errors.extend(left.folders.into_values());
        match files {
            files if files.is_empty() => Err(Error::data(path, format!("holds no image ({})", endings()))),
            files => Ok(files),
        }
    }
}

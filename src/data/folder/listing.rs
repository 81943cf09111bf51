//! The files of a folder with their classes, and their division into training and test files.

use std::fs;
use std::path::{Path, PathBuf};

use super::options::FolderOptions;
use crate::data::split;
use crate::error::{Error, Result};

/// Files of a folder, as found from its layout.
pub(super) struct Files {
    /// The folder.
    pub dir: PathBuf,
    /// Names of the classes.
    pub names: Vec<String>,
    /// All files; the training files first, if the layout divides them.
    pub files: Vec<File>,
    /// Number of training files, if there are the folders train and test.
    training: Option<usize>,
}

impl Files {
    /// The folder of the training images.
    fn train_dir(&self) -> PathBuf {
        if self.training.is_some() { self.dir.join("train") } else { self.dir.clone() }
    }

    /// Divides the `kept` files into training and test images, given as positions in `kept`.
    pub fn divide(&self, kept: &[usize], options: &FolderOptions) -> Result<(Vec<u32>, Vec<u32>)> {
        let training = kept.iter().filter(|&&i| i < self.training.unwrap_or(self.files.len())).count();
        if self.training.is_some() {
            for (count, dir) in [(training, self.train_dir()), (kept.len() - training, self.dir.join("test"))] {
                if count == 0 {
                    return Err(Error::data(dir, "has no image that can be read"));
                }
            }
        }
        // A class without remaining images would be learnt as impossible.
        let has = |class: usize| kept[..training].iter().any(|&i| self.files[i].class == class);
        if let Some(class) = (0..self.names.len()).find(|&class| !has(class)) {
            let message = "is a class of which no image can be read; mend its files or remove the folder";
            return Err(Error::data(self.train_dir().join(&self.names[class]), message));
        }
        match self.training {
            Some(_) => Ok(((0..training as u32).collect(), (training as u32..kept.len() as u32).collect())),
            None => split(kept.len(), options.test_fraction, options.seed),
        }
    }
}

/// Lists the files of the folder `dir` with their classes.
pub(super) fn list(dir: &Path) -> Result<Files> {
    let (train_dir, test_dir) = (dir.join("train"), dir.join("test"));
    if !train_dir.is_dir() {
        let Listing { names, files } = classes(dir)?;
        at_least_two(dir, &names)?;
        return Ok(Files { dir: dir.to_path_buf(), names, files, training: None });
    }
    if !test_dir.is_dir() {
        return Err(Error::data(dir, "has a folder train but no folder test beside it"));
    }
    let Listing { names, mut files } = classes(&train_dir)?;
    at_least_two(&train_dir, &names)?;
    let training = files.len();
    let test = classes(&test_dir)?;
    for mut file in test.files {
        let name = &test.names[file.class];
        file.class = names.iter().position(|other| other == name).ok_or_else(|| {
            Error::data(test_dir.join(name), format!("is a class that {} does not have", train_dir.display()))
        })?;
        files.push(file);
    }
    Ok(Files { dir: dir.to_path_buf(), names, files, training: Some(training) })
}

/// Checks for at least two classes, since one class leaves nothing to classify.
fn at_least_two(dir: &Path, names: &[String]) -> Result<()> {
    let [name] = names else { return Ok(()) };
    let message = format!("has one class only, \"{name}\"; at least two are needed, a folder for each");
    Err(Error::data(dir, message))
}

/// True if `dir` has folders, which are classes or train and test.
pub(in crate::data) fn has_classes(dir: &Path) -> bool {
    entries(dir).is_ok_and(|entries| entries.iter().any(|(_, path)| path.is_dir()))
}

/// A file with its class.
pub(super) struct File {
    pub path: PathBuf,
    pub class: usize,
}

/// The classes of a folder and their files.
struct Listing {
    names: Vec<String>,
    files: Vec<File>,
}

/// Entries of a folder whose names do not start with a dot, sorted by name.
fn entries(dir: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| Error::io(dir, error))? {
        let entry = entry.map_err(|error| Error::io(dir, error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            entries.push((name, entry.path()));
        }
    }
    entries.sort();
    Ok(entries)
}

/// Lists the classes in `dir`, each with at least one file that should be an image.
fn classes(dir: &Path) -> Result<Listing> {
    let (mut names, mut files) = (Vec::new(), Vec::new());
    for (name, folder) in entries(dir)?.into_iter().filter(|(_, path)| path.is_dir()) {
        let before = files.len();
        for (_, path) in entries(&folder)? {
            let kind = path.extension().map(|kind| kind.to_string_lossy().to_ascii_lowercase());
            if matches!(kind.as_deref(), Some("jpg" | "jpeg" | "png")) && path.is_file() {
                files.push(File { path, class: names.len() });
            }
        }
        if files.len() == before {
            return Err(Error::data(
                folder,
                "is a class without a .jpg, .jpeg or .png file; add some or remove the folder",
            ));
        }
        names.push(name);
    }
    if names.is_empty() {
        return Err(Error::data(
            dir,
            "has no folders; a folder for each class is expected, or train and test with them",
        ));
    }
    Ok(Listing { names, files })
}

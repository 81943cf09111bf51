//! The files of a folder with their classes and parts.

use std::path::{Path, PathBuf};

use super::layout::{Layout, layout, part_not_too_high};
use super::names::{class_name, some_of};
use super::options::FolderOptions;
use super::walk::{Entry, LeftOut, PassedOver, endings, entries, images};
use crate::data::split::DataPart;
use crate::error::{Error, Result, printable};

/// A list of image files with their classes.
pub(in crate::data) struct Files {
    /// The folder.
    pub dir: PathBuf,
    /// Names of the classes.
    pub names: Vec<String>,
    /// All files: those to train on, to validate with and to test with, in this order.
    pub files: Vec<File>,
    /// True if the folder has images to validate with, and to test with.
    pub has: [bool; 2],
    /// What lies there besides.
    pub passed: PassedOver,
    /// Errors of folders that are left out.
    pub skipped: Vec<Error>,
}

/// A file with its class.
pub(in crate::data) struct File {
    pub path: PathBuf,
    pub class: usize,
    pub part: DataPart,
}

impl Files {
    /// Checks that the `kept` files, those that can be read, leave something in every part and of every class to train
    /// on.
    pub fn check(&self, kept: &[usize]) -> Result<()> {
        let parts = [(DataPart::Train, true), (DataPart::Validation, self.has[0]), (DataPart::Test, self.has[1])];
        for (part, _) in parts.into_iter().filter(|(_, has)| *has) {
            if !kept.iter().any(|&i| self.files[i].part == part) {
                let first = self.files.iter().find(|file| file.part == part);
                let place = first.and_then(|file| self.root(file)).unwrap_or(&self.dir);
                return Err(Error::data(place, "has no image that can be read"));
            }
        }
        // A class without remaining images would be learnt as impossible.
        let mut trained = vec![false; self.names.len()];
        let train = kept.iter().map(|&i| &self.files[i]).filter(|file| file.part == DataPart::Train);
        train.for_each(|file| trained[file.class] = true);
        match trained.iter().position(|trained| !trained) {
            None => Ok(()),
            Some(class) => {
                let of = self.files.iter().find(|file| file.class == class && file.part == DataPart::Train);
                let place = of.and_then(|file| self.class_dir(file)).unwrap_or(&self.dir);
                let message = format!(
                    "is the class \"{}\", of which no image can be read; mend its files or remove it",
                    printable(&self.names[class])
                );
                Err(Error::data(place, message))
            }
        }
    }

    /// The folder of the class that holds this file.
    fn class_dir<'a>(&self, file: &'a File) -> Option<&'a Path> {
        let names = self.names.get(file.class)?;
        file.path.ancestors().skip(1).find(|dir| dir.file_name().is_some_and(|name| class_name(name) == *names))
    }

    /// The folder that holds the folders of classes.
    fn root<'a>(&self, file: &'a File) -> Option<&'a Path> {
        self.class_dir(file)?.parent()
    }
}

/// Lists the files of the folder `dir` with their classes. Folders in it that can't be read are left out, if the
/// options say so.
pub(in crate::data) fn list(dir: &Path, options: &FolderOptions) -> Result<Files> {
    let (mut passed, mut left) = (PassedOver::default(), LeftOut::new(options.skip_bad));
    let parts = match layout(dir, &mut left)? {
        Layout::Classes => vec![(DataPart::Train, dir.to_path_buf())],
        Layout::Parts(parts) => {
            passed.beside(&entries(dir)?);
            if let Some((DataPart::Train, root)) = parts.first() {
                part_not_too_high(root, &mut left)?;
            }
            parts
        }
    };
    let has = [DataPart::Validation, DataPart::Test].map(|part| parts.iter().any(|(of, _)| *of == part));
    let mut names: Vec<String> = Vec::new();
    let mut files = Vec::new();
    for (part, root) in parts {
        let found = left.entries(&root)?;
        passed.beside(&found);
        for folder in &found.folders {
            let paths = class(folder, part, &mut passed, &mut left)?;
            if paths.is_empty() {
                continue;
            }
            let name = class_name(&folder.name);
            let class = match names.iter().position(|known| *known == name) {
                Some(class) => class,
                None if part == DataPart::Train => {
                    names.push(name);
                    names.len() - 1
                }
                None => {
                    let message =
                        format!("is a class of which there is nothing to train on; those are {}", some_of(&names));
                    return Err(Error::data(&folder.path, message));
                }
            };
            files.extend(paths.into_iter().map(|path| File { path, class, part }));
        }
        if part == DataPart::Train && !options.single_class {
            at_least_two(&root, &names)?;
        }
    }
    passed.unreadable = left.folders.keys().cloned().collect();
    let skipped: Vec<Error> = left.folders.into_values().collect();
    skipped.iter().for_each(|error| log::warn!("left out: {error}"));
    Ok(Files { dir: dir.to_path_buf(), names, files, has, passed, skipped })
}

/// The images of a class. A class to train on needs some, unless its folder holds only folders of runs or some that are
/// left out.
fn class(folder: &Entry, part: DataPart, passed: &mut PassedOver, left: &mut LeftOut) -> Result<Vec<PathBuf>> {
    let runs = passed.runs.len();
    let paths = images(&folder.path, passed, left)?;
    let explained = passed.runs.len() > runs || left.folders.keys().any(|dir| dir.starts_with(&folder.path));
    if paths.is_empty() && part == DataPart::Train && !explained {
        let message = format!("is a class without an image ({}); add some or remove the folder", endings());
        return Err(Error::data(&folder.path, message));
    }
    Ok(paths)
}

/// Checks for at least two classes, since one class leaves nothing to classify.
pub(in crate::data) fn at_least_two(dir: &Path, names: &[String]) -> Result<()> {
    match names {
        [] => Err(Error::data(
            dir,
            "has no folders of images; a folder for each class is expected, or train, val and test with them",
        )),
        [name] => {
            let name = printable(name);
            let message = format!("has one class only, \"{name}\"; at least two are needed, a folder for each");
            Err(Error::data(dir, message))
        }
        _ => Ok(()),
    }
}

//! Walks over the folders of a data set: the images in them, and what is passed over.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, FileType};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, printable};
use crate::files::is_run_folder;

/// Endings of image files, in any capitals.
pub(in crate::data) const ENDINGS: [&str; 13] =
    ["jpg", "jpeg", "jfif", "png", "bmp", "webp", "tif", "tiff", "gif", "ppm", "pgm", "pbm", "pnm"];

/// True if the name of the file at `path` ends as that of an image.
pub(in crate::data) fn is_image(path: &Path) -> bool {
    let ending = path.extension().and_then(OsStr::to_str);
    ending.is_some_and(|ending| ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(ending)))
}

/// The endings of images, for people.
pub(in crate::data) fn endings() -> String {
    ENDINGS.map(|ending| format!(".{ending}")).join(" ")
}

/// What a data set's folder holds besides its images. Prints as "12 .txt, 3 .heic, 1 without ending".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PassedOver {
    /// Number of files by their ending, in small letters with the dot; the empty text for files without one.
    pub endings: BTreeMap<String, usize>,
    /// Number of image files that lie in no class.
    pub outside: usize,
    /// Number of image files that lie beside those of a table, which does not list them.
    pub unlisted: usize,
    /// Number of lines of a table that name an image again.
    pub repeated: usize,
    /// Folders of training runs.
    pub runs: Vec<PathBuf>,
    /// Folders that can't be read, where bad files are left out.
    pub unreadable: Vec<PathBuf>,
}

impl PassedOver {
    /// True if nothing was passed over.
    pub fn is_empty(&self) -> bool {
        *self == PassedOver::default()
    }

    pub(in crate::data) fn file(&mut self, path: &Path) {
        let ending = path.extension().filter(|ending| !ending.is_empty());
        let ending = ending.map_or(String::new(), |ending| format!(".{}", ending.to_string_lossy().to_lowercase()));
        *self.endings.entry(ending).or_default() += 1;
    }

    /// Counts the files and folders that lie beside the classes.
    pub(super) fn beside(&mut self, entries: &Entries) {
        entries.others.iter().for_each(|path| self.file(path));
        self.outside += entries.images.len();
        self.runs.extend(entries.runs.iter().cloned());
    }
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut endings: Vec<(&String, &usize)> = self.endings.iter().collect();
        endings.sort_by_key(|(ending, count)| (ending.is_empty(), std::cmp::Reverse(**count)));
        let mut parts: Vec<String> = (endings.into_iter())
            .map(|(ending, count)| match ending.as_str() {
                "" => format!("{count} without ending"),
                ending => format!("{count} {}", printable(ending)),
            })
            .collect();
        if self.outside > 0 {
            parts.push(format!("{} images outside the classes", self.outside));
        }
        if self.unlisted > 0 {
            parts.push(format!("{} images that the table does not list", self.unlisted));
        }
        if self.repeated > 0 {
            parts.push(format!("{} lines that name an image again", self.repeated));
        }
        parts.extend(self.runs.iter().map(|run| format!("the run in {}", printable(run))));
        parts.extend(self.unreadable.iter().map(|dir| format!("{}, which can't be read", printable(dir))));
        f.write_str(&parts.join(", "))
    }
}

/// The folders that can't be read: each is an error, or is left out.
#[derive(Debug, Default)]
pub(in crate::data) struct LeftOut {
    skip_bad: bool,
    /// The errors by folder.
    pub folders: BTreeMap<PathBuf, Error>,
}

impl LeftOut {
    /// Leaves out what can't be read, if `skip_bad` says so.
    pub fn new(skip_bad: bool) -> Self {
        LeftOut { skip_bad, folders: BTreeMap::new() }
    }

    /// What was read of the folder `dir`; `None` if it can't be read and is left out.
    fn or_none<T>(&mut self, dir: &Path, read: Result<T>) -> Result<Option<T>> {
        match read {
            Err(error) if self.skip_bad => {
                self.folders.entry(dir.to_path_buf()).or_insert(error);
                Ok(None)
            }
            read => read.map(Some),
        }
    }

    /// Lists the folder `dir`, which is empty if it is left out.
    pub(super) fn entries(&mut self, dir: &Path) -> Result<Entries> {
        Ok(self.or_none(dir, entries(dir))?.unwrap_or_default())
    }
}

/// The entries of a folder whose names do not start with a dot, each list sorted by name.
#[derive(Default)]
pub(in crate::data) struct Entries {
    /// Folders, also by links.
    pub folders: Vec<Entry>,
    /// Files that should be images.
    pub images: Vec<Entry>,
    /// Other files.
    pub others: Vec<PathBuf>,
    /// Folders of training runs.
    pub runs: Vec<PathBuf>,
}

/// A file or folder.
#[derive(Clone)]
pub(in crate::data) struct Entry {
    pub name: OsString,
    pub path: PathBuf,
    /// True for a link.
    pub link: bool,
}

/// Lists the folder `dir`.
pub(in crate::data) fn entries(dir: &Path) -> Result<Entries> {
    let system = |error| Error::io(dir, error);
    let mut all: Vec<(Entry, FileType)> = Vec::new();
    for entry in fs::read_dir(dir).map_err(system)? {
        let entry = entry.map_err(system)?;
        let (name, kind) = (entry.file_name(), entry.file_type().map_err(system)?);
        // macOS writes the second into archives, with a hidden double of every file.
        if !name.as_encoded_bytes().starts_with(b".") && name != "__MACOSX" {
            all.push((Entry { name, path: entry.path(), link: kind.is_symlink() }, kind));
        }
    }
    all.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    let mut entries = Entries::default();
    for (entry, kind) in all {
        let followed =
            if entry.link { fs::metadata(&entry.path).map(|metadata| metadata.file_type()) } else { Ok(kind) };
        match followed {
            Ok(kind) if kind.is_dir() && is_run_folder(&entry.path) => entries.runs.push(entry.path),
            Ok(kind) if kind.is_dir() => entries.folders.push(entry),
            // A broken link, a FIFO or a device is an image that can't be read, and refused by its name.
            _ if is_image(&entry.path) => entries.images.push(entry),
            _ => entries.others.push(entry.path),
        }
    }
    Ok(entries)
}

/// Visits the folders below `root` and `root` itself, each real folder once. Links are followed after everything that is
/// not one, and never to a folder that holds the link.
fn each_folder(root: &Path, left: &mut LeftOut, visit: &mut dyn FnMut(Entries) -> bool) -> Result<()> {
    let real = |path: &Path| fs::canonicalize(path).map_err(|error| Error::io(path, error));
    let Some(top) = left.or_none(root, real(root))? else { return Ok(()) };
    let mut seen: HashSet<PathBuf> = HashSet::new();
    let mut folders = vec![(root.to_path_buf(), top.clone())];
    let mut links: VecDeque<(PathBuf, PathBuf)> = VecDeque::new();
    loop {
        let (path, place) = match folders.pop() {
            Some(folder) => folder,
            None => {
                let Some((link, holder)) = links.pop_front() else { return Ok(()) };
                let Some(target) = left.or_none(&link, real(&link))? else { continue };
                if holder.starts_with(&target) || top.starts_with(&target) {
                    continue;
                }
                (link, target)
            }
        };
        if !seen.insert(place.clone()) {
            continue;
        }
        let mut found = left.entries(&path)?;
        for folder in std::mem::take(&mut found.folders).into_iter().rev() {
            match folder.link {
                true => links.push_back((folder.path, place.clone())),
                false => folders.push((folder.path, place.join(&folder.name))),
            }
        }
        if !visit(found) {
            return Ok(());
        }
    }
}

/// True if there is an image in `dir` or in a folder below it.
pub(super) fn has_images(dir: &Path, left: &mut LeftOut) -> Result<bool> {
    let mut found = false;
    each_folder(dir, left, &mut |entries| {
        found |= !entries.images.is_empty();
        !found
    })?;
    Ok(found)
}

/// Images of a class: those in `dir` and in all folders below it, sorted by path, each real file once. `passed` counts
/// the rest.
pub(in crate::data) fn images(dir: &Path, passed: &mut PassedOver, left: &mut LeftOut) -> Result<Vec<PathBuf>> {
    let (mut images, mut links) = (Vec::new(), Vec::new());
    each_folder(dir, left, &mut |entries| {
        entries.others.iter().for_each(|path| passed.file(path));
        passed.runs.extend(entries.runs);
        for image in entries.images {
            if image.link { &mut links } else { &mut images }.push(image.path);
        }
        true
    })?;
    if !links.is_empty() {
        let mut seen: HashSet<PathBuf> = images.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
        // A broken link stays, as a file that can't be read.
        images.extend(links.into_iter().filter(|link| fs::canonicalize(link).map_or(true, |real| seen.insert(real))));
    }
    images.sort();
    Ok(images)
}

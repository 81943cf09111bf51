//! The layout of a folder: folders of classes, or folders of parts that hold them.

use std::path::{Path, PathBuf};

use super::names::some_of;
use super::walk::{Entry, LeftOut, entries, has_images};
use crate::data::split::DataPart;
use crate::error::{Error, Result, printable};

/// The reading of a folder.
pub(super) enum Layout {
    /// Its folders are classes.
    Classes,
    /// These folders hold the classes, those to train on first.
    Parts(Vec<(DataPart, PathBuf)>),
}

/// Names of the parts, in any capitals.
const NAMES: [(&str, DataPart); 8] = [
    ("train", DataPart::Train),
    ("training", DataPart::Train),
    ("val", DataPart::Validation),
    ("valid", DataPart::Validation),
    ("validation", DataPart::Validation),
    ("dev", DataPart::Validation),
    ("test", DataPart::Test),
    ("testing", DataPart::Test),
];

/// A folder that holds images.
struct Holder {
    entry: Entry,
    /// True if images lie in it directly.
    direct: bool,
    /// Names of its folders that hold images.
    inner: Vec<String>,
    part: Option<DataPart>,
}

impl Holder {
    /// True if it may be a part: it holds folders of images, and none itself.
    fn divides(&self) -> bool {
        self.part.is_some() && !self.direct && !self.inner.is_empty()
    }

    fn name(&self) -> String {
        printable(&self.entry.name)
    }
}

/// The folders in `dir` that hold images.
fn holders(dir: &Path, left: &mut LeftOut) -> Result<Vec<Holder>> {
    let mut holders = Vec::new();
    for entry in entries(dir)?.folders {
        let found = left.entries(&entry.path)?;
        let direct = !found.images.is_empty();
        let part = entry
            .name
            .to_str()
            .and_then(|name| NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, part)| *part));
        let mut inner = Vec::new();
        for folder in &found.folders {
            if has_images(&folder.path, left)? {
                inner.push(printable(&folder.name));
            }
        }
        if direct || !inner.is_empty() {
            holders.push(Holder { entry, direct, inner, part });
        }
    }
    Ok(holders)
}

/// Reads the layout of `dir`. [`Error::Data`] if it can be read in two ways, or is one folder too high.
pub(super) fn layout(dir: &Path, left: &mut LeftOut) -> Result<Layout> {
    let holders = holders(dir, left)?;
    let classes_beside = holders.iter().any(|holder| holder.direct && holder.part.is_none());
    let Some(divides) = holders.iter().find(|holder| holder.divides()) else {
        not_too_high(dir, &holders, left)?;
        return Ok(Layout::Classes);
    };
    if classes_beside {
        return Ok(Layout::Classes);
    }
    if let Some(other) = holders.iter().find(|holder| !holder.divides()) {
        return Err(both(dir, divides, other));
    }
    let mut parts: Vec<(DataPart, PathBuf)> = Vec::new();
    for holder in holders {
        let Some(part) = holder.part else { continue };
        if let Some((_, first)) = parts.iter().find(|(known, _)| *known == part) {
            let message = format!("is the same part of the data as {}; keep one of them", printable(first));
            return Err(Error::data(&holder.entry.path, message));
        }
        parts.push((part, holder.entry.path));
    }
    parts.sort();
    match parts.first() {
        Some((DataPart::Train, _)) => Ok(Layout::Parts(parts)),
        _ => {
            let names: Vec<String> = parts.iter().map(|(_, path)| name(path)).collect();
            let message = format!(
                "has {} but no folder train beside it; to take the folders in it for a data set of their own, name {}",
                names.join(" and "),
                parts.first().map_or_else(|| printable(dir), |(_, path)| printable(path))
            );
            Err(Error::data(dir, message))
        }
    }
}

fn name(path: &Path) -> String {
    printable(path.file_name().unwrap_or_default())
}

/// The error of a folder that is a part or a class, and of another that makes it doubtful.
fn both(dir: &Path, divides: &Holder, other: &Holder) -> Error {
    let (part, inner, beside) = (divides.name(), some_of(&divides.inner), other.name());
    let (is, way) = match (other.part, other.direct) {
        (Some(_), true) => (
            "holds images without classes",
            format!("sort the images of {beside} into folders of classes or move it away"),
        ),
        _ => ("is no part", format!("move {beside} away")),
    };
    let message = format!(
        "can be read in two ways: {part} as the part of that name, with the classes {inner}; or {part} as a class beside \
         {beside}, which {is}. For the first, {way}. For the second, rename {part} (to {part}_images, say)"
    );
    Error::data(dir, message)
}

/// Checks that the folders of `dir` are classes and not data sets, or one folder that holds the classes.
fn not_too_high(dir: &Path, classes: &[Holder], left: &mut LeftOut) -> Result<()> {
    match below(classes, left)? {
        Some((place, names)) => {
            let place = printable(place);
            let message = format!("is one folder too high: name {place}, which holds {}", some_of(&names));
            Err(Error::data(dir, message))
        }
        None => Ok(()),
    }
}

/// Checks the same of the part of the data at `root`.
pub(super) fn part_not_too_high(root: &Path, left: &mut LeftOut) -> Result<()> {
    match below(&holders(root, left)?, left)? {
        Some((place, names)) => {
            let (names, place, to) = (some_of(&names), printable(place), printable(root));
            let message = format!("is one folder too high: {names} lie in {place}; move them to {to}");
            Err(Error::data(root, message))
        }
        None => Ok(()),
    }
}

/// The folder below these that holds the classes, with their names, if these are none themselves.
fn below(classes: &[Holder], left: &mut LeftOut) -> Result<Option<(PathBuf, Vec<String>)>> {
    let mut inside = Vec::new();
    for class in classes.iter().filter(|class| !class.direct) {
        let parts = holders(&class.entry.path, left)?.iter().filter(|holder| holder.divides()).count();
        // A class may have a folder called train, hardly two such folders.
        if parts > 1 || (parts == 1 && classes.len() == 1) {
            inside.push(class);
        }
    }
    if let [class] = classes
        && !class.direct
    {
        inside = vec![class];
    }
    let Some(first) = inside.first() else { return Ok(None) };
    let mut place = first.entry.path.clone();
    let mut names = first.inner.clone();
    // A chain of single folders: the last of them is meant.
    while let [_] = names.as_slice() {
        let Ok([next]) = <[Holder; 1]>::try_from(holders(&place, left)?) else { break };
        if next.direct {
            // One class, which is said elsewhere.
            return Ok(None);
        }
        (place, names) = (next.entry.path, next.inner);
    }
    Ok(Some((place, names)))
}

/// True if `dir` has folders, which are classes or parts.
pub(in crate::data) fn has_classes(dir: &Path) -> bool {
    entries(dir).is_ok_and(|entries| !entries.folders.is_empty())
}

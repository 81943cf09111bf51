//! Tables of image files and their labels: the .csv file of a competition.
//!
//! A line has a file or its name without ending, a label, and perhaps the part of the data set. The first line may name
//! the columns.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File as SystemFile};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord};

use super::folder::{File, Files, FolderOptions, LeftOut, PassedOver, at_least_two, entries, images, is_image};
use super::split::DataPart;
use crate::error::{Error, Result, printable};
use crate::files::open_regular;

/// Names of columns, in small letters.
const PATHS: [&str; 16] = [
    "path",
    "image",
    "filename",
    "file",
    "id",
    "image_id",
    "image_path",
    "file_name",
    "filepath",
    "file_path",
    "img",
    "name",
    "image_name",
    "images",
    "imagename",
    "fname",
];
const LABELS: [&str; 8] = ["label", "class", "target", "labels", "category", "class_name", "classname", "y"];
const PARTS: [&str; 6] = ["split", "is_valid", "subset", "set", "part", "dataset"];

/// True if the file at `path` may be such a table.
pub(super) fn is_named(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv") || ending.eq_ignore_ascii_case("tsv"))
}

/// A line of the table.
struct Row {
    line: u64,
    image: String,
    label: String,
    part: DataPart,
}

/// Positions of the columns.
struct Columns {
    path: usize,
    label: usize,
    part: Option<(usize, String)>,
}

/// Lists the files of the table at `path`. [`Error::Data`] names the table and the line at fault.
pub(super) fn list(path: &Path, options: &FolderOptions) -> Result<Files> {
    let beside = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let dir = options.image_dir.clone().unwrap_or_else(|| beside.to_path_buf());
    let table = Table { path, places: Places { dir, skip_bad: options.skip_bad, index: None } };
    table.files(options)
}

/// Most bytes of a line. A quote that is never closed makes one line of the rest of a file.
const LINE: usize = 1 << 20;

/// A file of which `left` bytes may be read; more is an error.
struct Bounded {
    file: SystemFile,
    left: usize,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let message = format!("has more than {LINE} bytes; is there a quote that is not closed?");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let most = buffer.len().min(self.left);
        let read = self.file.read(&mut buffer[..most])?;
        self.left -= read;
        Ok(read)
    }
}

struct Table<'a> {
    path: &'a Path,
    places: Places,
}

impl Table<'_> {
    fn wrong(&self, line: u64, message: impl std::fmt::Display) -> Error {
        Error::data(self.path, format!("line {line}: {message}"))
    }

    fn files(mut self, options: &FolderOptions) -> Result<Files> {
        let rows = self.rows()?;
        let names = self.names(&rows)?;
        let classes: HashMap<&str, usize> = names.iter().enumerate().map(|(i, (key, _))| (key.as_str(), i)).collect();
        let mut seen: HashMap<PathBuf, (u64, usize)> = HashMap::new();
        let mut files = Vec::new();
        let mut passed = PassedOver::default();
        for row in &rows {
            let class = classes.get(key(&row.label).as_str()).copied().unwrap_or(0);
            let path = match self.places.find(&row.image)? {
                Ok(path) => path,
                // It is left out when it is opened.
                Err(_) if options.skip_bad => self.places.dir.join(&row.image),
                Err(message) => return Err(self.wrong(row.line, message)),
            };
            if let Some(&(line, other)) = seen.get(&path) {
                if other != class {
                    let (image, label, first) = (printable(&row.image), printable(&row.label), &names[other].1);
                    let message = format!("{image} is {label}, in line {line} it is {first}; an image has one label");
                    return Err(self.wrong(row.line, message));
                }
                passed.repeated += 1;
                continue;
            }
            seen.insert(path.clone(), (row.line, class));
            files.push(File { path, class, part: row.part });
        }
        self.beside(&seen, &mut passed);
        // The order of the lines decides nothing.
        files.sort_by(|a, b| (a.part, &a.path).cmp(&(b.part, &b.path)));
        let has = [DataPart::Validation, DataPart::Test].map(|part| files.iter().any(|file| file.part == part));
        let names: Vec<String> = names.into_iter().map(|(_, name)| name).collect();
        if !options.single_class {
            at_least_two(self.path, &names)?;
        }
        Ok(Files { dir: self.places.dir, names, files, has, passed, skipped: Vec::new() })
    }

    /// Counts what lies in the folders of the images and is not listed.
    fn beside(&self, listed: &HashMap<PathBuf, (u64, usize)>, passed: &mut PassedOver) {
        let folders: BTreeSet<&Path> = listed.keys().filter_map(|path| path.parent()).collect();
        let own = fs::canonicalize(self.path).ok();
        // A folder that can't be listed is nothing to count.
        for found in folders.into_iter().filter_map(|folder| entries(folder).ok()) {
            passed.unlisted += found.images.iter().filter(|image| !listed.contains_key(&image.path)).count();
            let others = found.others.iter().filter(|path| own.is_none() || fs::canonicalize(path).ok() != own);
            others.for_each(|path| passed.file(path));
        }
    }

    fn rows(&mut self) -> Result<Vec<Row>> {
        let delimiter = self.delimiter()?;
        let file = Bounded { file: open_regular(self.path)?.0, left: LINE };
        let mut reader = ReaderBuilder::new().has_headers(false).delimiter(delimiter).from_reader(file);
        let broken = |path: &Path, error: csv::Error| {
            let line = error.position().map_or(String::new(), |at| format!("line {}: ", at.line()));
            let message = match error.kind() {
                csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                    format!("has {len} fields, the lines before have {expected_len}; a field with a comma needs quotes")
                }
                csv::ErrorKind::Utf8 { .. } => "is no UTF-8; save the table as UTF-8".into(),
                _ => error.to_string(),
            };
            Error::data(path, format!("{line}{message}"))
        };
        let mut record = StringRecord::new();
        let mut next = |record: &mut StringRecord| {
            reader.get_mut().left = LINE;
            reader.read_record(record).map_err(|error| broken(self.path, error))
        };
        if !next(&mut record)? {
            return Err(Error::data(self.path, "is empty"));
        }
        let (columns, header) = self.columns(&record)?;
        let mut rows = Vec::new();
        let mut more = if header { next(&mut record)? } else { true };
        while more {
            let line = record.position().map_or(0, csv::Position::line);
            let field = |i: usize| record.get(i).unwrap_or_default().trim().to_string();
            let part = match &columns.part {
                None => DataPart::Train,
                Some((at, name)) => part(name, &field(*at)).ok_or_else(|| {
                    let message = format!(
                        "{name} is \"{}\"; known are train, val, test and, for is_valid, True and False",
                        printable(field(*at))
                    );
                    self.wrong(line, message)
                })?,
            };
            rows.push(Row { line, image: field(columns.path), label: field(columns.label), part });
            if let Some(Row { image, .. }) = rows.last()
                && image.is_empty()
            {
                return Err(self.wrong(line, "has no image"));
            }
            more = next(&mut record)?;
        }
        if rows.iter().all(|row| row.part != DataPart::Train) {
            return Err(Error::data(self.path, "lists no image to train on"));
        }
        Ok(rows)
    }

    /// The character between fields, by the first line.
    fn delimiter(&self) -> Result<u8> {
        let system = |error| Error::io(self.path, error);
        let mut line = Vec::new();
        // A table has short lines; a file that is no table must not be read as one.
        let file = BufReader::new(open_regular(self.path)?.0);
        file.take(1 << 16).read_until(b'\n', &mut line).map_err(system)?;
        Ok([b',', b'\t', b';'].into_iter().find(|delimiter| line.contains(delimiter)).unwrap_or(b','))
    }

    /// Finds the columns, and whether the first line names them.
    fn columns(&mut self, first: &StringRecord) -> Result<(Columns, bool)> {
        let fields: Vec<String> =
            first.iter().map(|field| field.trim().trim_start_matches('\u{feff}').to_lowercase()).collect();
        let find = |names: &[&str]| names.iter().find_map(|name| fields.iter().position(|field| field == name));
        let part = find(&PARTS).map(|at| (at, fields[at].clone()));
        let listed = || fields.iter().map(printable).collect::<Vec<_>>().join(", ");
        if fields.len() < 2 {
            let message = format!("has one column only, \"{}\"; a column of images and one of labels", listed());
            return Err(self.wrong(1, message));
        }
        match (find(&PATHS), find(&LABELS)) {
            (Some(path), Some(label)) => return Ok((Columns { path, label, part }, true)),
            (Some(path), None) => {
                let others: Vec<usize> =
                    (0..fields.len()).filter(|i| *i != path && part.as_ref().is_none_or(|(at, _)| at != i)).collect();
                if let [label] = others[..] {
                    return Ok((Columns { path, label, part }, true));
                }
                let message = format!(
                    "has the columns {}; which is the label? Name it {} (one-hot columns are not read)",
                    listed(),
                    LABELS[..3].join(", ")
                );
                return Err(self.wrong(1, message));
            }
            _ => {}
        }
        // No names: a field that is an image shows the column.
        let mut is_file = Vec::new();
        for field in first.iter() {
            is_file.push(self.places.find(field.trim())?.is_ok());
        }
        match (is_file.iter().position(|is| *is), fields.len()) {
            (Some(path), 2) => Ok((Columns { path, label: 1 - path, part: None }, false)),
            _ => {
                let message = format!(
                    "has the fields {}: expected a header with a column for the images (path, image, filename, id ..) \
                     and one for the labels (label, class, target ..), or two columns whose first line is an image in {}",
                    listed(),
                    printable(&self.places.dir)
                );
                Err(self.wrong(1, message))
            }
        }
    }

    /// The classes in order: the text that is compared, and the name. Checks that all labels are of one kind.
    fn names(&self, rows: &[Row]) -> Result<Vec<(String, String)>> {
        let mut first: Option<(&Row, Kind)> = None;
        let mut numbers: BTreeMap<i64, String> = BTreeMap::new();
        let mut words: BTreeMap<String, String> = BTreeMap::new();
        let several = |row: &Row, words: &BTreeMap<String, String>| match several(&row.label, words) {
            Some(parts) => {
                let message = format!("\"{}\" looks like {parts} labels; an image has one", printable(&row.label));
                Err(self.wrong(row.line, message))
            }
            None => Ok(()),
        };
        for row in rows {
            several(row, &BTreeMap::new())?;
            let kind = Kind::of(&row.label).map_err(|fault| self.wrong(row.line, fault))?;
            let (before, first_kind) = *first.get_or_insert((row, kind));
            if std::mem::discriminant(&kind) != std::mem::discriminant(&first_kind) {
                let message = format!(
                    "the label \"{}\" is {kind}, but \"{}\" in line {} is {first_kind}; labels must be of one kind",
                    printable(&row.label),
                    printable(&before.label),
                    before.line
                );
                return Err(self.wrong(row.line, message));
            }
            match kind {
                Kind::Number(number) => numbers.insert(number, number.to_string()),
                Kind::Word => words.insert(row.label.clone(), row.label.clone()),
            };
        }
        rows.iter().try_for_each(|row| several(row, &words))?;
        let numbers = numbers.into_values().map(|name| (name.clone(), name));
        Ok(numbers.chain(words).collect())
    }
}

/// The text of a label by which it is compared.
fn key(label: &str) -> String {
    match Kind::of(label) {
        Ok(Kind::Number(number)) => number.to_string(),
        _ => label.to_string(),
    }
}

/// The kind of a label.
#[derive(Clone, Copy)]
enum Kind {
    Number(i64),
    Word,
}

impl Kind {
    fn of(label: &str) -> Result<Self, String> {
        if label.is_empty() {
            return Err("has no label; give one or remove the line".into());
        }
        if let Ok(number) = label.parse::<i64>() {
            return Ok(Kind::Number(number));
        }
        match label.parse::<f64>() {
            Ok(value) if value.is_finite() && value.fract() == 0.0 && value.abs() < 1e15 => {
                Ok(Kind::Number(value as i64))
            }
            Ok(value) if value.is_finite() => {
                Err(format!("the label {label} is a number with a fraction; classes are whole numbers or words"))
            }
            _ => Ok(Kind::Word),
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Number(_) => "a number",
            Kind::Word => "a word",
        })
    }
}

/// Number of labels in this text, if it is more than one.
///
/// A class may have a space or a comma in its name. So parts between spaces, or after a comma and a space, are labels
/// only if all are numbers or stand alone elsewhere.
fn several(label: &str, words: &BTreeMap<String, String>) -> Option<usize> {
    let parts = |separators: &[char]| -> Vec<String> {
        label.split(separators).map(str::trim).filter(|part| !part.is_empty()).map(String::from).collect()
    };
    let known = |part: &String| words.contains_key(part) || part.parse::<i64>().is_ok();
    let sure = parts(&['|', ';']);
    if sure.len() > 1 {
        return Some(sure.len());
    }
    let commas = parts(&[',']);
    if commas.len() > 1 && (!label.contains(", ") || commas.iter().all(known)) {
        return Some(commas.len());
    }
    let spaces = parts(&[' ']);
    (spaces.len() > 1 && spaces.iter().all(known)).then_some(spaces.len())
}

/// The part of the data set that a field of the column `name` says.
fn part(name: &str, field: &str) -> Option<DataPart> {
    let field = field.to_lowercase();
    match (name, field.as_str()) {
        ("is_valid", "true" | "1" | "1.0" | "yes") => Some(DataPart::Validation),
        ("is_valid", "false" | "0" | "0.0" | "no") => Some(DataPart::Train),
        (_, "train" | "training") => Some(DataPart::Train),
        (_, "val" | "valid" | "validation" | "dev") => Some(DataPart::Validation),
        (_, "test" | "testing") => Some(DataPart::Test),
        _ => None,
    }
}

/// The files that the names in a table may mean.
struct Places {
    dir: PathBuf,
    /// True to leave out folders that can't be read.
    skip_bad: bool,
    /// The images in the folder by name and by name without ending; made when a name is no path.
    index: Option<HashMap<String, Vec<PathBuf>>>,
}

impl Places {
    /// The file called `name`: a path from the folder, or the name of a file anywhere in it, also without ending. The
    /// inner error says why there is none.
    fn find(&mut self, name: &str) -> Result<Result<PathBuf, String>> {
        let direct = self.dir.join(name);
        if direct.is_file() {
            return Ok(Ok(direct));
        }
        let index = match &mut self.index {
            Some(index) => index,
            None => {
                // Without the folder there is nothing to find, and no file to name.
                fs::metadata(&self.dir).map_err(|error| Error::io(&self.dir, error))?;
                self.index.insert(index(&self.dir, self.skip_bad)?)
            }
        };
        let key = name.replace('\\', "/");
        let found = index.get(key.trim_start_matches("./")).map_or(&[][..], Vec::as_slice);
        Ok(match found {
            [path] => Ok(path.clone()),
            [] => Err(format!("there is no image \"{}\" in {}", printable(name), printable(&self.dir))),
            [first, second, ..] => Err(format!(
                "\"{}\" may be {} or {}; write the path",
                printable(name),
                printable(first),
                printable(second)
            )),
        })
    }
}

/// All images below a folder by their names, with and without folders and endings.
fn index(dir: &Path, skip_bad: bool) -> Result<HashMap<String, Vec<PathBuf>>> {
    let mut index: HashMap<String, Vec<PathBuf>> = HashMap::new();
    for path in
        images(dir, &mut PassedOver::default(), &mut LeftOut::new(skip_bad))?.into_iter().filter(|path| is_image(path))
    {
        let relative = path.strip_prefix(dir).unwrap_or(&path);
        let mut names: Vec<String> = [relative.to_path_buf(), relative.with_extension("")]
            .iter()
            .flat_map(|path| [Some(path.as_os_str()), path.file_name()].into_iter().flatten())
            .map(|name| name.to_string_lossy().replace('\\', "/"))
            .collect();
        names.sort();
        names.dedup();
        names.into_iter().for_each(|name| index.entry(name).or_default().push(path.clone()));
    }
    Ok(index)
}

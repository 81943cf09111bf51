//! TensorBoard's event files: records of scalars and pictures by step.
//!
//! A file is a sequence of records: length (u64), its checksum, the bytes, their checksum, all little-endian. A
//! checksum is CRC32C, rotated and offset so that a record may contain records. Source:
//! tensorflow/core/lib/io/record_writer.h. The bytes are an `Event` in protocol buffers' encoding; the few fields in
//! use are encoded by hand. Source: tensorflow/core/util/event.proto and framework/summary.proto.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Picture;
use crate::error::{Error, Result};
use crate::train::Epoch;

/// Prefix of an event file's name.
pub(crate) const PREFIX: &str = "events.out.tfevents.";

/// Writes the events of one run. Each event goes to the file at once, so TensorBoard shows a run while it is in
/// progress. A killed run loses at most the event being written, which TensorBoard skips.
pub struct EventWriter {
    file: File,
    path: PathBuf,
}

impl EventWriter {
    /// Starts a file in the folder `dir`, which is created if necessary. [`Error::Io`] names a path that can't be
    /// created.
    pub fn create(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(|source| Error::io(dir, source))?;
        // TensorBoard reads the files of a folder in the order of their names, so a later file has a later second.
        let mut second = (now() as u64).max(newest(dir)? + 1);
        let host = host();
        loop {
            let path = dir.join(format!("{PREFIX}{second:010}.{host}.{}.0", std::process::id()));
            match File::create_new(&path) {
                Ok(file) => {
                    let mut writer = EventWriter { file, path };
                    writer.record(&[double(1, now()), bytes(3, b"brain.Event:2")].concat())?;
                    return Ok(writer);
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => second += 1,
                Err(error) => return Err(Error::io(path, error)),
            }
        }
    }

    /// Continues the run in `dir` that was resumed at `step`, in a new file. TensorBoard then discards the earlier
    /// files' events of this step and later ones. The earlier files are left unchanged, since TensorBoard may be
    /// reading them.
    pub fn resume(dir: &Path, step: u64) -> Result<Self> {
        let mut writer = EventWriter::create(dir)?;
        // A SessionLog with status START.
        writer.record(&[double(1, now()), integer(2, step), bytes(7, &integer(1, 1))].concat())?;
        Ok(writer)
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes one value of the curve `tag`, such as "loss/train". The part before the slash names a group.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<()> {
        self.summary(step, &[(tag, simple_value(value))])
    }

    /// Writes a picture.
    pub fn image(&mut self, tag: &str, step: u64, picture: &Picture) -> Result<()> {
        let (height, width) = (picture.height() as u64, picture.width() as u64);
        // Colour space 3 is red, green and blue.
        let image = [integer(1, height), integer(2, width), integer(3, 3), bytes(4, &picture.png()?)].concat();
        self.summary(step, &[(tag, bytes(4, &image))])
    }

    /// Writes the numbers of an epoch, with the epoch's number as the step: losses, accuracies if the loss has classes,
    /// learning rate, speed, and further metrics. Each metric forms a group of its own name.
    pub fn epoch(&mut self, epoch: &Epoch) -> Result<()> {
        let pair = |name: &str, train, validation| {
            [(format!("{name}/train"), train), (format!("{name}/validation"), validation)]
        };
        let mut values = pair("loss", epoch.train_loss, epoch.validation_loss).to_vec();
        if !(epoch.train_accuracy.is_nan() && epoch.validation_accuracy.is_nan()) {
            values.extend(pair("accuracy", epoch.train_accuracy, epoch.validation_accuracy));
        }
        values.push(("run/lr".into(), epoch.lr));
        values.push(("run/images_per_second".into(), epoch.images_per_second));
        for metric in &epoch.metrics {
            values.extend(pair(&metric.name, metric.train, metric.validation));
        }
        let shown = |tag: &str| epoch.is_validated() || !tag.ends_with("/validation");
        let values: Vec<(&str, Vec<u8>)> = values
            .iter()
            .filter(|(tag, _)| shown(tag))
            .map(|(tag, number)| (tag.as_str(), simple_value(*number)))
            .collect();
        self.summary(epoch.epoch as u64, &values)
    }

    /// Writes an event with a summary of these tags and the encoded fields of their values.
    fn summary(&mut self, step: u64, values: &[(&str, Vec<u8>)]) -> Result<()> {
        let values: Vec<u8> = values
            .iter()
            .flat_map(|(tag, value)| bytes(1, &[bytes(1, tag.as_bytes()), value.clone()].concat()))
            .collect();
        self.record(&[double(1, now()), integer(2, step), bytes(5, &values)].concat())
    }

    /// Appends a record in one write.
    fn record(&mut self, event: &[u8]) -> Result<()> {
        let length = (event.len() as u64).to_le_bytes();
        let record = [&length[..], &checksum(&length), event, &checksum(event)].concat();
        self.file.write_all(&record).map_err(|source| Error::io(&self.path, source))
    }
}

/// CRC32C in the form that records use.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// The latest second in the names of a folder's event files; 0 if there are none.
fn newest(dir: &Path) -> Result<u64> {
    let mut newest = 0;
    for entry in std::fs::read_dir(dir).map_err(|source| Error::io(dir, source))? {
        let name = entry.map_err(|source| Error::io(dir, source))?.file_name();
        let second = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('.').next()?.parse().ok());
        newest = newest.max(second.unwrap_or(0));
    }
    // A foreign name may hold any number.
    Ok(newest.min(9_999_999_998))
}

/// The machine's name for the file's name, reduced to letters, digits and dashes.
fn host() -> String {
    let named = ["HOSTNAME", "COMPUTERNAME"].into_iter().find_map(|variable| std::env::var(variable).ok());
    let name = named.or_else(|| std::fs::read_to_string("/etc/hostname").ok()).unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    if name.is_empty() { "localhost".to_string() } else { name }
}

/// Encodes a number in base 128, least significant part first; the high bit marks that more follows.
fn varint(mut value: u64) -> Vec<u8> {
    let mut coded = Vec::new();
    while value > 0x7f {
        coded.push(value as u8 | 0x80);
        value >>= 7;
    }
    coded.push(value as u8);
    coded
}

/// Encodes field `number` with an integer.
fn integer(number: u8, value: u64) -> Vec<u8> {
    [vec![number << 3], varint(value)].concat()
}

/// Encodes the field of a summary's value that holds a number.
fn simple_value(value: f64) -> Vec<u8> {
    [&[2 << 3 | 5][..], &(value as f32).to_le_bytes()].concat()
}

/// Encodes field `number` with a 64-bit float.
fn double(number: u8, value: f64) -> Vec<u8> {
    [&[number << 3 | 1][..], &value.to_le_bytes()].concat()
}

/// Encodes field `number` with bytes, text or a message.
fn bytes(number: u8, value: &[u8]) -> Vec<u8> {
    [vec![number << 3 | 2], varint(value.len() as u64), value.to_vec()].concat()
}

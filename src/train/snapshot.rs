//! A whole run at a moment between two updates: all that decides what comes next, to the bit.
//!
//! It is one safetensors file: the model's tensors under their own names, the optimizer's as `optimizer_state.rs` names
//! them, `trainer.metrics` (the accumulators' bits) and `trainer.losses`; the counts, the schedule's state, the history and
//! the settings that must be the same are metadata, with a checksum over everything.

use std::path::Path;

use super::checkpoint::{self, Content, Metadata};
use crate::error::{Error, Result};
use crate::rng::fnv1a;

/// What the metadata of every snapshot begins with.
pub(super) const FORMAT: &str = "tilegrad run 1";
/// A whole run at a moment, on the host.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(super) content: Content,
    pub(super) metadata: Metadata,
}

impl Snapshot {
    /// What these tensors and fields say, under their checksum.
    pub(super) fn new(content: Content, metadata: Metadata) -> Self {
        let mut snapshot = Snapshot { content, metadata };
        let checksum = snapshot.checksum();
        snapshot.metadata.insert("checksum".into(), checksum);
        snapshot
    }

    /// The steps of the run until then.
    pub fn steps(&self) -> u32 {
        self.metadata.get("steps").and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// A hash over the tensors and the metadata but itself.
    fn checksum(&self) -> String {
        let mut text = String::new();
        for (name, (dtype, shape, bytes)) in &self.content {
            text += &format!("{name} {dtype:?} {shape:?} {:x}\n", fnv1a(bytes));
        }
        for (name, value) in self.metadata.iter().filter(|(name, _)| *name != "checksum") {
            text += &format!("{name} {value}\n");
        }
        format!("{:016x}", fnv1a(text.as_bytes()))
    }

    /// Writes it to the file at `path`, which is whole or untouched.
    pub fn write(&self, path: &Path) -> Result<()> {
        checkpoint::write(path, &self.content, &self.metadata)
    }

    /// Reads the file at `path`; [`Error::Data`] if a bit of it is not what was written.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = checkpoint::read(path)?;
        let file = checkpoint::parse(path, &bytes)?;
        let mut content = Content::new();
        for (name, view) in file.tensors() {
            content.insert(name, (view.dtype(), view.shape().to_vec(), view.data().to_vec()));
        }
        let snapshot = Snapshot { content, metadata: checkpoint::metadata_of(path, &bytes)? };
        if snapshot.metadata.get("format").map(String::as_str) != Some(FORMAT) {
            return Err(Error::data(
                path,
                format!("is no checkpoint of a run: metadata \"format\" must be \"{FORMAT}\""),
            ));
        }
        if snapshot.metadata.get("checksum") != Some(&snapshot.checksum()) {
            return Err(Error::data(path, "is damaged: its checksum is not that of its content"));
        }
        Ok(snapshot)
    }
}

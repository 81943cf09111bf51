//! A whole run at a moment between two updates: everything that determines the rest of the run, to the bit.
//!
//! It is one safetensors file. The model's tensors have their own names, and the optimizer's are named as in
//! `optimizer_state.rs`. The other tensors are `trainer.metrics` (the accumulators' bits), `trainer.updates` (the
//! number of updates applied) and `trainer.losses`. The counts, the schedule's state, the history and the settings that
//! must be the same are metadata, with a checksum over everything.

use std::path::Path;

use super::run::Run;
use super::weights::{self, Content, Metadata};
use crate::error::{Error, Result};
use crate::rng::fnv1a;

/// Name of the tensor with the loss of every step.
pub(super) const LOSSES: &str = "trainer.losses";

/// Value of the entry "format" in the metadata of every snapshot.
pub(super) const FORMAT: &str = "tilegrad run 1";
/// A whole run at one moment, on the host.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The position of the run.
    pub(super) run: Run,
    /// Parameters, buffers, the optimizer's state, and the accumulators.
    pub(super) content: Content,
    /// The settings that must be the same to continue, the schedule's state, and the choices of candidates.
    pub(super) settings: Metadata,
}

/// A hash over the tensors and all metadata except the hash itself.
fn checksum(content: &Content, metadata: &Metadata) -> String {
    let mut text = String::new();
    for (name, (dtype, shape, bytes)) in content {
        text += &format!("{name} {dtype:?} {shape:?} {:x}\n", fnv1a(bytes));
    }
    for (name, value) in metadata.iter().filter(|(name, _)| *name != "checksum") {
        text += &format!("{name} {value}\n");
    }
    format!("{:016x}", fnv1a(text.as_bytes()))
}

impl Snapshot {
    /// The position of the run.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Number of steps of the run at the snapshot.
    pub fn steps(&self) -> u32 {
        self.run.steps
    }

    /// The values of one of its tensors, by their bits. Empty if there is no such tensor.
    pub(super) fn words(&self, name: &str) -> Vec<f32> {
        words(&self.content, name)
    }

    /// Writes the snapshot to the file at `path`, completely or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut metadata = self.settings.clone();
        metadata.insert("format".into(), FORMAT.into());
        metadata.extend(self.run.to_metadata());
        metadata.insert("checksum".into(), checksum(&self.content, &metadata));
        weights::write(path, &self.content, &metadata)
    }

    /// Reads the file at `path`. [`Error::Data`] if any bit differs from the written file.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = weights::read(path)?;
        let file = weights::parse(path, &bytes)?;
        let mut content = Content::new();
        for (name, view) in file.tensors() {
            content.insert(name, (view.dtype(), view.shape().to_vec(), view.data().to_vec()));
        }
        let metadata = weights::metadata_of(path, &bytes)?;
        if metadata.get("format").map(String::as_str) != Some(FORMAT) {
            return Err(Error::data(
                path,
                format!("is no checkpoint of a run: metadata \"format\" must be \"{FORMAT}\""),
            ));
        }
        if metadata.get("checksum") != Some(&checksum(&content, &metadata)) {
            return Err(Error::data(path, "is damaged: its checksum is not that of its content"));
        }
        let run = Run::of_metadata(path, &metadata, words(&content, LOSSES))?;
        let Run { steps, epochs, batch, .. } = run;
        // Every epoch has a step; larger numbers would overflow what is computed from them.
        if epochs > steps as usize || batch > steps as usize {
            let message = format!("says {epochs} epochs and {batch} batches of the next in {steps} steps");
            return Err(Error::data(path, message));
        }
        Ok(Snapshot { run, content, settings: metadata })
    }
}

/// Converts values to bytes, to the bit.
pub(super) fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_bits().to_le_bytes()).collect()
}

fn words(content: &Content, name: &str) -> Vec<f32> {
    let bytes = content.get(name).map_or(&[][..], |(_, _, bytes)| bytes);
    bytes.chunks_exact(4).map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect()
}

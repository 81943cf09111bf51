//! A whole run at a moment between two updates: all that decides what comes next, to the bit.
//!
//! It is one safetensors file: the model's tensors under their own names, the optimizer's as `optimizer_state.rs` names
//! them, `trainer.metrics` (the accumulators' bits), `trainer.updates` (how many updates were applied) and `trainer.losses`; the counts, the schedule's state, the history and
//! the settings that must be the same are metadata, with a checksum over everything.

use std::path::Path;

use safetensors::tensor::Dtype;

use super::run::Run;
use super::weights::{self, Content, Metadata};
use crate::error::{Error, Result};
use crate::rng::fnv1a;

/// The loss of every step.
const LOSSES: &str = "trainer.losses";

/// What the metadata of every snapshot begins with.
pub(super) const FORMAT: &str = "tilegrad run 1";
/// A whole run at a moment, on the host.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Where the run was.
    pub(super) run: Run,
    /// Parameters, buffers, what the optimizer keeps, and the accumulators.
    pub(super) content: Content,
    /// The settings that must be the same where it goes on, the schedule's state and the choices of kernels.
    pub(super) settings: Metadata,
}

/// A hash over the tensors and the metadata but itself.
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
    /// Where the run was.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// The steps of the run until then.
    pub fn steps(&self) -> u32 {
        self.run.steps
    }

    /// The numbers of one of its tensors, by their bits; none where there is no such tensor.
    pub(super) fn words(&self, name: &str) -> Vec<f32> {
        words(&self.content, name)
    }

    /// Writes it to the file at `path`, which is whole or untouched.
    pub fn write(&self, path: &Path) -> Result<()> {
        let (mut content, mut metadata) = (self.content.clone(), self.settings.clone());
        let losses = &self.run.history.losses;
        content.insert(LOSSES.into(), (Dtype::F32, vec![losses.len()], bytes(losses)));
        metadata.insert("format".into(), FORMAT.into());
        metadata.extend(self.run.to_metadata());
        metadata.insert("checksum".into(), checksum(&content, &metadata));
        weights::write(path, &content, &metadata)
    }

    /// Reads the file at `path`; [`Error::Data`] if a bit of it is not what was written.
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
        content.remove(LOSSES);
        Ok(Snapshot { run, content, settings: metadata })
    }
}

/// The bytes of numbers, which keep their bits.
pub(super) fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_bits().to_le_bytes()).collect()
}

fn words(content: &Content, name: &str) -> Vec<f32> {
    let bytes = content.get(name).map_or(&[][..], |(_, _, bytes)| bytes);
    bytes.chunks_exact(4).map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect()
}

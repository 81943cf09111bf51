//! Parameters in safetensors files, under PyTorch's names, shapes and order of elements.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::Engine;
use crate::error::{Error, Result};
use crate::graph::Tape;
use crate::shape::Shape;

/// Writes `content` to a temporary file beside `path`, flushes it and renames it, so that `path` is whole or untouched.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|source| {
        // The error that matters is the first one.
        let _ = std::fs::remove_file(&temporary);
        Error::io(path, source)
    })
}

/// Writes all parameters of `tape` to the file at `path`.
pub fn save(path: &Path, tape: &Tape, engine: &mut dyn Engine) -> Result<()> {
    let mut values: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for id in tape.parameters() {
        let tensor = tape.tensor(id);
        let bytes = engine.parameter(&tensor.name)?.iter().flat_map(|value| value.to_le_bytes()).collect();
        values.insert(tensor.name.clone(), (tensor.shape.dims().to_vec(), bytes));
    }
    let mut views = Vec::new();
    for (name, (shape, bytes)) in &values {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes)
            .map_err(|error| Error::data(path, format!("parameter \"{name}\": {error}")))?;
        views.push((name.as_str(), view));
    }
    let content = safetensors::serialize(views, None)
        .map_err(|error| Error::data(path, format!("cannot be written: {error}")))?;
    write_whole(path, &content)
}

/// Reads the file at `path` into the parameters of `tape`. All names and shapes must agree; all that do not are named at
/// once, and then nothing is changed.
pub fn load(path: &Path, tape: &Tape, engine: &mut dyn Engine) -> Result<()> {
    let content = std::fs::read(path).map_err(|source| Error::io(path, source))?;
    let file = SafeTensors::deserialize(&content)
        .map_err(|error| Error::data(path, format!("is no safetensors file: {error}")))?;
    let mut problems = Vec::new();
    let mut values = Vec::new();
    let mut unexpected: Vec<String> = file.names().iter().map(|name| name.to_string()).collect();
    for id in tape.parameters() {
        let tensor = tape.tensor(id);
        unexpected.retain(|name| *name != tensor.name);
        match file.tensor(&tensor.name) {
            Err(_) => problems.push(format!("\"{}\" is missing", tensor.name)),
            Ok(view) if view.dtype() != Dtype::F32 || view.shape() != tensor.shape.dims() => {
                let found = Shape::new(view.shape());
                problems.push(format!(
                    "\"{}\" is {found} of {:?}, expected {} of F32",
                    tensor.name,
                    view.dtype(),
                    tensor.shape
                ));
            }
            Ok(view) => {
                let number = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                values.push((tensor.name.clone(), view.data().chunks_exact(4).map(number).collect::<Vec<f32>>()));
            }
        }
    }
    unexpected.sort_unstable();
    problems.extend(unexpected.into_iter().map(|name| format!("\"{name}\" is unexpected")));
    if !problems.is_empty() {
        return Err(Error::data(path, problems.join("; ")));
    }
    values.iter().try_for_each(|(name, values)| engine.set_parameter(name, values))
}

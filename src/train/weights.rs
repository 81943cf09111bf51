//! A model's parameters and buffers in safetensors files, under PyTorch's names, shapes and order of elements.
//!
//! ```
//! use tilegrad::graph::{Purpose, Spec, Tape};
//! use tilegrad::nn::{Linear, Module};
//! use tilegrad::train::{CpuEngine, Engine, weights};
//!
//! let mut tape = Tape::new(Purpose::Evaluate);
//! let x = tape.input("x", Spec::f32([1, 4]))?;
//! Linear::new(4, 3).apply(&mut tape, "fc", x)?;
//! let mut engine = CpuEngine::new();
//! engine.initialise(&tape, 1)?;
//! let path = std::env::temp_dir().join(format!("tilegrad-doc-{}.safetensors", std::process::id()));
//! weights::save(&path, &tape, &mut engine)?;
//! assert_eq!(weights::shapes(&path)?["fc.weight"], [3, 4]); // as torch.nn.Linear has it
//!
//! let mut other = CpuEngine::new();
//! other.initialise(&tape, 2)?;
//! weights::load(&path, &tape, &mut other)?;
//! assert_eq!(other.parameter("fc.weight")?, engine.parameter("fc.weight")?);
//! # std::fs::remove_file(&path).ok();
//! # Ok::<(), tilegrad::Error>(())
//! ```

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::convert::{ints, reals};
use super::engine::Engine;
use crate::error::{Error, Result};
use crate::files::{open_regular, write_whole};
use crate::graph::Tape;
use crate::shape::{DType, Shape};
use crate::tensor::{Role, Tensor};
use crate::twin::Value;

/// The names of a file and of a model that a load covers.
#[derive(Clone, Debug, Default)]
pub struct Load {
    skipped: Vec<String>,
}

impl Load {
    /// Loads everything: each name of the model must be in the file, and the file holds no other.
    pub fn strict() -> Self {
        Load::default()
    }

    /// Neither requires nor reads the names of `module`. "fc" and "fc." stand for fc.weight and fc.bias (not for
    /// fc1.weight), "fc.bias" for itself. It is an error if neither the file nor the model has such a name.
    pub fn skip(mut self, module: impl Into<String>) -> Self {
        self.skipped.push(module.into());
        self
    }

    /// Applies [`Load::skip`] to several modules.
    pub fn without(self, modules: impl IntoIterator<Item = impl Into<String>>) -> Self {
        modules.into_iter().fold(self, |load, module| load.skip(module))
    }

    /// True if a load skips `name`.
    fn skips(&self, name: &str) -> bool {
        self.skipped.iter().any(|module| within(name, module))
    }
}

/// True if `name` is `module` or belongs to it.
fn within(name: &str, module: &str) -> bool {
    let rest = name.strip_prefix(module.trim_end_matches('.'));
    !module.is_empty() && rest.is_some_and(|rest| rest.starts_with('.') || (rest.is_empty() && !module.ends_with('.')))
}

/// A tensor's type in a file.
fn dtype(tensor: &Tensor) -> Dtype {
    match tensor.dtype {
        DType::F32 => Dtype::F32,
        // PyTorch counts batches in int64.
        DType::I32 => Dtype::I64,
        DType::U8 => Dtype::U8,
    }
}

/// A tensor's shape in a file. PyTorch's counters have no extents.
fn file_shape(tensor: &Tensor) -> Vec<usize> {
    match (tensor.dtype, tensor.shape.dims()) {
        (DType::I32, [1]) => Vec::new(),
        (_, dims) => dims.to_vec(),
    }
}

/// The parameters and buffers of a tape.
fn kept(tape: &Tape) -> impl Iterator<Item = &Tensor> {
    tape.parameters().into_iter().chain(tape.buffers()).map(|id| tape.tensor(id))
}

/// A file's tensors by name: type, extents and bytes.
pub(super) type Content = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// A file's texts by name.
pub type Metadata = BTreeMap<String, String>;

/// Encodes tensors and metadata as a safetensors file. The same content gives the same bytes.
pub(super) fn bytes(path: &Path, content: &Content, metadata: &Metadata) -> Result<Vec<u8>> {
    let problem = |error: &dyn std::fmt::Display| Error::data(path, format!("cannot be written: {error}"));
    let mut views = Vec::new();
    for (name, (dtype, shape, bytes)) in content {
        let view = TensorView::new(*dtype, shape.clone(), bytes)
            .map_err(|error| Error::data(path, format!("\"{name}\": {error}")))?;
        views.push((name.as_str(), view));
    }
    let plain = safetensors::serialize(views, None).map_err(|error| problem(&error))?;
    // The library would write the metadata in an order that differs from run to run.
    let (length, rest) = plain.split_at(8);
    let (header, data) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap_or_default()) as usize);
    let mut header: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(header).map_err(|error| problem(&error))?;
    header.insert("__metadata__".into(), serde_json::json!(metadata));
    let mut header = serde_json::Value::from(header).to_string().into_bytes();
    // Tensors start at whole words.
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok([&(header.len() as u64).to_le_bytes(), &header[..], data].concat())
}

/// Writes tensors and metadata to the file at `path`.
pub(super) fn write(path: &Path, content: &Content, metadata: &Metadata) -> Result<()> {
    write_whole(path, &bytes(path, content, metadata)?)
}

/// Reads the bytes of the file at `path`, for [`parse`].
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let (mut file, length) = open_regular(path)?;
    let mut bytes = Vec::with_capacity(length as usize);
    file.read_to_end(&mut bytes).map_err(|source| Error::io(path, source))?;
    Ok(bytes)
}

/// Parses the tensors in `content`, the bytes of the file at `path`.
pub(super) fn parse<'a>(path: &Path, content: &'a [u8]) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(content).map_err(|error| Error::data(path, format!("is no safetensors file: {error}")))
}

/// The metadata of every file, as in PyTorch's own files.
pub(super) fn format() -> Metadata {
    Metadata::from([("format".into(), "pt".into())])
}

/// Writes all parameters and buffers of `tape` to the file at `path`.
pub fn save(path: &Path, tape: &Tape, engine: &mut dyn Engine) -> Result<()> {
    save_with(path, tape, engine, &Metadata::new())
}

/// Writes like [`save`], with the caller's texts in the file's metadata, such as class names; [`metadata`] reads them.
pub fn save_with(path: &Path, tape: &Tape, engine: &mut dyn Engine, own: &Metadata) -> Result<()> {
    let mut metadata = format();
    metadata.extend(own.iter().map(|(name, text)| (name.clone(), text.clone())));
    write(path, &model(tape, engine)?, &metadata)
}

/// Reads the texts in the metadata of the file at `path`.
pub fn metadata(path: &Path) -> Result<Metadata> {
    metadata_of(path, &read(path)?)
}

/// Reads the texts in the metadata of `content`, the bytes of the file at `path`.
pub(super) fn metadata_of(path: &Path, content: &[u8]) -> Result<Metadata> {
    let (_, header) = SafeTensors::read_metadata(content)
        .map_err(|error| Error::data(path, format!("is no safetensors file: {error}")))?;
    Ok(header.metadata().iter().flatten().map(|(name, text)| (name.clone(), text.clone())).collect())
}

/// Reads all parameters and buffers of `tape`.
pub(super) fn model(tape: &Tape, engine: &mut dyn Engine) -> Result<Content> {
    let mut content = Content::new();
    for tensor in kept(tape) {
        let value = match tensor.role {
            Role::Buffer { .. } => engine.buffer(tensor)?,
            _ => Value::Real(engine.parameter(&tensor.name)?),
        };
        let bytes = match value {
            Value::Real(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Value::Int(values) => values.iter().flat_map(|&value| i64::from(value).to_le_bytes()).collect(),
            Value::Bytes(values) => Arc::unwrap_or_clone(values),
        };
        content.insert(tensor.name.clone(), (dtype(tensor), file_shape(tensor), bytes));
    }
    Ok(content)
}

/// Reads the names in the file at `path` with their shapes. They give a network's width and number of classes before it
/// is built.
///
/// A counter has no extents. [`Error::Io`] and [`Error::Data`] name the file that can't be read or is incomplete.
pub fn shapes(path: &Path) -> Result<BTreeMap<String, Vec<usize>>> {
    let content = read(path)?;
    let file = parse(path, &content)?;
    Ok(file.iter().map(|(name, view)| (name.to_string(), view.shape().to_vec())).collect())
}

/// Reads the file at `path` into the parameters and buffers of `tape`, by [`Load::strict`].
pub fn load(path: &Path, tape: &Tape, engine: &mut dyn Engine) -> Result<()> {
    load_with(path, tape, engine, &Load::strict())
}

/// Reads the file at `path` into the parameters and buffers of `tape` that `load` covers.
///
/// Numbers may be F32, F64, F16 or BF16, counters I64 or I32. One error lists every name that is missing, unexpected,
/// of another shape or type, skipped in vain, or that holds values that are NaN or infinite; nothing is changed then.
pub fn load_with(path: &Path, tape: &Tape, engine: &mut dyn Engine, load: &Load) -> Result<()> {
    let content = read(path)?;
    store(values_of(path, &parse(path, &content)?, tape, load)?, engine)
}

/// Checks that the file at `path` has the parameters and buffers of `tape`, by [`Load::strict`], without memory for them:
/// for a tape whose sizes come from the file's own metadata.
pub fn check(path: &Path, tape: &Tape) -> Result<()> {
    let content = read(path)?;
    values_of(path, &parse(path, &content)?, tape, &Load::strict()).map(|_| ())
}

/// Initialises `engine` with the parameters and buffers of `tape`, which are those of the file at `path`. The file is
/// held against the tape first: its sizes may come from the file's own metadata, and must not be trusted with memory.
pub(super) fn initialise(path: &Path, tape: &Tape, engine: &mut dyn Engine) -> Result<()> {
    let content = read(path)?;
    let values = values_of(path, &parse(path, &content)?, tape, &Load::strict())?;
    engine.initialise(tape, 0)?;
    store(values, engine)
}

fn store(values: Vec<(&Tensor, Value<f32>)>, engine: &mut dyn Engine) -> Result<()> {
    values.into_iter().try_for_each(|(tensor, value)| match (&tensor.role, value) {
        (Role::Parameter { .. }, Value::Real(values)) => engine.set_parameter(&tensor.name, &values),
        (_, value) => engine.set_buffer(&tensor.name, value),
    })
}

/// The file's values for the tensors of `tape` that `load` covers.
fn values_of<'a>(
    path: &Path,
    file: &SafeTensors<'_>,
    tape: &'a Tape,
    load: &Load,
) -> Result<Vec<(&'a Tensor, Value<f32>)>> {
    let mut problems = Vec::new();
    let mut values = Vec::new();
    let mut unexpected: Vec<String> = file.names().iter().map(|name| name.to_string()).collect();
    for module in &load.skipped {
        let mut names = kept(tape).map(|tensor| &tensor.name).chain(&unexpected);
        if !names.any(|name| within(name, module)) {
            problems.push(format!("\"{module}\" is to be skipped, and neither the file nor the model has it"));
        }
    }
    for tensor in kept(tape) {
        unexpected.retain(|name| *name != tensor.name);
        if !load.skips(&tensor.name) {
            match value(file, &tensor.name, tensor).and_then(|value| finite(&tensor.name, value)) {
                Ok(value) => values.push((tensor, value)),
                Err(problem) => problems.push(problem),
            }
        }
    }
    unexpected.retain(|name| !load.skips(name));
    refuse(path, problems, unexpected)?;
    Ok(values)
}

/// Returns the value, unless it holds numbers that are NaN or infinite: every prediction would be wrong.
fn finite(name: &str, value: Value<f32>) -> Result<Value<f32>, String> {
    let Value::Real(values) = &value else { return Ok(value) };
    match values.iter().filter(|value| !value.is_finite()).count() {
        0 => Ok(value),
        wrong => Err(format!("\"{name}\" has {wrong} of {} values that are NaN or infinite", values.len())),
    }
}

/// The error that lists all problems and unexpected names, if there are any.
pub(super) fn refuse(path: &Path, mut problems: Vec<String>, mut unexpected: Vec<String>) -> Result<()> {
    unexpected.sort_unstable();
    problems.extend(unexpected.into_iter().map(|name| format!("\"{name}\" is unexpected")));
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Error::data(path, problems.join("; "))),
    }
}

/// Reads the file's value for `tensor` under `name`, or describes the problem with it.
pub(super) fn value(file: &SafeTensors<'_>, name: &str, tensor: &Tensor) -> Result<Value<f32>, String> {
    let view = file.tensor(name).map_err(|_| format!("\"{name}\" is missing"))?;
    let expected = file_shape(tensor);
    let value = match tensor.dtype {
        DType::F32 => reals(view.dtype(), view.data()).map(Value::Real),
        DType::I32 => match ints(view.dtype(), view.data()) {
            Some(values) => {
                let fits: Result<Vec<i32>, _> = values.iter().map(|&value| i32::try_from(value)).collect();
                let values = fits.map_err(|_| format!("\"{name}\" is beyond a 32-bit number: {values:?}"))?;
                Some(Value::Int(values))
            }
            None => None,
        },
        DType::U8 => (view.dtype() == Dtype::U8).then(|| Value::Bytes(view.data().to_vec().into())),
    };
    let value = value.filter(|_| view.shape() == expected);
    value.ok_or_else(|| {
        let (found, expected) = (Shape::new(view.shape()), Shape::new(expected));
        format!("\"{name}\" is {found} of {:?}, expected {expected} of {:?}", view.dtype(), dtype(tensor))
    })
}

//! The optimizer's state in a safetensors file: momentum buffers by parameter, settings, and how far a run is.
//!
//! PyTorch keeps the same in `torch.optim.SGD.state_dict()`, by number in place of name; `scripts/optimizer_state.py`
//! turns one form into the other. The tensors are `state.<parameter>.momentum_buffer`, in PyTorch's order of elements;
//! metadata `param_groups` is PyTorch's list as JSON, with names, `step` and `epoch` are numbers. What a schedule remembers
//! is `scheduler.best`, `scheduler.num_bad_epochs`, `scheduler.cooldown_counter` and, once reduced, `scheduler.lr`.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors};
use serde_json::json;

use super::checkpoint::{Content, Metadata, finish, format, metadata_of, parse, read, value, write};
use super::engine::Engine;
use crate::error::{Error, Result};
use crate::graph::Tape;
use crate::optim::{Schedule, Sgd};
use crate::tensor::{Role, Tensor};
use crate::twin::Value;

/// How far a run is: what another run needs, beside parameters, buffers and momentum buffers, to go on from there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Batches so far: no two draw the same random numbers.
    pub steps: u32,
    /// Epochs so far: each has an order of images of its own.
    pub epochs: usize,
    /// Whether an update with momentum has been made, so that the momentum buffers hold something.
    pub has_momentum: bool,
}

/// What the names of a schedule's fields begin with in the metadata.
const SCHEDULER: &str = "scheduler.";

/// The parameters that the optimizer updates, with their groups.
fn updated(tape: &Tape) -> impl Iterator<Item = (&Tensor, usize)> {
    tape.parameters().into_iter().map(|id| tape.tensor(id)).filter_map(|tensor| match tensor.role {
        Role::Parameter { group: Some(group), .. } => Some((tensor, group)),
        _ => None,
    })
}

fn entry(tensor: &Tensor) -> String {
    format!("state.{}.momentum_buffer", tensor.name)
}

/// torch.optim.SGD's param_groups, with the names of the parameters for their numbers; a group without any is left out.
fn param_groups(tape: &Tape, sgd: &Sgd) -> serde_json::Value {
    let group = |group: usize| {
        let names: Vec<&str> =
            updated(tape).filter(|(_, of)| *of == group).map(|(tensor, _)| tensor.name.as_str()).collect();
        let own = sgd.groups.get(group);
        let json = json!({
            "params": names,
            "lr": sgd.lr * own.map_or(1.0, |own| own.lr_factor),
            "momentum": sgd.momentum,
            "dampening": sgd.dampening,
            "weight_decay": own.map_or(sgd.weight_decay, |own| own.weight_decay),
            "nesterov": sgd.nesterov,
            "maximize": sgd.maximize,
            "l1": sgd.l1,
        });
        (!names.is_empty()).then_some(json)
    };
    (0..=sgd.groups.len()).filter_map(group).collect()
}

/// The momentum buffers of the parameters of `tape`; without a step there is none in PyTorch either.
pub(super) fn momentum(tape: &Tape, has_momentum: bool, engine: &mut dyn Engine) -> Result<Content> {
    let mut content = Content::new();
    for (tensor, _) in updated(tape).filter(|_| has_momentum) {
        let bytes = engine.momentum(&tensor.name)?.iter().flat_map(|value| value.to_le_bytes()).collect();
        content.insert(entry(tensor), (Dtype::F32, tensor.shape.dims().to_vec(), bytes));
    }
    Ok(content)
}

/// What a schedule remembers, as metadata: as text, which f64 survives to the bit, infinities too.
pub(super) fn remembered(schedule: &Schedule) -> impl Iterator<Item = (String, String)> {
    schedule.state().into_iter().map(|(name, value)| (format!("{SCHEDULER}{name}"), value.to_string()))
}

/// What [`remembered`] put into the metadata of the file at `path`.
pub(super) fn scheduler(path: &Path, metadata: &Metadata) -> Result<BTreeMap<String, f64>> {
    let mut state = BTreeMap::new();
    for (field, text) in metadata {
        if let Some(name) = field.strip_prefix(SCHEDULER) {
            let problem = |_| Error::data(path, format!("metadata \"{field}\" is \"{text}\", expected a number"));
            state.insert(name.to_string(), text.parse().map_err(problem)?);
        }
    }
    Ok(state)
}

/// Writes the state of `sgd`, which updates the parameters of `tape`, to the file at `path`.
pub fn save(path: &Path, tape: &Tape, sgd: &Sgd, progress: Progress, engine: &mut dyn Engine) -> Result<()> {
    save_scheduled(path, tape, sgd, progress, None, engine)
}

pub(super) fn save_scheduled(
    path: &Path,
    tape: &Tape,
    sgd: &Sgd,
    progress: Progress,
    schedule: Option<&Schedule>,
    engine: &mut dyn Engine,
) -> Result<()> {
    let content = momentum(tape, progress.has_momentum, engine)?;
    let mut metadata = format();
    metadata.insert("param_groups".into(), param_groups(tape, sgd).to_string());
    metadata.insert("step".into(), progress.steps.to_string());
    metadata.insert("epoch".into(), progress.epochs.to_string());
    metadata.extend(schedule.into_iter().flat_map(remembered));
    write(path, &content, &metadata)
}

/// Reads the momentum buffers of the parameters of `tape` from the file at `path`, and how far its run was.
///
/// A file holds the buffers of all parameters that are updated, or, if no update had momentum, none. All names that are
/// missing, unexpected or of another shape are in the one error, and then nothing is changed. Settings are not read: those
/// of the run that goes on hold.
pub fn load(path: &Path, tape: &Tape, engine: &mut dyn Engine) -> Result<Progress> {
    load_scheduled(path, tape, None, engine)
}

pub(super) fn load_scheduled(
    path: &Path,
    tape: &Tape,
    schedule: Option<&mut Schedule>,
    engine: &mut dyn Engine,
) -> Result<Progress> {
    let content = read(path)?;
    let file = parse(path, &content)?;
    let metadata = metadata_of(path, &content)?;
    let count = |field: &str| -> Result<u32> {
        let text = metadata.get(field);
        let text = text.ok_or_else(|| Error::data(path, format!("metadata \"{field}\" is missing")))?;
        text.parse().map_err(|_| Error::data(path, format!("metadata \"{field}\" is \"{text}\", expected a number")))
    };
    let (steps, epochs) = (count("step")?, count("epoch")? as usize);
    let remembered = scheduler(path, &metadata)?;
    let has_momentum = !file.names().is_empty();
    let Buffers { values, problems, unexpected } = buffers(&file, tape, has_momentum);
    finish(path, problems, unexpected)?;
    // A file without such a state is of a run without a plateau, or an older one: the schedule then starts anew.
    if let Some(schedule) = schedule.filter(|_| !remembered.is_empty()) {
        let problem = |error| Error::data(path, format!("metadata of the scheduler: {error}"));
        schedule.restore(&remembered).map_err(problem)?;
    }
    values.iter().try_for_each(|(name, values)| engine.set_momentum(name, values))?;
    Ok(Progress { steps, epochs, has_momentum })
}

/// The momentum buffers of a file by parameter, what is wrong with them, and the names that are none.
#[derive(Default)]
pub(super) struct Buffers {
    pub values: Vec<(String, Vec<f32>)>,
    pub problems: Vec<String>,
    pub unexpected: Vec<String>,
}

/// What of a file is a momentum buffer of a parameter of `tape`.
pub(super) fn buffers(file: &SafeTensors<'_>, tape: &Tape, has_momentum: bool) -> Buffers {
    let unexpected = file.names().iter().map(|name| name.to_string()).collect();
    let mut found = Buffers { unexpected, ..Buffers::default() };
    for (tensor, _) in updated(tape).filter(|_| has_momentum) {
        let name = entry(tensor);
        found.unexpected.retain(|other| *other != name);
        match value(file, &name, tensor) {
            Ok(Value::Real(value)) => found.values.push((tensor.name.clone(), value)),
            Ok(_) => found.problems.push(format!("\"{name}\" holds no numbers")),
            Err(problem) => found.problems.push(problem),
        }
    }
    found
}

//! The optimizer's state in a safetensors file: momentum buffers by parameter, settings, and the run's counts.
//!
//! PyTorch keeps the same in `torch.optim.SGD.state_dict()`, by number in place of name; `scripts/optimizer_state.py`
//! converts one form to the other. The tensors are `state.<parameter>.momentum_buffer`, in PyTorch's order of elements.
//! The metadata `param_groups` is PyTorch's list as JSON, with names. `step` and `epoch` are numbers. `updates` holds
//! the number of updates applied and the number of those with momentum. The state of a schedule is `scheduler.best`,
//! `scheduler.num_bad_epochs`, `scheduler.cooldown_counter` and, once reduced, `scheduler.lr`.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors};
use serde_json::json;

use super::engine::Engine;
use super::weights::{Content, Metadata, format, metadata_of, parse, read, refuse, value, write};
use crate::error::{Error, Result};
use crate::graph::Tape;
use crate::optim::{Optimizer, Schedule, UPDATES};
use crate::tensor::{Role, Tensor};
use crate::twin::Value;

/// The counts of a run: the part of its position that another run needs to continue, beside parameters, buffers and the
/// optimizer's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Number of batches so far. Each draws different random numbers.
    pub steps: u32,
    /// Number of epochs so far. Each has a different order of images.
    pub epochs: usize,
}

/// Prefix of the names of a schedule's fields in the metadata.
const SCHEDULER: &str = "scheduler.";

/// The parameters that the optimizer updates, with their groups.
fn updated(tape: &Tape) -> impl Iterator<Item = (&Tensor, usize)> {
    tape.parameters().into_iter().map(|id| tape.tensor(id)).filter_map(|tensor| match tensor.role {
        Role::Parameter { group: Some(group), .. } => Some((tensor, group)),
        _ => None,
    })
}

fn entry(tensor: &Tensor, buffer: &str) -> String {
    format!("state.{}.{buffer}", tensor.name)
}

/// PyTorch's param_groups, with names in place of the parameters' numbers. A group without parameters is left out.
fn param_groups(tape: &Tape, optimizer: &dyn Optimizer) -> serde_json::Value {
    let group = |group: usize| {
        let names: Vec<&str> =
            updated(tape).filter(|(_, of)| *of == group).map(|(tensor, _)| tensor.name.as_str()).collect();
        let mut settings = serde_json::Map::new();
        settings.insert("params".into(), json!(names));
        settings.extend(optimizer.param_group(group).into_iter().map(|(name, value)| (name.to_string(), value)));
        (!names.is_empty()).then_some(serde_json::Value::Object(settings))
    };
    (0..=optimizer.groups().len()).filter_map(group).collect()
}

/// The optimizer's state for the parameters of `tape` after these `updates`. Before the first it is empty, as in
/// PyTorch.
pub(super) fn kept(
    tape: &Tape,
    optimizer: &dyn Optimizer,
    updates: &[f32],
    engine: &mut dyn Engine,
) -> Result<Content> {
    let mut content = Content::new();
    for (tensor, _) in updated(tape).filter(|_| optimizer.has_buffers(updates)) {
        for buffer in optimizer.buffers() {
            let values = engine.optimizer_buffer(&tensor.name, buffer)?;
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            content.insert(entry(tensor, buffer), (Dtype::F32, tensor.shape.dims().to_vec(), bytes));
        }
    }
    Ok(content)
}

/// Number of updates that `engine` has applied, and number of those with momentum. Empty before the first step.
pub(super) fn updates(engine: &mut dyn Engine) -> Result<Vec<f32>> {
    match engine.state(UPDATES) {
        Err(Error::Name { .. }) => Ok(vec![0.0; 2]),
        updates => updates,
    }
}

/// A schedule's state as metadata, in text from which f64 is restored to the bit, infinities too.
pub(super) fn remembered(schedule: &Schedule) -> impl Iterator<Item = (String, String)> {
    schedule.state().into_iter().map(|(name, value)| (format!("{SCHEDULER}{name}"), value.to_string()))
}

/// Reads the output of [`remembered`] from the metadata of the file at `path`.
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

/// Writes the state of `optimizer`, which updates the parameters of `tape`, to the file at `path`.
pub fn save(
    path: &Path,
    tape: &Tape,
    optimizer: &dyn Optimizer,
    progress: Counts,
    engine: &mut dyn Engine,
) -> Result<()> {
    save_scheduled(path, tape, optimizer, progress, None, engine)
}

pub(super) fn save_scheduled(
    path: &Path,
    tape: &Tape,
    optimizer: &dyn Optimizer,
    progress: Counts,
    schedule: Option<&Schedule>,
    engine: &mut dyn Engine,
) -> Result<()> {
    let updates = updates(engine)?;
    let content = kept(tape, optimizer, &updates, engine)?;
    let mut metadata = format();
    metadata.insert("param_groups".into(), param_groups(tape, optimizer).to_string());
    metadata.insert("step".into(), progress.steps.to_string());
    metadata.insert("epoch".into(), progress.epochs.to_string());
    let texts: Vec<String> = updates.iter().map(f32::to_string).collect();
    metadata.insert("updates".into(), texts.join(","));
    metadata.extend(schedule.into_iter().flat_map(remembered));
    write(path, &content, &metadata)
}

/// Reads the state of `optimizer` for the parameters of `tape` from the file at `path`, and returns the run's counts.
///
/// A file holds the buffers of all updated parameters, or none before the first update that creates them. One error
/// lists all names that are missing, unexpected or of another shape; nothing is changed then. Settings are not read:
/// the settings of the loading run apply.
pub fn load(path: &Path, tape: &Tape, optimizer: &dyn Optimizer, engine: &mut dyn Engine) -> Result<Counts> {
    load_scheduled(path, tape, optimizer, None, engine)
}

pub(super) fn load_scheduled(
    path: &Path,
    tape: &Tape,
    optimizer: &dyn Optimizer,
    schedule: Option<&mut Schedule>,
    engine: &mut dyn Engine,
) -> Result<Counts> {
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
    let updates = match metadata.get("updates") {
        Some(text) => {
            let numbers: Option<Vec<f32>> = text.split(',').map(|number| number.parse().ok()).collect();
            let problem = || Error::data(path, format!("metadata \"updates\" is \"{text}\", expected two numbers"));
            numbers.filter(|numbers| numbers.len() == 2).ok_or_else(problem)?
        }
        // PyTorch's own state and older files have no count. Existing buffers imply an update.
        None => vec![steps as f32, if file.names().is_empty() { 0.0 } else { steps.max(1) as f32 }],
    };
    let Buffers { values, problems, unexpected } = buffers(&file, tape, optimizer, &updates);
    refuse(path, problems, unexpected)?;
    // A file without such a state comes from a run without a plateau schedule, or is older. The schedule then starts
    // anew.
    if let Some(schedule) = schedule.filter(|_| !remembered.is_empty()) {
        let problem = |error| Error::data(path, format!("metadata of the scheduler: {error}"));
        schedule.restore(&remembered).map_err(problem)?;
    }
    for (parameter, buffer, values) in &values {
        engine.set_optimizer_buffer(parameter, buffer, values)?;
    }
    engine.set_state(UPDATES, &updates)?;
    Ok(Counts { steps, epochs })
}

/// An optimizer's state in a file, by parameter and buffer, with its problems and the unexpected names.
#[derive(Default)]
pub(super) struct Buffers {
    pub values: Vec<(String, &'static str, Vec<f32>)>,
    pub problems: Vec<String>,
    pub unexpected: Vec<String>,
}

/// Reads the state of `optimizer` for the parameters of `tape` after these `updates` from a file.
pub(super) fn buffers(file: &SafeTensors<'_>, tape: &Tape, optimizer: &dyn Optimizer, updates: &[f32]) -> Buffers {
    let unexpected = file.names().iter().map(|name| name.to_string()).collect();
    let mut found = Buffers { unexpected, ..Buffers::default() };
    for (tensor, _) in updated(tape).filter(|_| optimizer.has_buffers(updates)) {
        for &buffer in optimizer.buffers() {
            let name = entry(tensor, buffer);
            found.unexpected.retain(|other| *other != name);
            match value(file, &name, tensor) {
                Ok(Value::Real(value)) => found.values.push((tensor.name.clone(), buffer, value)),
                Ok(_) => found.problems.push(format!("\"{name}\" holds no numbers")),
                Err(problem) => found.problems.push(problem),
            }
        }
    }
    found
}

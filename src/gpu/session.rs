//! A plan on a device: its slots, pipelines and bind groups, created once, and the recording of steps.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::memory::Allocation;
use super::pipelines::{Access, Pipeline};
use super::ring::Ring;
use super::{Device, Store};
use crate::error::{Error, Result};
use crate::graph::Stage;
use crate::kernel::Extent;
use crate::plan::{Buffer, Part, Plan, Span, Step, Uses};
use crate::shape::DType;
use crate::tensor::{TensorId, Values};

/// Options of a session.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SessionOptions {
    /// True to keep wgpu's bounds checks in kernels.
    pub checked: bool,
    /// True to fill activations and inputs with NaN initially, each tensor in separate memory between guard bands of
    /// NaN. Bindings extend over the second band, and [`Session::breach`] reports writes to a band. A store has its own
    /// option, [`Store::guarded`].
    pub guarded: bool,
}

impl SessionOptions {
    /// Sets whether kernels keep wgpu's bounds checks.
    pub fn checked(mut self, checked: bool) -> Self {
        self.checked = checked;
        self
    }

    /// Sets whether tensors lie apart between guard bands of NaN, by which [`Session::breach`] finds writes beyond
    /// them.
    pub fn guarded(mut self, guarded: bool) -> Self {
        self.guarded = guarded;
        self
    }
}

/// A plan that is ready to run.
///
/// The example runs one step of a linear model; `examples/loop_by_hand.rs` is a complete training run:
/// ```
/// use std::sync::Arc;
/// use tilegrad::gpu::{Device, DeviceOptions, Session, SessionOptions, Store};
/// use tilegrad::graph::{Purpose, Spec, Tape};
/// use tilegrad::kernel::Choices;
/// use tilegrad::nn::{Linear, Module, Reduction};
/// use tilegrad::optim::{Optimizer, Sgd};
/// use tilegrad::plan::{ParameterLayout, Plan};
///
/// # if std::env::var_os("TILEGRAD_SKIP_GPU").is_some() { return Ok(()); }
/// let sgd = Sgd::new(0.1);
/// let mut tape = Tape::new(Purpose::Train);
/// let x = tape.input("x", Spec::f32([2, 1]))?;
/// let y = tape.input("y", Spec::f32([2, 1]))?;
/// let output = Linear::new(1, 1).apply(&mut tape, "fc", x)?;
/// let loss = tape.mse_loss("loss", output, y, Reduction::Mean)?;
/// tape.keep(loss); // so that it can be read
/// sgd.minimize(&mut tape, loss)?;
///
/// let device = Device::new(DeviceOptions::default())?;
/// let layout = Arc::new(ParameterLayout::new(&tape, device.caps())?);
/// let store = Arc::new(Store::new(&device, Arc::clone(&layout))?);
/// store.initialise(&tape, 1)?;
/// let plan = Plan::new(Arc::new(tape), layout, device.caps(), &Choices::default())?;
/// let mut session = Session::new(&store, Arc::new(plan), SessionOptions::default())?;
/// for (name, values) in sgd.hyperparameters(&session.plan().tape, sgd.rates()) {
///     session.write(&name, &values)?;
/// }
/// session.write("x", &[1.0, 2.0])?;
/// session.write("y", &[2.0, 4.0])?;
/// session.step()?;
/// let first = session.read_f32(loss)?[0];
/// session.step()?;
/// assert!(session.read_f32(loss)?[0] < first);
/// # Ok::<(), tilegrad::Error>(())
/// ```
pub struct Session {
    device: Device,
    store: Arc<Store>,
    plan: Arc<Plan>,
    guarded: bool,
    slots: HashMap<SlotKey, Allocation>,
    inputs: HashMap<String, Input>,
    /// Names of the data sets that the session's kernels read.
    data_sets: BTreeSet<String>,
    rings: HashMap<String, Ring>,
    steps: Vec<Ready>,
    /// Indices of the dispatches, by part and pass.
    parts: Vec<Vec<Vec<usize>>>,
}

/// Slot number and size in bytes. In a guarded session, tensors of different sizes in a slot have separate memory.
type SlotKey = (usize, u64);

/// An input's memory, and a flag that it was written.
struct Input {
    allocation: Allocation,
    written: AtomicBool,
}

/// Values in memory order.
enum Arranged {
    F32(Vec<f32>),
    I32(Vec<i32>),
}

impl Arranged {
    fn bytes(&self) -> &[u8] {
        match self {
            Arranged::F32(values) => bytemuck::cast_slice(values),
            Arranged::I32(values) => bytemuck::cast_slice(values),
        }
    }
}

struct Ready {
    stage: Stage,
    pipeline: Arc<Pipeline>,
    bind_group: wgpu::BindGroup,
    workgroups: [u32; 2],
}

impl Session {
    /// Creates the buffers, pipelines and bind groups of `plan` over `store`.
    pub fn new(store: &Arc<Store>, plan: Arc<Plan>, options: SessionOptions) -> Result<Self> {
        let device = store.device().clone();
        warn_of_length(&plan);
        let new = |label: &str, bytes| match options.guarded {
            true => Allocation::guarded(&device, label, bytes),
            false => Allocation::new(&device, label, bytes),
        };
        let mut slots = HashMap::new();
        let used = plan.steps.iter().flat_map(|step| step.bindings.iter().map(|(_, span)| span));
        for span in used.chain(plan.placed().flat_map(|(_, spans)| spans)) {
            if let Buffer::Slot(slot) = span.buffer {
                let key = slot_key(&plan, options.guarded, slot, span);
                if let std::collections::hash_map::Entry::Vacant(place) = slots.entry(key) {
                    place.insert(new(&format!("slot {slot}"), key.1)?);
                }
            }
        }
        let mut inputs = HashMap::new();
        let mut data_sets = BTreeSet::new();
        for (id, spans) in plan.placed() {
            store.declare_buffer(plan.tape.tensor(id), false)?;
            if let [Span { buffer: Buffer::Input(name), bytes, .. }] = spans {
                inputs.insert(name.clone(), Input { allocation: new(name, *bytes)?, written: AtomicBool::new(false) });
            }
            if let Buffer::Resident { name, .. } = &spans[0].buffer {
                data_sets.insert(name.clone());
            }
            // Creates states here, so that they can be read and cleared before the first step.
            if let Buffer::State(_) = spans[0].buffer {
                store.buffer(&spans[0])?;
            }
        }
        let mut session = Session {
            device: device.clone(),
            store: Arc::clone(store),
            plan: Arc::clone(&plan),
            guarded: options.guarded,
            slots,
            inputs,
            data_sets,
            rings: HashMap::new(),
            steps: Vec::new(),
            parts: Vec::new(),
        };
        device.prepare(&plan.kernels(), options.checked)?;
        let (params, offsets) = pack_params(&device, &plan)?;
        for (step, &offset) in plan.steps.iter().zip(&offsets) {
            let pipeline = device.pipeline(&step.kernel, options.checked)?;
            let mut kept = Vec::new();
            for (name, span) in &step.bindings {
                kept.push((*name, session.find(span)?, span));
            }
            let mut entries = Vec::new();
            for (name, binding, _) in &pipeline.reflection.bindings {
                let resource = if name == "params" {
                    wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer: &params,
                        offset,
                        size: std::num::NonZeroU64::new((step.params.len() as u64).next_multiple_of(16)),
                    })
                } else {
                    let (_, allocation, span) = kept.iter().find(|(bound, ..)| bound == name).ok_or_else(|| {
                        Error::Validation(format!("kernel \"{}\" wants \"{name}\" bound", step.kernel.name))
                    })?;
                    allocation.get(&session).binding(span.offset, span.bytes)
                };
                entries.push(wgpu::BindGroupEntry { binding: *binding, resource });
            }
            let bind_group = device.bind_group(&wgpu::BindGroupDescriptor {
                label: Some(step.kernel.name),
                layout: &pipeline.layout,
                entries: &entries,
            })?;
            let workgroups = fold(step.extent, pipeline.reflection.workgroup_size, device.caps().max_workgroups);
            session.steps.push(Ready { stage: step.stage, pipeline, bind_group, workgroups });
        }
        session.parts = parts(&plan, &session.steps);
        Ok(session)
    }

    /// Returns the plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Returns the store.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Writes the input called `name` from values in PyTorch's order. The next run reads them.
    pub fn write<'a>(&self, name: &str, values: impl Into<Values<'a>>) -> Result<()> {
        let (input, memory) = self.arrange(name, values.into())?;
        let Allocation { buffer, offset, .. } = &input.allocation;
        self.device.queue().write_buffer(buffer, *offset, memory.bytes());
        input.written.store(true, Ordering::Relaxed);
        self.device.check()
    }

    /// Writes the input called `name` through a ring of staging buffers, so that the host can upload the next batch
    /// while the device works on the current one.
    pub fn upload<'a>(&mut self, name: &str, values: impl Into<Values<'a>>) -> Result<()> {
        let (input, memory) = self.arrange(name, values.into())?;
        input.written.store(true, Ordering::Relaxed);
        let bytes = input.allocation.bytes;
        let ring = match self.rings.entry(name.to_string()) {
            std::collections::hash_map::Entry::Occupied(ring) => ring.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => place.insert(Ring::new(&self.device, name, bytes)?),
        };
        ring.fill(&self.device, memory.bytes())
    }

    /// Converts the values to memory order and finds their input. A wrong count or type is an error.
    fn arrange(&self, name: &str, values: Values<'_>) -> Result<(&Input, Arranged)> {
        let tensor = self
            .plan
            .tape
            .find_input(name)
            .map(|id| self.plan.tape.tensor(id))
            .ok_or_else(|| Error::name(name, "the tape has no input of that name"))?;
        let input =
            self.inputs.get(name).ok_or_else(|| Error::name(name, "nothing that this plan runs reads that input"))?;
        values.check(tensor)?;
        let memory = match values {
            Values::F32(values) => Arranged::F32(tensor.layout.to_memory(&tensor.shape, values)),
            Values::I32(values) => Arranged::I32(tensor.layout.to_memory(&tensor.shape, values)),
        };
        Ok((input, memory))
    }

    /// Records and submits the dispatches of `stages`, each part of the plan separately, without waiting for them.
    ///
    /// [`Error::Name`] names an input that they read and that was not written.
    pub fn run(&mut self, stages: &[Stage]) -> Result<()> {
        self.device.check()?;
        self.check_written(stages)?;
        let Session { device, inputs, rings, steps, parts, .. } = self;
        let runs = |number: &usize| stages.contains(&steps[*number].stage);
        // Uploads go with the first submission, so there is one even without a dispatch.
        let last = parts.iter().rposition(|passes| passes.iter().flatten().any(runs)).unwrap_or_default();
        for (i, passes) in parts.iter().enumerate().take(last + 1) {
            if i < last && !passes.iter().flatten().any(runs) {
                continue;
            }
            let mut encoder = device.raw().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            for (name, ring) in rings.iter() {
                if let Some(input) = inputs.get(name) {
                    ring.record(&mut encoder, &input.allocation.buffer, input.allocation.offset);
                }
            }
            for pass in passes.iter().filter(|pass| pass.iter().any(runs)) {
                let steps = pass.iter().copied().filter(runs).map(|number| &steps[number]);
                record(&mut encoder, None, steps, |_, _| {});
            }
            let commands = encoder.finish();
            let index = if i == last { device.submit(commands)? } else { device.submit_part(commands)? };
            rings.values_mut().for_each(|ring| ring.submitted(&index));
        }
        Ok(())
    }

    /// Returns an error if the dispatches of `stages` read an unwritten input, or a data set that is not on the device.
    fn check_written(&self, stages: &[Stage]) -> Result<()> {
        let unwritten = |input: &Input| !input.written.load(Ordering::Relaxed);
        let is_away = |name: &str| !self.store.is_resident(name);
        if !self.inputs.values().any(unwritten) && !self.data_sets.iter().any(|name| is_away(name)) {
            return Ok(());
        }
        let is_missing = |name: &str| self.inputs.get(name).is_some_and(unwritten);
        for step in self.plan.steps.iter().filter(|step| stages.contains(&step.stage)) {
            for (_, span) in &step.bindings {
                match &span.buffer {
                    Buffer::Input(name) if is_missing(name) => return Err(self.plan.tape.unwritten(name)),
                    Buffer::Resident { name, .. } if is_away(name) => {
                        let message = "the data set is not on the device: BatchSource::prepare brings it there, before the first step";
                        return Err(Error::name(name, message));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Number of compute passes of a step: one per part, and one more wherever overlapping dispatches start.
    pub fn passes(&self) -> usize {
        self.parts.iter().map(Vec::len).sum()
    }

    /// Runs all stages.
    pub fn step(&mut self) -> Result<()> {
        self.run(&[Stage::Gather, Stage::Forward, Stage::Backward, Stage::Update])
    }

    /// Returns the device.
    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    /// Records the dispatches with these indices in the plan, in one pass. Calls `between` with the number recorded so
    /// far, before the first and after each.
    pub(super) fn record(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        timestamp_writes: Option<wgpu::ComputePassTimestampWrites<'_>>,
        numbers: impl Iterator<Item = usize>,
        between: impl FnMut(&mut wgpu::ComputePass<'_>, usize),
    ) {
        record(encoder, timestamp_writes, numbers.map(|number| &self.steps[number]), between);
    }

    /// True if a second run of the dispatch with this index in the plan changes nothing.
    pub(super) fn is_idempotent(&self, number: usize) -> bool {
        self.steps[number].pipeline.reflection.idempotent
    }

    /// Waits for all submitted work.
    pub(super) fn wait(&self) -> Result<()> {
        self.device.wait()
    }

    /// Reads an f32 tensor in PyTorch's order. The tape must keep it, or it must outlive a step.
    pub fn read_f32(&self, id: TensorId) -> Result<Vec<f32>> {
        self.read(id, DType::F32)
    }

    /// Reads an i32 tensor in PyTorch's order.
    pub fn read_i32(&self, id: TensorId) -> Result<Vec<i32>> {
        self.read(id, DType::I32)
    }

    fn read<T: bytemuck::Pod + Default + Send + Sync>(&self, id: TensorId, dtype: DType) -> Result<Vec<T>> {
        let tensor = self.plan.tape.tensor(id);
        if tensor.dtype != dtype {
            return Err(Error::name(&tensor.name, "has no memory of that type in this plan"));
        }
        Ok(tensor.layout.to_logical(&tensor.shape, &self.read_memory(id)?))
    }

    /// Reads a tensor of `T` in memory order.
    pub(super) fn read_memory<T: bytemuck::Pod>(&self, id: TensorId) -> Result<Vec<T>> {
        let tensor = self.plan.tape.tensor(id);
        let no_memory = || Error::name(&tensor.name, "has no memory of that type in this plan");
        let spans = self.plan.place(id).ok_or_else(no_memory)?;
        let mut memory: Vec<T> = Vec::with_capacity(tensor.shape.len());
        for span in spans {
            let held = self.find(span)?;
            let allocation = held.get(self);
            let bytes = self.device.read(&allocation.buffer, allocation.offset + span.offset, span.bytes)?;
            memory.extend(bytemuck::pod_collect_to_vec::<u8, T>(&bytes));
        }
        Ok(memory)
    }

    /// Fills all activations and their guard bands with NaN.
    pub fn poison(&self) {
        self.slots.values().for_each(|slot| slot.poison(&self.device));
    }

    /// Describes a write beyond a tensor, and the kernels that may have done it, in guarded sessions and stores.
    pub fn breach(&self) -> Result<Option<String>> {
        let writers = |is_it: &dyn Fn(&Buffer, u64) -> bool| {
            let mut writers = BTreeSet::new();
            for (ready, step) in self.steps.iter().zip(&self.plan.steps) {
                let writes = |name: &str| {
                    ready
                        .pipeline
                        .reflection
                        .bindings
                        .iter()
                        .any(|(n, _, access)| n == name && *access == Access::ReadWrite)
                };
                if step.bindings.iter().any(|(name, span)| is_it(&span.buffer, span.bytes) && writes(name)) {
                    writers.insert(format!("\"{}\" by {}", step.node, step.kernel.name));
                }
            }
            writers.into_iter().collect::<Vec<_>>().join(", ")
        };
        let told = |at: i64, bytes: u64, what: &str, writers: String| {
            Some(format!("byte {at} of {what}, which has {bytes}, was written; what writes to it: {writers}"))
        };
        for (&(slot, of), allocation) in &self.slots {
            if let Some(at) = allocation.breach(&self.device)? {
                let writers = writers(&|buffer, bytes| *buffer == Buffer::Slot(slot) && bytes == of);
                return Ok(told(at, allocation.bytes, &format!("slot {slot}"), writers));
            }
        }
        for (name, Input { allocation, .. }) in &self.inputs {
            if let Some(at) = allocation.breach(&self.device)? {
                let writers = writers(&|buffer, _| *buffer == Buffer::Input(name.clone()));
                return Ok(told(at, allocation.bytes, &format!("input \"{name}\""), writers));
            }
        }
        let of_store = self.store.breach()?;
        Ok(of_store
            .and_then(|(kept, bytes, at)| told(at, bytes, &format!("{kept:?}"), writers(&|buffer, _| *buffer == kept))))
    }

    fn find(&self, span: &Span) -> Result<Held> {
        match &span.buffer {
            Buffer::Slot(slot) => Ok(Held::Slot(slot_key(&self.plan, self.guarded, *slot, span))),
            Buffer::Input(name) => Ok(Held::Input(name.clone())),
            _ => self.store.buffer(span).map(Held::Kept),
        }
    }
}

/// Records dispatches in one pass. Calls `between` with the number recorded so far, before the first and after each.
fn record<'a>(
    encoder: &mut wgpu::CommandEncoder,
    timestamp_writes: Option<wgpu::ComputePassTimestampWrites<'_>>,
    steps: impl Iterator<Item = &'a Ready>,
    mut between: impl FnMut(&mut wgpu::ComputePass<'_>, usize),
) {
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes });
    between(&mut pass, 0);
    for (i, step) in steps.enumerate() {
        pass.set_pipeline(&step.pipeline.pipeline);
        pass.set_bind_group(0, &step.bind_group, &[]);
        pass.dispatch_workgroups(step.workgroups[0], step.workgroups[1], 1);
        between(&mut pass, i + 1);
    }
}

/// Key of the allocation that holds a span of slot `slot`.
fn slot_key(plan: &Plan, guarded: bool, slot: usize, span: &Span) -> SlotKey {
    (slot, if guarded { span.bytes } else { plan.slots[slot] })
}

/// The parts of a step, each as a list of passes.
fn parts(plan: &Plan, steps: &[Ready]) -> Vec<Vec<Vec<usize>>> {
    let uses: Vec<Uses<'_>> = plan.steps.iter().zip(steps).map(|(step, ready)| uses(step, ready)).collect();
    let passes = |part: Part| match plan.overlaps() {
        true => plan.passes(part.dispatches, &uses),
        false => vec![part.dispatches.collect()],
    };
    plan.parts().into_iter().map(passes).collect()
}

/// The buffers of a dispatch, each with a flag that it is written.
fn uses<'a>(step: &'a Step, ready: &Ready) -> Uses<'a> {
    let bindings = &ready.pipeline.reflection.bindings;
    let writes = |name: &str| bindings.iter().any(|(other, _, access)| other == name && *access == Access::ReadWrite);
    step.bindings.iter().map(|(name, span)| (&span.buffer, writes(name))).collect()
}

/// Logs a warning if one dispatch takes longer than a part of a step should.
fn warn_of_length(plan: &Plan) {
    if let Some((step, milliseconds)) = plan.too_long() {
        log::warn!(
            "\"{}\": one dispatch of {} is estimated at {milliseconds:.0} ms, and can't be submitted in parts: a watchdog may end \
             it; a smaller batch makes it shorter",
            step.node,
            step.kernel.name
        );
    }
}

/// The owner of an allocation.
enum Held {
    Slot(SlotKey),
    Input(String),
    Kept(Arc<Allocation>),
}

impl Held {
    fn get<'a>(&'a self, session: &'a Session) -> &'a Allocation {
        match self {
            Held::Slot(key) => &session.slots[key],
            Held::Input(name) => &session.inputs[name].allocation,
            Held::Kept(allocation) => allocation,
        }
    }
}

/// Packs all params structs into one uniform buffer, each at an aligned offset.
fn pack_params(device: &Device, plan: &Plan) -> Result<(wgpu::Buffer, Vec<u64>)> {
    let alignment = 256;
    let mut bytes = Vec::new();
    let mut offsets = Vec::new();
    for step in &plan.steps {
        offsets.push(bytes.len() as u64);
        bytes.extend_from_slice(&step.params);
        bytes.resize(bytes.len().next_multiple_of(alignment), 0);
    }
    let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
    let buffer = device.buffer("params", bytes.len() as u64, usage)?;
    device.queue().write_buffer(&buffer, 0, &bytes);
    device.check()?;
    Ok((buffer, offsets))
}

/// Folds workgroups into two dimensions, since one holds at most `most`. Kernels count x + y columns.
pub(super) fn fold(extent: Extent, workgroup_size: u32, most: u32) -> [u32; 2] {
    let workgroups = match extent {
        Extent::Invocations(count) => count.div_ceil(u64::from(workgroup_size)),
        Extent::Workgroups(count) => count,
    };
    let rows = workgroups.div_ceil(u64::from(most)).max(1);
    [workgroups.div_ceil(rows).max(1) as u32, rows as u32]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workgroups_fold_to_two_dimensions() {
        assert_eq!(fold(Extent::Invocations(65), 64, 65_535), [2, 1]);
        assert_eq!(fold(Extent::Workgroups(65_535), 64, 65_535), [65_535, 1]);
        let [x, y] = fold(Extent::Workgroups(100_000), 64, 65_535);
        assert!(u64::from(x) * u64::from(y) >= 100_000 && x <= 65_535 && y == 2);
    }
}

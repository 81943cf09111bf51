//! The engine that runs tapes on a GPU.

use std::path::Path;
use std::sync::Arc;

use super::engine::{Engine, ProgramId, Reading, set_resident};
use super::pinned::Pinned;
use crate::data::ImageSet;
use crate::error::{Error, Result};
use crate::gpu::{Device, Peak, Profile, Session, SessionOptions, Store, TuneEvent, Tuner, Tuning};
use crate::graph::{Stage, Tape};
use crate::kernel::Choices;
use crate::plan::{Forecast, Memory, ParameterLayout, Plan, default_bound};
use crate::tensor::{Tensor, TensorId, Values};
use crate::twin::Value;

fn not_initialised() -> Error {
    Error::config("engine", "has no parameter store yet; call initialise first")
}

/// Runs tapes on a GPU.
pub struct GpuEngine {
    device: Device,
    options: SessionOptions,
    choices: Choices,
    bound: Option<f64>,
    overlap: Option<bool>,
    pinned: Option<Pinned>,
    store: Option<Arc<Store>>,
    sessions: Vec<Session>,
}

impl GpuEngine {
    /// Creates an engine on `device`.
    pub fn new(device: Device) -> Self {
        let bound = default_bound(device.caps().class);
        GpuEngine {
            device,
            options: SessionOptions::default(),
            choices: Choices::default(),
            bound,
            overlap: None,
            pinned: None,
            store: None,
            sessions: Vec::new(),
        }
    }

    /// Sets the candidates to choose in place of the defaults.
    pub fn choices(mut self, choices: Choices) -> Self {
        self.choices = choices;
        self
    }

    /// Sets the longest estimated time of one submission, in milliseconds. A longer step is submitted in parts, with
    /// the same results to the bit. `None` submits each step as a whole, which is the default on software devices. The
    /// default on other devices is half a second, since a watchdog may reset a device after two.
    pub fn bound(mut self, milliseconds: Option<f64>) -> Self {
        self.bound = milliseconds;
        self
    }

    /// Sets whether independent dispatches may overlap. By default they may on all but software devices.
    pub fn overlap(mut self, wanted: bool) -> Self {
        self.overlap = Some(wanted);
        self
    }

    fn plan(&self, tape: &Tape) -> Result<Plan> {
        let layout = Arc::clone(self.store()?.layout());
        let plan = Plan::new(Arc::new(tape.clone()), layout, self.device.caps(), &self.choices)?;
        let overlaps = self.overlap.unwrap_or(plan.overlaps());
        Ok(plan.cut(self.bound, self.device.rates()).overlap(overlaps))
    }

    /// The parameter store.
    pub fn store(&self) -> Result<&Arc<Store>> {
        self.store.as_ref().ok_or_else(not_initialised)
    }

    /// The session of a program.
    pub fn session(&self, program: ProgramId) -> &Session {
        &self.sessions[program.number()]
    }
}

impl Engine for GpuEngine {
    fn name(&self) -> String {
        self.device.name()
    }

    fn device_memory(&self) -> Option<u64> {
        self.device.memory()
    }

    fn initialise(&mut self, tape: &Tape, seed: u64) -> Result<()> {
        let layout = Arc::new(ParameterLayout::new(tape, self.device.caps())?);
        let store = Arc::new(Store::new(&self.device, layout)?);
        store.initialise(tape, seed)?;
        self.sessions.clear();
        self.store = Some(store);
        Ok(())
    }

    fn compile(&mut self, tape: Tape) -> Result<ProgramId> {
        let plan = self.plan(&tape)?;
        log::debug!("{plan}");
        if let Some(pinned) = &self.pinned {
            pinned.check(&plan)?;
        }
        let session = Session::new(self.store()?, Arc::new(plan), self.options)?;
        self.sessions.push(session);
        Ok(ProgramId::new(self.sessions.len() - 1))
    }

    fn tape(&self, program: ProgramId) -> &Tape {
        &self.sessions[program.number()].plan().tape
    }

    fn memory(&self, program: ProgramId) -> Option<Memory> {
        Some(self.sessions[program.number()].plan().memory())
    }

    fn set_resident(&mut self, name: &str, images: &ImageSet) -> Result<()> {
        set_resident(self.store()?, name, images)
    }

    fn write(&mut self, program: ProgramId, name: &str, values: Values<'_>) -> Result<()> {
        self.sessions[program.number()].write(name, values)
    }

    fn upload(&mut self, program: ProgramId, name: &str, values: Values<'_>) -> Result<()> {
        self.sessions[program.number()].upload(name, values)
    }

    fn run(&mut self, program: ProgramId, stages: &[Stage]) -> Result<()> {
        self.sessions[program.number()].run(stages)
    }

    fn profile(&mut self, program: ProgramId, repeats: usize) -> Result<Option<Profile>> {
        let stages = [Stage::Gather, Stage::Forward, Stage::Backward, Stage::Update];
        let profile = self.sessions[program.number()].profile(&stages, repeats)?;
        Ok(Some(profile.against(Peak::measure(&self.device)?)))
    }

    fn wait(&mut self) -> Result<()> {
        self.device.wait()
    }

    fn read(&mut self, program: ProgramId, id: TensorId) -> Result<Vec<f32>> {
        self.sessions[program.number()].read_f32(id)
    }

    fn state(&mut self, name: &str) -> Result<Vec<f32>> {
        self.store()?.state(name)
    }

    fn request_state(&mut self, name: &str) -> Result<Box<dyn Reading>> {
        Ok(Box::new(self.store()?.request_state(name)?))
    }

    fn clear_state(&mut self, name: &str) -> Result<()> {
        self.store()?.clear_state(name)
    }

    fn set_state(&mut self, name: &str, values: &[f32]) -> Result<()> {
        self.store()?.set_state(name, values)
    }

    fn forecast(&mut self, tape: &Tape, timed: bool) -> Result<Option<Forecast>> {
        let rates = match timed {
            true => Some(Peak::measure(&self.device)?),
            false => None,
        };
        let plan = self.plan(tape)?;
        let rates = rates.map(|peak| peak.rates());
        let caps = self.device.caps();
        let allowed = caps.max_binding.min(caps.max_buffer);
        Ok(Some(Forecast::new(&plan, allowed, self.device.memory(), rates)))
    }

    fn take(&mut self, choices: Choices) {
        self.choices = choices;
    }

    fn renew(&mut self) -> Result<bool> {
        self.sessions.clear();
        self.store = None;
        self.device = self.device.reopen()?;
        Ok(true)
    }

    fn parameter(&mut self, name: &str) -> Result<Vec<f32>> {
        self.store()?.parameter(name)
    }

    fn set_parameter(&mut self, name: &str, values: &[f32]) -> Result<()> {
        self.store()?.set_parameter(name, values)
    }

    fn optimizer_buffer(&mut self, parameter: &str, buffer: &str) -> Result<Vec<f32>> {
        self.store()?.optimizer_buffer(parameter, buffer)
    }

    fn set_optimizer_buffer(&mut self, parameter: &str, buffer: &str, values: &[f32]) -> Result<()> {
        self.store()?.set_optimizer_buffer(parameter, buffer, values)
    }

    fn buffer(&mut self, tensor: &Tensor) -> Result<Value<f32>> {
        self.store()?.buffer_values(tensor)
    }

    fn set_buffer(&mut self, name: &str, values: Value<f32>) -> Result<()> {
        self.store()?.set_buffer(name, &values)
    }

    fn taken(&self) -> Option<Choices> {
        let mut taken = Choices { without_rules: self.choices.without_rules.clone(), ..Choices::default() };
        taken.by_shape.extend(self.sessions.iter().flat_map(|session| session.plan().choices().by_shape));
        Some(taken)
    }

    fn tune(
        &mut self,
        tapes: &[(Tape, Option<Tape>)],
        observe: &mut dyn FnMut(TuneEvent<'_>),
    ) -> Result<Option<Tuning>> {
        let mut tuner = Tuner::new(&self.device);
        let mut all = Tuning::default();
        for (tape, smaller) in tapes {
            let tuning = tuner.tune(tape, smaller.as_ref(), observe)?;
            all.choices.by_shape.extend(tuning.choices.by_shape);
            all.measured += tuning.measured;
            all.cached += tuning.cached;
            all.left += tuning.left;
        }
        self.choices.by_shape.extend(all.choices.by_shape.clone());
        Ok(Some(all))
    }

    fn pin(&mut self, file: &Path, tapes: &[Tape]) -> Result<usize> {
        let pinned = Pinned::read(file)?;
        self.choices = pinned.choices.clone();
        let plans = tapes.iter().map(|tape| self.plan(tape)).collect::<Result<Vec<_>>>()?;
        let count = pinned.check_all(&plans)?;
        self.pinned = Some(pinned);
        Ok(count)
    }
}

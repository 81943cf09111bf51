//! What runs tapes for the trainer: a GPU, or the reference executor where there is none.

use std::path::Path;
use std::sync::Arc;

use super::pinned::Pinned;
use crate::data::{BatchSink, ImageSet, images_name, labels_name};
use crate::error::{Error, Result};
use crate::gpu::{Device, Peak, Profile, Session, SessionOptions, Store, TuneEvent, Tuner, Tuning};
use crate::graph::{Stage, Tape, Tensor, TensorId};
use crate::ops::Choices;
use crate::plan::{Memory, ParameterLayout, Plan};
use crate::reference;
use crate::reference::Value;

/// A tape that an engine has made ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProgramId(usize);

/// Something that runs tapes over one store of parameters.
pub trait Engine {
    /// The device's name.
    fn name(&self) -> String;

    /// Makes the parameter store for the parameters and groups of `tape`, with their first values under `seed`.
    fn initialise(&mut self, tape: &Tape, seed: u64) -> Result<()>;

    /// Makes a tape ready to run.
    fn compile(&mut self, tape: Tape) -> Result<ProgramId>;

    /// The tape of a program.
    fn tape(&self, program: ProgramId) -> &Tape;

    /// The memory that a program plans for; `None` where memory is not planned.
    fn memory(&self, program: ProgramId) -> Option<Memory>;

    /// Where the data of `program`'s next step goes.
    fn sink(&mut self, program: Option<ProgramId>) -> Sink<'_>;

    /// Writes an f32 input of a program.
    fn write_f32(&mut self, program: ProgramId, name: &str, values: &[f32]) -> Result<()>;

    /// Runs stages of a program.
    fn run(&mut self, program: ProgramId, stages: &[Stage]) -> Result<()>;

    /// Times every dispatch of a program, `repeats` times, and measures what the device can do at best; `None` where there
    /// are no dispatches to time.
    ///
    /// The program really runs, more than `repeats` times, on what was written last: parameters and states change.
    fn profile(&mut self, program: ProgramId, repeats: usize) -> Result<Option<Profile>> {
        let _ = (program, repeats);
        Ok(None)
    }

    /// Waits until everything has run.
    fn wait(&mut self) -> Result<()>;

    /// Reads a tensor that the tape keeps.
    fn read(&mut self, program: ProgramId, id: TensorId) -> Result<Vec<f32>>;

    /// Reads a state.
    fn state(&mut self, name: &str) -> Result<Vec<f32>>;

    /// Sets a state to zeros.
    fn clear_state(&mut self, name: &str) -> Result<()>;

    /// A parameter in PyTorch's order.
    fn parameter(&mut self, name: &str) -> Result<Vec<f32>>;

    /// Sets a parameter.
    fn set_parameter(&mut self, name: &str, values: &[f32]) -> Result<()>;

    /// The momentum buffer of a parameter in PyTorch's order; zeros before the first step with momentum.
    fn momentum(&mut self, name: &str) -> Result<Vec<f32>>;

    /// Sets the momentum buffer of a parameter.
    fn set_momentum(&mut self, name: &str, values: &[f32]) -> Result<()>;

    /// The values of a model's buffer.
    fn buffer(&mut self, tensor: &Tensor) -> Result<Value<f32>>;

    /// Sets a model's buffer.
    fn set_buffer(&mut self, name: &str, values: Value<f32>) -> Result<()>;

    /// Which kernel was taken wherever there was a choice, in all programs so far; `None` where there is none.
    fn taken(&self) -> Option<Choices> {
        None
    }

    /// Measures which kernels are fastest for these tapes, each with the same for a smaller batch where there is one, and
    /// takes them for programs from now on; `None` where there is no choice.
    fn tune(
        &mut self,
        tapes: &[(Tape, Option<Tape>)],
        observe: &mut dyn FnMut(TuneEvent<'_>),
    ) -> Result<Option<Tuning>> {
        let _ = (tapes, observe);
        Ok(None)
    }

    /// Takes the choices of a file, one that [`Choices::to_json`] has written, for programs from now on, and says how many
    /// of them are for the first tape's shapes. One that can't be taken is an error, here or when a program is made.
    fn pin(&mut self, file: &Path, tapes: &[Tape]) -> Result<usize> {
        let _ = tapes;
        let message = format!("{} has no choice of kernels to repeat; leave it out, or name a GPU", self.name());
        Err(Error::data(file, message))
    }
}

/// Where the data of a program's next step goes, or, with no program, data that stays on the device.
pub struct Sink<'a> {
    target: Target<'a>,
}

enum Target<'a> {
    Gpu(&'a Store, Option<&'a mut Session>),
    Cpu(&'a mut reference::Store<f32>, Option<&'a mut reference::Program<f32>>),
}

fn no_program(name: &str) -> Error {
    Error::name(name, "inputs are written to a program, and none was named")
}

impl BatchSink for Sink<'_> {
    fn set_resident(&mut self, name: &str, images: &ImageSet) -> Result<()> {
        match &mut self.target {
            Target::Gpu(store, _) => {
                // An image starts at a whole word.
                let padded = images.image_bytes().next_multiple_of(4);
                let mut bytes = Vec::with_capacity(padded * images.len());
                for i in 0..images.len() {
                    bytes.extend_from_slice(images.image(i));
                    bytes.resize((i + 1) * padded, 0);
                }
                store.set_resident(&images_name(name), images.len(), &bytes)?;
                store.set_resident(&labels_name(name), images.len(), bytemuck::cast_slice(&images.labels))
            }
            Target::Cpu(store, _) => {
                store.set(&images_name(name), Value::Bytes(images.images.clone()));
                store.set(&labels_name(name), Value::Int(images.labels.clone()));
                Ok(())
            }
        }
    }

    fn write_i32(&mut self, name: &str, values: &[i32]) -> Result<()> {
        match &mut self.target {
            Target::Gpu(_, Some(session)) => session.write_i32(name, values),
            Target::Cpu(_, Some(program)) => program.write(name, Value::Int(values.to_vec())),
            _ => Err(no_program(name)),
        }
    }

    fn upload_f32(&mut self, name: &str, values: &[f32]) -> Result<()> {
        match &mut self.target {
            Target::Gpu(_, Some(session)) => session.upload_f32(name, values),
            Target::Cpu(_, Some(program)) => program.write(name, Value::Real(values.to_vec())),
            _ => Err(no_program(name)),
        }
    }
}

fn not_initialised() -> Error {
    Error::config("engine", "has no parameter store yet; call initialise first")
}

/// Runs tapes on a GPU.
pub struct GpuEngine {
    device: Device,
    options: SessionOptions,
    choices: Choices,
    pinned: Option<Pinned>,
    store: Option<Arc<Store>>,
    sessions: Vec<Session>,
}

impl GpuEngine {
    /// An engine on `device`.
    pub fn new(device: Device) -> Self {
        GpuEngine {
            device,
            options: SessionOptions::default(),
            choices: Choices::default(),
            pinned: None,
            store: None,
            sessions: Vec::new(),
        }
    }

    /// Sets which kernel variants to take, where not the best.
    pub fn choices(mut self, choices: Choices) -> Self {
        self.choices = choices;
        self
    }

    fn plan(&self, tape: &Tape) -> Result<Plan> {
        let layout = Arc::clone(self.store()?.layout());
        Plan::new(Arc::new(tape.clone()), layout, self.device.caps(), &self.choices)
    }

    /// The parameter store.
    pub fn store(&self) -> Result<&Arc<Store>> {
        self.store.as_ref().ok_or_else(not_initialised)
    }

    /// The session of a program.
    pub fn session(&self, program: ProgramId) -> &Session {
        &self.sessions[program.0]
    }
}

impl Engine for GpuEngine {
    fn name(&self) -> String {
        self.device.name()
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
        Ok(ProgramId(self.sessions.len() - 1))
    }

    fn tape(&self, program: ProgramId) -> &Tape {
        &self.sessions[program.0].plan().tape
    }

    fn memory(&self, program: ProgramId) -> Option<Memory> {
        Some(self.sessions[program.0].plan().memory())
    }

    fn sink(&mut self, program: Option<ProgramId>) -> Sink<'_> {
        let store = self.store.as_ref().expect("the trainer initialises its engine before it feeds it");
        Sink { target: Target::Gpu(store, program.map(|program| &mut self.sessions[program.0])) }
    }

    fn write_f32(&mut self, program: ProgramId, name: &str, values: &[f32]) -> Result<()> {
        self.sessions[program.0].write_f32(name, values)
    }

    fn run(&mut self, program: ProgramId, stages: &[Stage]) -> Result<()> {
        self.sessions[program.0].run(stages)
    }

    fn profile(&mut self, program: ProgramId, repeats: usize) -> Result<Option<Profile>> {
        let stages = [Stage::Gather, Stage::Forward, Stage::Backward, Stage::Update];
        let profile = self.sessions[program.0].profile(&stages, repeats)?;
        Ok(Some(profile.against(Peak::measure(&self.device)?)))
    }

    fn wait(&mut self) -> Result<()> {
        self.device.wait()
    }

    fn read(&mut self, program: ProgramId, id: TensorId) -> Result<Vec<f32>> {
        self.sessions[program.0].read_f32(id)
    }

    fn state(&mut self, name: &str) -> Result<Vec<f32>> {
        self.store()?.state(name)
    }

    fn clear_state(&mut self, name: &str) -> Result<()> {
        self.store()?.clear_state(name)
    }

    fn parameter(&mut self, name: &str) -> Result<Vec<f32>> {
        self.store()?.parameter(name)
    }

    fn set_parameter(&mut self, name: &str, values: &[f32]) -> Result<()> {
        self.store()?.set_parameter(name, values)
    }

    fn momentum(&mut self, name: &str) -> Result<Vec<f32>> {
        self.store()?.momentum(name)
    }

    fn set_momentum(&mut self, name: &str, values: &[f32]) -> Result<()> {
        self.store()?.set_momentum(name, values)
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

/// What a tape calls the momentum buffer of a parameter.
fn momentum_name(parameter: &str) -> String {
    format!("{parameter}.momentum_buffer")
}

/// Runs tapes on the CPU, by the reference executor.
#[derive(Default)]
pub struct CpuEngine {
    store: reference::Store<f32>,
    programs: Vec<reference::Program<f32>>,
}

impl CpuEngine {
    /// An engine without programs.
    pub fn new() -> Self {
        CpuEngine::default()
    }

    fn kept(&self, name: &str) -> Result<&Value<f32>> {
        self.store.get(name).ok_or_else(|| Error::name(name, "nothing of that name is kept"))
    }

    /// Sets `name`, which has as many values as `parameter`.
    fn set_like(&mut self, name: &str, parameter: &str, values: &[f32]) -> Result<()> {
        let expected = self.kept(parameter)?.real().len();
        if expected != values.len() {
            return Err(Error::Shape {
                op: "parameter",
                name: name.into(),
                message: format!("has {expected} values, got {}", values.len()),
            });
        }
        self.store.set(name, Value::Real(values.to_vec()));
        Ok(())
    }
}

impl Engine for CpuEngine {
    fn name(&self) -> String {
        format!("CPU (reference executor, {} threads)", rayon::current_num_threads())
    }

    fn initialise(&mut self, tape: &Tape, seed: u64) -> Result<()> {
        self.programs.clear();
        self.store = reference::Store::new(tape, seed);
        Ok(())
    }

    fn compile(&mut self, tape: Tape) -> Result<ProgramId> {
        self.programs.push(reference::Program::new(Arc::new(tape)));
        Ok(ProgramId(self.programs.len() - 1))
    }

    fn tape(&self, program: ProgramId) -> &Tape {
        self.programs[program.0].tape()
    }

    fn memory(&self, _program: ProgramId) -> Option<Memory> {
        None
    }

    fn sink(&mut self, program: Option<ProgramId>) -> Sink<'_> {
        Sink { target: Target::Cpu(&mut self.store, program.map(|program| &mut self.programs[program.0])) }
    }

    fn write_f32(&mut self, program: ProgramId, name: &str, values: &[f32]) -> Result<()> {
        self.programs[program.0].write(name, Value::Real(values.to_vec()))
    }

    fn run(&mut self, program: ProgramId, stages: &[Stage]) -> Result<()> {
        self.programs[program.0].run(&mut self.store, stages)
    }

    fn wait(&mut self) -> Result<()> {
        Ok(())
    }

    fn read(&mut self, program: ProgramId, id: TensorId) -> Result<Vec<f32>> {
        let tensor = self.tape(program).tensor(id).name.clone();
        let value = self.programs[program.0].read(id).ok_or_else(|| Error::name(tensor, "has no value yet"))?;
        Ok(value.real().to_vec())
    }

    fn state(&mut self, name: &str) -> Result<Vec<f32>> {
        Ok(self.kept(name)?.real().to_vec())
    }

    fn clear_state(&mut self, name: &str) -> Result<()> {
        // A state that no step has made yet is zero already.
        if let Some(value) = self.store.get(name) {
            let zeros = vec![0.0; value.real().len()];
            self.store.set(name, Value::Real(zeros));
        }
        Ok(())
    }

    fn parameter(&mut self, name: &str) -> Result<Vec<f32>> {
        Ok(self.kept(name)?.real().to_vec())
    }

    fn set_parameter(&mut self, name: &str, values: &[f32]) -> Result<()> {
        self.set_like(name, name, values)
    }

    fn momentum(&mut self, name: &str) -> Result<Vec<f32>> {
        let len = self.kept(name)?.len();
        Ok(self.store.get(&momentum_name(name)).map_or_else(|| vec![0.0; len], |value| value.real().to_vec()))
    }

    fn set_momentum(&mut self, name: &str, values: &[f32]) -> Result<()> {
        self.set_like(&momentum_name(name), name, values)
    }

    fn buffer(&mut self, tensor: &Tensor) -> Result<Value<f32>> {
        self.kept(&tensor.name).cloned()
    }

    fn set_buffer(&mut self, name: &str, values: Value<f32>) -> Result<()> {
        let expected = self.kept(name)?;
        if expected.len() != values.len() {
            return Err(Error::Shape {
                op: "buffer",
                name: name.into(),
                message: format!("has {} values, got {}", expected.len(), values.len()),
            });
        }
        self.store.set(name, values);
        Ok(())
    }
}

//! The engine trait: runs tapes for the trainer, on a GPU or with the reference executor.

use std::any::Any;
use std::path::Path;

use crate::data::{BatchSink, ImageSet, images_name, labels_name};
use crate::error::{Error, Result};
use crate::gpu::{Profile, Readback, Session, Store, TuneEvent, Tuning};
use crate::graph::{Stage, Tape};
use crate::kernel::Choices;
use crate::plan::{Forecast, Memory};
use crate::tensor::{Tensor, TensorId, Values};
use crate::twin::Value;

/// A tape that an engine has compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProgramId(usize);

impl ProgramId {
    /// The program with this number. An engine chooses the numbers of its programs.
    pub fn new(number: usize) -> Self {
        ProgramId(number)
    }

    /// The program's number.
    pub fn number(self) -> usize {
        self.0
    }
}

/// Runs tapes over one parameter store.
///
/// A custom engine implements it. Methods without a default are those that a trainer requires. An engine is used by
/// hand as follows:
///
/// ```
/// use tilegrad::graph::{Purpose, Spec, Stage, Tape, Values};
/// use tilegrad::nn::{Linear, Module};
/// use tilegrad::train::{CpuEngine, Engine};
///
/// let mut tape = Tape::new(Purpose::Evaluate);
/// let x = tape.input("x", Spec::f32([1, 2]))?;
/// let y = Linear::new(2, 1).bias(false).apply(&mut tape, "fc", x)?;
/// tape.keep(y);
/// let mut engine = CpuEngine::new();
/// engine.initialise(&tape, 1)?;
/// engine.set_parameter("fc.weight", &[3.0, 4.0])?;
/// let program = engine.compile(tape)?;
/// engine.write(program, "x", Values::F32(&[10.0, 1.0]))?;
/// engine.run(program, &[Stage::Forward])?;
/// assert_eq!(engine.read(program, y)?, [34.0]);
/// # Ok::<(), tilegrad::Error>(())
/// ```
pub trait Engine: Any + Send {
    /// The device's name.
    fn name(&self) -> String;

    /// Bytes of the device's own memory, if known.
    fn device_memory(&self) -> Option<u64> {
        None
    }

    /// Creates the parameter store for the parameters and groups of `tape`, with initial values drawn under `seed`.
    fn initialise(&mut self, tape: &Tape, seed: u64) -> Result<()>;

    /// Compiles a tape.
    fn compile(&mut self, tape: Tape) -> Result<ProgramId>;

    /// The tape of a program.
    fn tape(&self, program: ProgramId) -> &Tape;

    /// The memory that a program plans for; `None` if memory is not planned.
    fn memory(&self, program: ProgramId) -> Option<Memory>;

    /// Keeps a data set of images and their labels under `name`, for all programs.
    fn set_resident(&mut self, name: &str, images: &ImageSet) -> Result<()>;

    /// Writes an input of a program, with values in PyTorch's order. It takes effect in the next run.
    fn write(&mut self, program: ProgramId, name: &str, values: Values<'_>) -> Result<()>;

    /// Writes like [`Engine::write`], for large data that is new in each step, while the step before may still run.
    fn upload(&mut self, program: ProgramId, name: &str, values: Values<'_>) -> Result<()> {
        self.write(program, name, values)
    }

    /// Runs stages of a program.
    fn run(&mut self, program: ProgramId, stages: &[Stage]) -> Result<()>;

    /// Times every dispatch of a program `repeats` times, and measures the device's peak rates. `None` for an engine
    /// without dispatches.
    ///
    /// The program runs more than `repeats` times on the inputs last written, so parameters and states change.
    fn profile(&mut self, program: ProgramId, repeats: usize) -> Result<Option<Profile>> {
        let _ = (program, repeats);
        Ok(None)
    }

    /// Waits until all submitted work has run.
    fn wait(&mut self) -> Result<()>;

    /// Reads a tensor that the tape keeps.
    fn read(&mut self, program: ProgramId, id: TensorId) -> Result<Vec<f32>>;

    /// Reads a state.
    fn state(&mut self, name: &str) -> Result<Vec<f32>>;

    /// Requests a state as of the runs so far. The values may arrive later, while more runs are in progress.
    fn request_state(&mut self, name: &str) -> Result<Box<dyn Reading>> {
        Ok(Box::new(Here(Some(self.state(name)?))))
    }

    /// Sets a state to zeros.
    fn clear_state(&mut self, name: &str) -> Result<()>;

    /// Sets a state to the exact bits that [`Engine::state`] returned. Also works before any program has created it.
    fn set_state(&mut self, name: &str, values: &[f32]) -> Result<()>;

    /// Reads a parameter in PyTorch's order.
    fn parameter(&mut self, name: &str) -> Result<Vec<f32>>;

    /// Sets a parameter.
    fn set_parameter(&mut self, name: &str, values: &[f32]) -> Result<()>;

    /// Reads the optimizer's state `buffer` for a parameter, such as "momentum_buffer", in PyTorch's order. Zeros
    /// before the first update that creates it.
    fn optimizer_buffer(&mut self, parameter: &str, buffer: &str) -> Result<Vec<f32>>;

    /// Sets the optimizer's state `buffer` for a parameter.
    fn set_optimizer_buffer(&mut self, parameter: &str, buffer: &str, values: &[f32]) -> Result<()>;

    /// Reads a model's buffer.
    fn buffer(&mut self, tensor: &Tensor) -> Result<Value<f32>>;

    /// Sets a model's buffer.
    fn set_buffer(&mut self, name: &str, values: Value<f32>) -> Result<()>;

    /// The candidates chosen in all programs so far; `None` for an engine without candidates.
    fn taken(&self) -> Option<Choices> {
        None
    }

    /// Plans a program of `tape` and returns its requirements, with an estimate of its time if `timed`. The estimate
    /// measures the device. `None` if the engine plans nothing. Nothing is compiled or run. [`Error::Limit`] names a
    /// tensor or dispatch that is too large for the device.
    fn forecast(&mut self, tape: &Tape, timed: bool) -> Result<Option<Forecast>> {
        let _ = (tape, timed);
        Ok(None)
    }

    /// Uses these choices for later programs.
    fn take(&mut self, choices: Choices) {
        let _ = choices;
    }

    /// Opens a lost device again, without store and programs. Returns true if there is a new one.
    fn renew(&mut self) -> Result<bool> {
        Ok(false)
    }

    /// Measures the fastest candidates for these tapes and uses them for later programs. Each tape comes with the same
    /// one for a smaller batch, if there is one. `None` for an engine without candidates.
    fn tune(
        &mut self,
        tapes: &[(Tape, Option<Tape>)],
        observe: &mut dyn FnMut(TuneEvent<'_>),
    ) -> Result<Option<Tuning>> {
        let _ = (tapes, observe);
        Ok(None)
    }

    /// Uses the choices of a file written by [`Choices::to_json`] for later programs. Returns the number of them that
    /// match the first tape's shapes. A choice that can't be used is an error, here or when a program is compiled.
    fn pin(&mut self, file: &Path, tapes: &[Tape]) -> Result<usize> {
        let _ = tapes;
        let message = format!("{} has no choice of kernels to repeat; leave it out, or name a GPU", self.name());
        Err(Error::data(file, message))
    }
}

impl<E: Engine> From<E> for Box<dyn Engine> {
    fn from(engine: E) -> Self {
        Box::new(engine)
    }
}

/// Values in transit to the host.
pub trait Reading: Send {
    /// Returns the values if they have arrived. They are returned once.
    fn poll(&mut self) -> Result<Option<Vec<f32>>>;

    /// Returns the values. Waits for the runs that compute them, but for no later ones.
    fn wait(&mut self) -> Result<Vec<f32>>;
}

/// Values that have already arrived.
struct Here(Option<Vec<f32>>);

impl Reading for Here {
    fn poll(&mut self) -> Result<Option<Vec<f32>>> {
        Ok(self.0.take())
    }

    fn wait(&mut self) -> Result<Vec<f32>> {
        self.0.take().ok_or_else(|| Error::config("reading", "was given before"))
    }
}

impl Reading for Readback {
    fn poll(&mut self) -> Result<Option<Vec<f32>>> {
        Ok(Readback::poll(self)?.map(|bytes| bytemuck::pod_collect_to_vec(&bytes)))
    }

    fn wait(&mut self) -> Result<Vec<f32>> {
        Ok(bytemuck::pod_collect_to_vec(&Readback::wait(self)?))
    }
}

/// The destination of a source's data: the next step of a program, or storage on the device.
pub struct Sink<'a> {
    engine: &'a mut dyn Engine,
    program: Option<ProgramId>,
}

impl<'a> Sink<'a> {
    /// The sink for data that stays on the device.
    pub fn resident(engine: &'a mut dyn Engine) -> Self {
        Sink { engine, program: None }
    }

    /// The sink for the next step of `program`.
    pub fn step(engine: &'a mut dyn Engine, program: ProgramId) -> Self {
        Sink { engine, program: Some(program) }
    }
}

impl BatchSink for Sink<'_> {
    fn tape(&self) -> Option<&Tape> {
        self.program.map(|program| self.engine.tape(program))
    }

    fn set_resident(&mut self, name: &str, images: &ImageSet) -> Result<()> {
        self.engine.set_resident(name, images)
    }

    fn write(&mut self, name: &str, values: Values<'_>) -> Result<()> {
        let Some(program) = self.program else {
            return Err(Error::name(name, "inputs are written to a program, and none was named"));
        };
        match values {
            Values::F32(_) => self.engine.upload(program, name, values),
            _ => self.engine.write(program, name, values),
        }
    }
}

/// In a custom loop, a session takes batches as an engine's program does.
impl BatchSink for Session {
    fn tape(&self) -> Option<&Tape> {
        Some(&self.plan().tape)
    }

    fn set_resident(&mut self, name: &str, images: &ImageSet) -> Result<()> {
        set_resident(self.store(), name, images)
    }

    fn write(&mut self, name: &str, values: Values<'_>) -> Result<()> {
        match values {
            Values::F32(_) => self.upload(name, values),
            _ => Session::write(self, name, values),
        }
    }
}

/// Copies images and labels to a store on the GPU.
pub(super) fn set_resident(store: &Store, name: &str, images: &ImageSet) -> Result<()> {
    store.set_resident(&images_name(name), images.len(), &images.images)?;
    store.set_resident(&labels_name(name), images.len(), bytemuck::cast_slice(&images.labels))
}

//! What runs tapes for the trainer: a GPU, or the reference executor where there is none.

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

/// A tape that an engine has made ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProgramId(usize);

impl ProgramId {
    /// The program with this number; an engine numbers its programs as it likes.
    pub fn new(number: usize) -> Self {
        ProgramId(number)
    }

    /// Its number.
    pub fn number(self) -> usize {
        self.0
    }
}

/// Something that runs tapes over one store of parameters.
///
/// A program may have one of its own. What has no default is what a trainer cannot do without. By hand an engine is used so:
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

    /// The bytes of memory that the device has for itself, where it says.
    fn device_memory(&self) -> Option<u64> {
        None
    }

    /// Makes the parameter store for the parameters and groups of `tape`, with their first values under `seed`.
    fn initialise(&mut self, tape: &Tape, seed: u64) -> Result<()>;

    /// Makes a tape ready to run.
    fn compile(&mut self, tape: Tape) -> Result<ProgramId>;

    /// The tape of a program.
    fn tape(&self, program: ProgramId) -> &Tape;

    /// The memory that a program plans for; `None` where memory is not planned.
    fn memory(&self, program: ProgramId) -> Option<Memory>;

    /// Keeps a data set of images and their labels under `name`, for every program.
    fn set_resident(&mut self, name: &str, images: &ImageSet) -> Result<()>;

    /// Writes an input of a program, values in PyTorch's order; the next run sees them.
    fn write(&mut self, program: ProgramId, name: &str, values: Values<'_>) -> Result<()>;

    /// [`Engine::write`] of what is large and new in each step, while the step before may still run.
    fn upload(&mut self, program: ProgramId, name: &str, values: Values<'_>) -> Result<()> {
        self.write(program, name, values)
    }

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

    /// Asks for a state as it is after what has been run so far; it may come later, while more runs.
    fn request_state(&mut self, name: &str) -> Result<Box<dyn Reading>> {
        Ok(Box::new(Here(Some(self.state(name)?))))
    }

    /// Sets a state to zeros.
    fn clear_state(&mut self, name: &str) -> Result<()>;

    /// Sets a state, which [`Engine::state`] gave, to the same bits; one that no program has made yet too.
    fn set_state(&mut self, name: &str, values: &[f32]) -> Result<()>;

    /// A parameter in PyTorch's order.
    fn parameter(&mut self, name: &str) -> Result<Vec<f32>>;

    /// Sets a parameter.
    fn set_parameter(&mut self, name: &str, values: &[f32]) -> Result<()>;

    /// What the optimizer keeps for a parameter under `buffer`, such as "momentum_buffer", in PyTorch's order; zeros before the
    /// first update that makes it.
    fn optimizer_buffer(&mut self, parameter: &str, buffer: &str) -> Result<Vec<f32>>;

    /// Sets what the optimizer keeps for a parameter under `buffer`.
    fn set_optimizer_buffer(&mut self, parameter: &str, buffer: &str, values: &[f32]) -> Result<()>;

    /// The values of a model's buffer.
    fn buffer(&mut self, tensor: &Tensor) -> Result<Value<f32>>;

    /// Sets a model's buffer.
    fn set_buffer(&mut self, name: &str, values: Value<f32>) -> Result<()>;

    /// Which kernel was taken wherever there was a choice, in all programs so far; `None` where there is none.
    fn taken(&self) -> Option<Choices> {
        None
    }

    /// What a program of `tape` would need, with an estimate of its time if `timed`, for which the device is measured; `None`
    /// where nothing is planned. Nothing is made or run. [`Error::Limit`] names what is too large for the device.
    fn forecast(&mut self, tape: &Tape, timed: bool) -> Result<Option<Forecast>> {
        let _ = (tape, timed);
        Ok(None)
    }

    /// Takes these choices for programs from now on.
    fn take(&mut self, choices: Choices) {
        let _ = choices;
    }

    /// Opens a device that was lost anew, without store and programs, and says whether there is one.
    fn renew(&mut self) -> Result<bool> {
        Ok(false)
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

impl<E: Engine> From<E> for Box<dyn Engine> {
    fn from(engine: E) -> Self {
        Box::new(engine)
    }
}

/// Numbers on their way to the host.
pub trait Reading: Send {
    /// The numbers if they are there; they are given once.
    fn poll(&mut self) -> Result<Option<Vec<f32>>>;

    /// The numbers, waiting for what makes them where they are not there yet, but for nothing later.
    fn wait(&mut self) -> Result<Vec<f32>>;
}

/// Numbers that are there.
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

/// Where a source brings its data: to the next step of a program, or to the device to stay there.
pub struct Sink<'a> {
    engine: &'a mut dyn Engine,
    program: Option<ProgramId>,
}

impl<'a> Sink<'a> {
    /// What stays on the device.
    pub fn resident(engine: &'a mut dyn Engine) -> Self {
        Sink { engine, program: None }
    }

    /// The next step of `program`.
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

/// A session of a loop of one's own takes batches as a program of an engine does.
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

/// Brings images and labels to a store on the GPU.
pub(super) fn set_resident(store: &Store, name: &str, images: &ImageSet) -> Result<()> {
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

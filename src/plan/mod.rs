//! From a tape to a plan: which nodes run, in which order, on which memory, by which dispatches.
//!
//! A plan is plain data and holds nothing of a device, so it can be printed, compared and kept when a device is lost. It is
//! made in passes, each with a file of its own: [`fuse`] joins nodes, `lower` takes a candidate for each and makes its
//! dispatches, `live` finds out when each tensor is alive, `assign` gives slots to what is never alive together, `place`
//! says where each tensor lies, `bind` puts places into dispatches, `cuts` says where a step may be submitted in parts, and
//! `overlap` which dispatches need not wait for one another.

mod assign;
mod bind;
mod cuts;
mod flat;
mod forecast;
pub mod fuse;
mod live;
mod lower;
mod overlap;
mod place;
mod print;

pub use assign::{Interval, assign_slots};
pub(crate) use cuts::default_bound;
pub use cuts::{Cut, DeviceRates, Part, Reason};
pub use flat::{ParameterLayout, Placement};
pub use forecast::Forecast;
pub use lower::{Chosen, candidates};
pub use overlap::{Uses, barriers};
pub use print::Memory;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::error::Result;
use crate::graph::{Stage, Tape};
use crate::kernel::{Caps, Choices, DeviceClass, Extent, FlatBuffer, Kernel, Serial};
use crate::shape::Shape;
use crate::tensor::TensorId;

/// Which buffer; a plan names them, a session has them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Buffer {
    /// Memory that tensors which are never alive together share.
    Slot(usize),
    /// Written by the host before a step.
    Input(String),
    /// One piece of a flat buffer of a parameter group.
    Flat {
        /// Which buffer.
        buffer: FlatBuffer,
        /// Of which group.
        group: usize,
        /// Which piece.
        piece: usize,
    },
    /// Kept between steps, shared by name.
    State(String),
    /// One piece of a data set, shared by name.
    Resident {
        /// The data set.
        name: String,
        /// Which piece.
        piece: usize,
    },
    /// A number that never changes, by its bits.
    Constant(u32),
}

/// A part of a buffer.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Which buffer.
    pub buffer: Buffer,
    /// The first byte.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// One dispatch with its memory.
#[derive(Clone, Debug)]
pub struct Step {
    /// The node that it belongs to.
    pub node: String,
    /// The node's operation.
    pub operation: &'static str,
    /// When it runs.
    pub stage: Stage,
    /// What runs.
    pub kernel: Kernel,
    /// The names of the kernel's variables and what is bound to them.
    pub bindings: Vec<(&'static str, Span)>,
    /// The uniform `params`.
    pub params: Vec<u8>,
    /// How much runs.
    pub extent: Extent,
    /// How long one invocation works, where the operation says it.
    pub serial: Option<Serial>,
    /// The shape of the node's first output; `None` where it only changes tensors in place.
    pub output: Option<Shape>,
    /// The products that are added up: the node's, on those of its dispatches that say they are products.
    pub multiply_adds: u64,
    /// The multiply-adds that are executed, those beyond the edges of tiles left out: as many as needed, more where zeros are
    /// multiplied, fewer by a fast algorithm.
    pub executed: u64,
}

impl Step {
    /// The bytes that it reads and writes if it touches everything that it binds once; without data sets, of which a
    /// batch is but a part.
    pub fn bytes(&self) -> u64 {
        let counts = |span: &&Span| !matches!(span.buffer, Buffer::Resident { .. });
        self.bindings.iter().map(|(_, span)| span).filter(counts).map(|span| span.bytes).sum()
    }
}

/// A tape ready to run on a device with these limits.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The nodes that run, joined by the rules of [`fuse`]: the given tape's tensors, and those of its nodes that matter.
    pub tape: Arc<Tape>,
    /// Where the parameters lie.
    pub layout: Arc<ParameterLayout>,
    /// The dispatches in order.
    pub steps: Vec<Step>,
    /// The bytes of each slot.
    pub slots: Vec<u64>,
    /// The tensors that have a slot, with the nodes between which they are alive.
    pub intervals: Vec<(TensorId, Interval, usize)>,
    /// The nodes that several kernels can compute, and which do.
    pub chosen: Vec<Chosen>,
    /// The rewrite rules that were left out.
    without_rules: BTreeSet<String>,
    /// The memory of each tensor that has any, piece by piece.
    places: HashMap<TensorId, Vec<Span>>,
    /// The bytes of all activations, had each memory of its own.
    unshared: u64,
    /// Activations, their gradients and work that are alive when most is.
    fullest: [u64; 3],
    /// Where it is cut, if a bound was given.
    bounded: Option<cuts::Bounded>,
    /// Whether sessions put dispatches side by side.
    overlaps: bool,
}

impl Plan {
    /// Plans `tape` for a device, in parts that its class is sure to do before a watchdog ends them.
    pub fn new(tape: Arc<Tape>, layout: Arc<ParameterLayout>, caps: &Caps, choices: &Choices) -> Result<Self> {
        let tape = Arc::new(fuse::fuse(&tape, &live::live_nodes(&tape), &choices.without_rules)?);
        let roots = live::roots(&tape);
        // Before memory is shared, since a node's own scratch memory is planned together with the tensors.
        let lowered = lower::lower(&tape, &roots, &layout, caps, choices)?;
        let lifetimes = live::Lifetimes::new(&tape, &roots, &lowered.nodes);
        // Before anything asks for a second piece of what has one slot.
        lifetimes.fit(&tape, caps.max_binding.min(caps.max_buffer))?;
        let (slots, slot_of) = assign_slots(&lifetimes.wanted);
        let places = place::place(&tape, &roots, &lifetimes, &slot_of, &layout, caps)?;
        let steps = bind::bind(&tape, lowered.nodes, &places, &layout, caps)?;
        let plan = Plan {
            steps,
            slots,
            intervals: places.intervals,
            chosen: lowered.chosen,
            without_rules: choices.without_rules.clone(),
            places: places.tensors,
            unshared: lifetimes.wanted.iter().map(|(_, bytes)| bytes).sum(),
            fullest: lifetimes.fullest(&tape),
            tape,
            layout,
            bounded: None,
            overlaps: caps.class != DeviceClass::Software,
        };
        Ok(plan.cut(default_bound(caps.class), DeviceRates::assumed(caps.class)))
    }

    /// What was taken wherever there was a choice: choices that make the same plan of the same tape.
    pub fn choices(&self) -> Choices {
        let by_shape = self.chosen.iter().map(|chosen| (chosen.key.clone(), chosen.taken.clone())).collect();
        Choices { by_shape, without_rules: self.without_rules.clone(), ..Choices::default() }
    }

    /// Where `id` lies, piece by piece; `None` if nothing that runs needs it.
    pub fn place(&self, id: TensorId) -> Option<&[Span]> {
        self.places.get(&id).map(Vec::as_slice)
    }

    /// The tensors that have memory.
    pub fn placed(&self) -> impl Iterator<Item = (TensorId, &[Span])> {
        self.places.iter().map(|(&id, spans)| (id, spans.as_slice()))
    }

    /// The kernels that the plan needs, each once.
    pub fn kernels(&self) -> Vec<&Kernel> {
        let mut kernels: Vec<&Kernel> = self.steps.iter().map(|step| &step.kernel).collect();
        kernels.sort_unstable();
        kernels.dedup();
        kernels
    }
}

//! Planning: from a tape to the nodes that run, their order, their memory and their dispatches.
//!
//! A plan is plain data without device objects, so it can be printed, compared, and kept when a device is lost. It is
//! created in passes, one file each. [`fuse`] fuses nodes, `lower` takes a candidate for each and creates its
//! dispatches, `live` determines the live intervals, `assign` assigns slots to tensors that are never alive together,
//! `place` determines the memory of each tensor, `bind` resolves the operands of dispatches, `cuts` cuts a step into
//! parts, and `overlap` finds dispatches that need not wait for one another.

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

/// A buffer, by name. Plans name buffers, and sessions own them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Buffer {
    /// Memory shared by tensors that are never alive together.
    Slot(usize),
    /// An input, written by the host before a step.
    Input(String),
    /// A piece of a flat buffer of a parameter group.
    Flat {
        /// The kind of flat buffer.
        buffer: FlatBuffer,
        /// Index of the parameter group.
        group: usize,
        /// Index of the piece.
        piece: usize,
    },
    /// A state, kept between steps and shared by name.
    State(String),
    /// A piece of a data set, shared by name.
    Resident {
        /// Name of the data set.
        name: String,
        /// Index of the piece.
        piece: usize,
    },
    /// A constant, by its bits.
    Constant(u32),
}

/// A range of a buffer.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The buffer.
    pub buffer: Buffer,
    /// Offset in bytes.
    pub offset: u64,
    /// Size in bytes.
    pub bytes: u64,
}

/// One dispatch with its memory.
#[derive(Clone, Debug)]
pub struct Step {
    /// Name of the node that it belongs to.
    pub node: String,
    /// The node's operation.
    pub operation: &'static str,
    /// The stage in which it runs.
    pub stage: Stage,
    /// The kernel to run.
    pub kernel: Kernel,
    /// Names of the kernel's variables, with the memory bound to them.
    pub bindings: Vec<(&'static str, Span)>,
    /// The uniform `params`.
    pub params: Vec<u8>,
    /// Size of the dispatch.
    pub extent: Extent,
    /// Sequential length of one invocation, if the operation states it.
    pub serial: Option<Serial>,
    /// Shape of the node's first output; `None` if it only updates tensors in place.
    pub output: Option<Shape>,
    /// Number of multiply-adds of the node, attributed to those of its dispatches that are products.
    pub multiply_adds: u64,
    /// Number of multiply-adds executed, without those beyond the edges of tiles: as many as needed, more if zeros are
    /// multiplied, fewer by a fast algorithm.
    pub executed: u64,
}

impl Step {
    /// Bytes read and written, if it touches everything that it binds once; without data sets, of which a batch uses
    /// only a part.
    pub fn bytes(&self) -> u64 {
        let counts = |span: &&Span| !matches!(span.buffer, Buffer::Resident { .. });
        self.bindings.iter().map(|(_, span)| span).filter(counts).map(|span| span.bytes).sum()
    }
}

/// A tape ready to run on a device with these limits.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The nodes that run, fused by the rules of [`fuse`]: the given tape's tensors, and the nodes that are needed.
    pub tape: Arc<Tape>,
    /// Memory layout of the parameters.
    pub layout: Arc<ParameterLayout>,
    /// The dispatches in order.
    pub steps: Vec<Step>,
    /// Sizes of the slots in bytes.
    pub slots: Vec<u64>,
    /// Tensors with a slot: the tensor, its live interval and its slot.
    pub intervals: Vec<(TensorId, Interval, usize)>,
    /// Nodes with several candidates, and the ones taken.
    pub chosen: Vec<Chosen>,
    /// Disabled rewrite rules.
    without_rules: BTreeSet<String>,
    /// Memory of each tensor that has any, piece by piece.
    places: HashMap<TensorId, Vec<Span>>,
    /// Bytes of all activations, if each had separate memory.
    unshared: u64,
    /// Bytes of activations, their gradients and workspaces at the peak.
    fullest: [u64; 3],
    /// The cuts, if a bound was given.
    bounded: Option<cuts::Bounded>,
    /// True if sessions overlap dispatches.
    overlaps: bool,
}

impl Plan {
    /// Plans `tape` for a device, in parts that a device of its class finishes well before a watchdog resets it.
    pub fn new(tape: Arc<Tape>, layout: Arc<ParameterLayout>, caps: &Caps, choices: &Choices) -> Result<Self> {
        let tape = Arc::new(fuse::fuse(&tape, &live::live_nodes(&tape), &choices.without_rules)?);
        let roots = live::roots(&tape);
        // Before slots are assigned, since a node's workspaces are planned together with the tensors.
        let lowered = lower::lower(&tape, &roots, &layout, caps, choices)?;
        let lifetimes = live::Lifetimes::new(&tape, &roots, &lowered.nodes);
        // Before any request for a second piece of a tensor with one slot.
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

    /// The candidates taken for all nodes with several. As choices, they give the same plan for the same tape.
    pub fn choices(&self) -> Choices {
        let by_shape = self.chosen.iter().map(|chosen| (chosen.key.clone(), chosen.taken.clone())).collect();
        Choices { by_shape, without_rules: self.without_rules.clone(), ..Choices::default() }
    }

    /// Memory of `id`, piece by piece; `None` if nothing that runs needs it.
    pub fn place(&self, id: TensorId) -> Option<&[Span]> {
        self.places.get(&id).map(Vec::as_slice)
    }

    /// Tensors that have memory.
    pub fn placed(&self) -> impl Iterator<Item = (TensorId, &[Span])> {
        self.places.iter().map(|(&id, spans)| (id, spans.as_slice()))
    }

    /// The distinct kernels of the plan.
    pub fn kernels(&self) -> Vec<&Kernel> {
        let mut kernels: Vec<&Kernel> = self.steps.iter().map(|step| &step.kernel).collect();
        kernels.sort_unstable();
        kernels.dedup();
        kernels
    }
}

//! From a tape to a plan: which nodes run, in which order, on which memory, by which dispatches.
//!
//! A plan is plain data and holds nothing of a device, so it can be printed, compared and kept when a device is lost.

mod flat;
mod forecast;
pub mod fuse;
mod lifetime;
mod print;

pub use flat::{ParameterLayout, Placement};
pub use forecast::Forecast;
pub use lifetime::{Interval, assign_slots};
pub use print::Memory;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::graph::{Stage, Tape};
use crate::kernel::{Caps, Choices, Chosen, Dispatch, Extent, FlatBuffer, Kernel, Lowering, Operand, Pieces, Serial};
use crate::shape::Shape;
use crate::tensor::{Role, Tensor, TensorId};

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
}

impl Plan {
    /// Plans `tape` for a device.
    pub fn new(tape: Arc<Tape>, layout: Arc<ParameterLayout>, caps: &Caps, choices: &Choices) -> Result<Self> {
        let tape = Arc::new(fuse::fuse(&tape, &live_nodes(&tape), &choices.without_rules)?);
        let root = views(&tape);
        let limit = caps.max_binding.min(caps.max_buffer);

        // Lower first, since a node's own scratch memory is planned together with the tensors.
        let flat = |group: usize| layout.pieces(group).to_vec();
        let mut lowered: Vec<(usize, Vec<Dispatch>, Vec<u64>)> = Vec::new();
        let mut chosen = Vec::new();
        for (i, node) in tape.nodes().iter().enumerate() {
            let is_view = node.outputs.first().is_some_and(|id| root[id.0] != *id) && !node.op.is_in_place();
            if is_view {
                continue;
            }
            let mut lowering = Lowering::new(&tape, node, caps, choices, &flat);
            node.op.lower(&mut lowering)?;
            chosen.extend(lowering.chosen());
            lowered.push((i, lowering.dispatches, lowering.scratch));
        }

        // Who is alive when: (tensor or scratch, interval, bytes).
        let mut owners: Vec<Owner> = Vec::new();
        let mut wanted: Vec<(Interval, u64)> = Vec::new();
        let last = tape.nodes().len();
        let mut intervals: HashMap<TensorId, Interval> = HashMap::new();
        for (i, node) in tape.nodes().iter().enumerate() {
            for id in node.inputs.iter().chain(&node.outputs).map(|id| root[id.0]) {
                let interval = intervals.entry(id).or_insert(Interval { first: i, last: i });
                interval.last = i;
            }
        }
        for id in tape.kept() {
            if let Some(interval) = intervals.get_mut(&root[id.0]) {
                interval.last = last;
            }
        }
        let mut ids: Vec<TensorId> = intervals.keys().copied().collect();
        ids.sort_unstable();
        for id in ids.into_iter().filter(|&id| tape.tensor(id).role == Role::Activation) {
            owners.push(Owner::Tensor(id));
            wanted.push((intervals[&id], tape.tensor(id).bytes().next_multiple_of(4)));
        }
        for (i, _, scratch) in &lowered {
            for (number, &bytes) in scratch.iter().enumerate() {
                owners.push(Owner::Scratch(*i, number));
                wanted.push((Interval { first: *i, last: *i }, bytes));
            }
        }
        // Before anything asks for a second piece of what has one slot.
        if let Some((owner, (_, bytes))) = owners.iter().zip(&wanted).find(|(_, (_, bytes))| *bytes > limit) {
            return Err(match *owner {
                Owner::Tensor(id) => too_large(tape.tensor(id), limit),
                Owner::Scratch(node, _) => Error::Limit {
                    what: format!("the work of \"{}\"", tape.nodes()[node].name),
                    needed: format!("{bytes} bytes"),
                    allowed: format!("{limit} bytes in one binding"),
                    hint: "use a smaller batch or layer".into(),
                },
            });
        }
        let (slots, slot_of) = assign_slots(&wanted);

        let mut places: HashMap<TensorId, Vec<Span>> = HashMap::new();
        let mut scratch_places: HashMap<(usize, usize), Span> = HashMap::new();
        let mut slot_intervals = Vec::new();
        for ((owner, (interval, bytes)), &slot) in owners.iter().zip(&wanted).zip(&slot_of) {
            let span = Span { buffer: Buffer::Slot(slot), offset: 0, bytes: *bytes };
            match *owner {
                Owner::Tensor(id) => {
                    slot_intervals.push((id, *interval, slot));
                    places.insert(id, vec![span]);
                }
                Owner::Scratch(node, number) => {
                    scratch_places.insert((node, number), span);
                }
            }
        }
        for &id in intervals.keys().filter(|&&id| tape.tensor(id).role != Role::Activation) {
            places.insert(id, kept_place(&tape, id, &layout, caps)?);
        }
        for node in tape.nodes() {
            for &id in &node.updates {
                places.insert(id, kept_place(&tape, id, &layout, caps)?);
            }
        }
        for id in (0..tape.tensors().len()).map(TensorId) {
            if root[id.0] != id
                && let Some(spans) = places.get(&root[id.0])
            {
                places.insert(id, spans.clone());
            }
        }

        let mut steps = Vec::new();
        for (i, dispatches, _) in lowered {
            let node = &tape.nodes()[i];
            let resolve = |operand: Operand| match operand {
                Operand::Tensor { id, piece } => places[&id][piece].clone(),
                Operand::Scratch(number) => scratch_places[&(i, number)].clone(),
                Operand::Flat { buffer, group, piece } => Span {
                    buffer: Buffer::Flat { buffer, group, piece },
                    offset: 0,
                    bytes: layout.pieces(group)[piece],
                },
            };
            let operands: Vec<Operand> = dispatches.iter().flat_map(|d| d.bindings.iter().map(|b| b.operand)).collect();
            // An operation that knows only whole tensors must not silently see the first piece of one. Those over flat
            // buffers know their pieces.
            let flat = operands.iter().any(|operand| matches!(operand, Operand::Flat { .. }));
            for &id in node.inputs.iter().chain(&node.outputs) {
                let pieces = places[&id].len();
                let all = (0..pieces).all(|piece| operands.contains(&Operand::Tensor { id, piece }));
                if pieces > 1 && !flat && !all {
                    return Err(too_large(tape.tensor(id), limit));
                }
            }
            let inputs: Vec<&Tensor> = node.inputs.iter().map(|&id| tape.tensor(id)).collect();
            let shares = shares(node.op.multiply_adds(&inputs), &dispatches);
            for (dispatch, multiply_adds) in dispatches.into_iter().zip(shares) {
                steps.push(Step {
                    node: node.name.clone(),
                    operation: node.op.name(),
                    stage: node.stage,
                    kernel: dispatch.kernel,
                    bindings: dispatch
                        .bindings
                        .iter()
                        .map(|binding| (binding.name, resolve(binding.operand)))
                        .collect(),
                    params: dispatch.params,
                    extent: dispatch.extent,
                    serial: dispatch.serial,
                    output: node.outputs.first().map(|&id| tape.shape(id).clone()),
                    multiply_adds,
                });
            }
        }
        let unshared = wanted.iter().map(|(_, bytes)| bytes).sum();
        let fullest = fullest(&tape, &owners, &wanted);
        let without_rules = choices.without_rules.clone();
        Ok(Plan {
            tape,
            layout,
            steps,
            slots,
            intervals: slot_intervals,
            chosen,
            without_rules,
            places,
            unshared,
            fullest,
        })
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

/// How many of a node's `total` multiply-adds each of its dispatches has: those that say that they are products, by how much
/// runs of them and how long; what prepares them or adds up their parts has none. Where none says so it is those of the first kernel.
fn shares(total: u64, dispatches: &[Dispatch]) -> Vec<u64> {
    let places = |dispatch: &Dispatch| match dispatch.serial {
        Some(Serial::KPlaces(places)) => Some(places.max(1)),
        _ => None,
    };
    let said = dispatches.iter().any(|dispatch| places(dispatch).is_some());
    let weight = |dispatch: &Dispatch| {
        let places = if said { places(dispatch) } else { (dispatch.kernel == dispatches[0].kernel).then_some(1) };
        let (Extent::Invocations(count) | Extent::Workgroups(count)) = dispatch.extent;
        u128::from(count) * u128::from(places.unwrap_or(0))
    };
    let all = dispatches.iter().map(weight).sum::<u128>().max(1);
    let mut before = 0;
    let share = |dispatch: &Dispatch| {
        // By the difference of running totals, so that the shares add up to all of it.
        let from = u128::from(total) * before / all;
        before += weight(dispatch);
        (u128::from(total) * before / all - from) as u64
    };
    dispatches.iter().map(share).collect()
}

enum Owner {
    Tensor(TensorId),
    Scratch(usize, usize),
}

/// The bytes of activations, of their gradients and of work at the node at which most is alive.
fn fullest(tape: &Tape, owners: &[Owner], wanted: &[(Interval, u64)]) -> [u64; 3] {
    let backward = tape.nodes().iter().filter(|node| node.stage == Stage::Backward);
    let gradients: std::collections::HashSet<TensorId> = backward.flat_map(|node| node.outputs.clone()).collect();
    let kind = |owner: &Owner| match owner {
        Owner::Tensor(id) => usize::from(gradients.contains(id)),
        Owner::Scratch(..) => 2,
    };
    let mut alive = vec![[0; 3]; tape.nodes().len() + 1];
    for (owner, (interval, bytes)) in owners.iter().zip(wanted) {
        alive[interval.first..=interval.last].iter_mut().for_each(|of_kind| of_kind[kind(owner)] += bytes);
    }
    alive.into_iter().max_by_key(|of_kind| of_kind.iter().sum::<u64>()).unwrap_or_default()
}

/// The nodes that something depends on: a state, a parameter's gradient, or a tensor that is kept.
fn live_nodes(tape: &Tape) -> Vec<bool> {
    let mut needed = vec![false; tape.tensors().len()];
    for id in tape.kept() {
        needed[id.0] = true;
    }
    for (_, gradient) in tape.gradients() {
        needed[gradient.0] = true;
    }
    let mut live = vec![false; tape.nodes().len()];
    for (i, node) in tape.nodes().iter().enumerate().rev() {
        live[i] = !node.updates.is_empty() || node.outputs.iter().any(|id| needed[id.0]);
        if live[i] {
            node.inputs.iter().for_each(|id| needed[id.0] = true);
        }
    }
    live
}

/// For each tensor the one whose memory it is: itself, unless its node only looks at its input in another way, or changes it in
/// its place.
fn views(tape: &Tape) -> Vec<TensorId> {
    let mut root: Vec<TensorId> = (0..tape.tensors().len()).map(TensorId).collect();
    for node in tape.nodes() {
        let inputs: Vec<&Tensor> = node.inputs.iter().map(|&id| tape.tensor(id)).collect();
        // A parameter's gradient has a place of its own, where a view can't put it.
        if (node.op.is_view(&inputs) || node.op.is_in_place()) && tape.tensor(node.outputs[0]).role == Role::Activation
        {
            root[node.outputs[0].0] = root[node.inputs[0].0];
        }
    }
    root
}

/// Where a tensor lies that outlives the step.
fn kept_place(tape: &Tape, id: TensorId, layout: &ParameterLayout, caps: &Caps) -> Result<Vec<Span>> {
    let tensor = tape.tensor(id);
    let limit = caps.max_binding.min(caps.max_buffer);
    let whole = |buffer| {
        if tensor.bytes() > limit {
            return Err(too_large(tensor, limit));
        }
        Ok(vec![Span { buffer, offset: 0, bytes: tensor.bytes().next_multiple_of(4) }])
    };
    match tensor.role {
        Role::Parameter { .. } => layout.spans(FlatBuffer::Parameter, tensor),
        Role::Gradient { of } => layout.spans(FlatBuffer::Gradient, tape.tensor(of)),
        Role::Momentum { of } => layout.spans(FlatBuffer::Momentum, tape.tensor(of)),
        Role::Accumulated { of } => layout.spans(FlatBuffer::Accumulated, tape.tensor(of)),
        Role::Input => whole(Buffer::Input(tensor.name.clone())),
        Role::State | Role::Buffer { .. } => whole(Buffer::State(tensor.name.clone())),
        Role::Constant(value) => whole(Buffer::Constant(value.to_bits())),
        Role::Resident => {
            let pieces: Pieces = crate::kernel::tensor_pieces(tensor, caps)?;
            let rows = *pieces.bounds.last().expect("pieces have an end") as u64;
            let row_bytes = tensor.bytes() / rows.max(1);
            let span = |(piece, (_, count)): (usize, (usize, usize))| Span {
                buffer: Buffer::Resident { name: tensor.name.clone(), piece },
                offset: 0,
                bytes: (count as u64 * row_bytes).next_multiple_of(4),
            };
            Ok(pieces.rows().enumerate().map(span).collect())
        }
        Role::Activation => unreachable!("activations have slots"),
    }
}

fn too_large(tensor: &Tensor, limit: u64) -> Error {
    Error::Limit {
        what: format!("tensor \"{}\" {}", tensor.name, tensor.shape),
        needed: format!("{} bytes", tensor.bytes()),
        allowed: format!("{limit} bytes in one binding"),
        hint: "use a smaller batch or layer".into(),
    }
}

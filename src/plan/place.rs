//! The pass that determines the memory of each tensor.

use std::collections::HashMap;

use super::assign::Interval;
use super::flat::ParameterLayout;
use super::live::{Lifetimes, Owner};
use super::{Buffer, Span};
use crate::error::Result;
use crate::graph::Tape;
use crate::kernel::{Caps, FlatBuffer, tensor_pieces, too_large};
use crate::tensor::{Role, TensorId};

/// The memory of everything.
pub(super) struct Places {
    /// Memory of each tensor that has any, piece by piece.
    pub tensors: HashMap<TensorId, Vec<Span>>,
    /// Memory of each workspace of a node, by the node's index.
    pub scratch: HashMap<(usize, usize), Span>,
    /// Tensors with a slot: the tensor, its live interval and its slot.
    pub intervals: Vec<(TensorId, Interval, usize)>,
}

/// Places slot tensors in their slots, persistent tensors in separate buffers, and views in the memory of their roots.
pub(super) fn place(
    tape: &Tape,
    roots: &[TensorId],
    lifetimes: &Lifetimes,
    slot_of: &[usize],
    layout: &ParameterLayout,
    caps: &Caps,
) -> Result<Places> {
    let mut places = Places { tensors: HashMap::new(), scratch: HashMap::new(), intervals: Vec::new() };
    for ((owner, (interval, bytes)), &slot) in lifetimes.owners.iter().zip(&lifetimes.wanted).zip(slot_of) {
        let span = Span { buffer: Buffer::Slot(slot), offset: 0, bytes: *bytes };
        match *owner {
            Owner::Tensor(id) => {
                places.intervals.push((id, *interval, slot));
                places.tensors.insert(id, vec![span]);
            }
            Owner::Scratch(node, piece) => {
                places.scratch.insert((node, piece), span);
            }
        }
    }
    let read = lifetimes.used.iter().filter(|&&id| tape.tensor(id).role != Role::Activation);
    for &id in read.chain(tape.nodes().iter().flat_map(|node| &node.updates)) {
        places.tensors.insert(id, kept_place(tape, id, layout, caps)?);
    }
    for (id, &root) in roots.iter().enumerate() {
        if root.0 != id
            && let Some(spans) = places.tensors.get(&root)
        {
            places.tensors.insert(TensorId(id), spans.clone());
        }
    }
    Ok(places)
}

/// Memory of a tensor that outlives the step.
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
        Role::OptimizerBuffer { of, name } => layout.spans(FlatBuffer::Optimizer(name), tape.tensor(of)),
        Role::Accumulated { of } => layout.spans(FlatBuffer::Accumulated, tape.tensor(of)),
        Role::Input => whole(Buffer::Input(tensor.name.clone())),
        Role::State | Role::Buffer { .. } => whole(Buffer::State(tensor.name.clone())),
        Role::Constant(value) => whole(Buffer::Constant(value.to_bits())),
        Role::Resident => {
            let pieces = tensor_pieces(tensor, caps)?;
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

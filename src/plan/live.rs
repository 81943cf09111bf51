//! The passes that determine the nodes that run, the tensors that are views of others, and all live intervals.

use std::collections::{HashMap, HashSet};

use super::assign::Interval;
use super::lower::LoweredNode;
use crate::error::Result;
use crate::graph::{Stage, Tape};
use crate::kernel::{over_a_binding, too_large};
use crate::tensor::{Role, Tensor, TensorId};

/// The owner of memory during an interval.
pub(super) enum Owner {
    Tensor(TensorId),
    /// A workspace of a node, by the node's index on the tape and the workspace's own index.
    Scratch(usize, usize),
}

/// Live intervals of everything that has a slot.
pub(super) struct Lifetimes {
    /// Owners of memory.
    pub owners: Vec<Owner>,
    /// Intervals and sizes in bytes, in the order of `owners`.
    pub wanted: Vec<(Interval, u64)>,
    /// Tensors that a node reads or writes, including those that outlive the step.
    pub used: Vec<TensorId>,
}

impl Lifetimes {
    /// Determines the intervals of all activations and of the workspaces of `lowered` nodes.
    pub fn new(tape: &Tape, roots: &[TensorId], lowered: &[LoweredNode]) -> Self {
        let mut intervals: HashMap<TensorId, Interval> = HashMap::new();
        for (i, node) in tape.nodes().iter().enumerate() {
            for id in node.inputs.iter().chain(&node.outputs).map(|id| roots[id.0]) {
                let interval = intervals.entry(id).or_insert(Interval { first: i, last: i });
                interval.last = i;
            }
        }
        for id in tape.kept() {
            if let Some(interval) = intervals.get_mut(&roots[id.0]) {
                interval.last = tape.nodes().len();
            }
        }
        let mut used: Vec<TensorId> = intervals.keys().copied().collect();
        used.sort_unstable();
        let (mut owners, mut wanted) = (Vec::new(), Vec::new());
        for &id in used.iter().filter(|&&id| tape.tensor(id).role == Role::Activation) {
            owners.push(Owner::Tensor(id));
            wanted.push((intervals[&id], tape.tensor(id).bytes().next_multiple_of(4)));
        }
        for node in lowered {
            let interval = Interval { first: node.number, last: node.number };
            for (piece, &bytes) in node.scratch.iter().enumerate() {
                owners.push(Owner::Scratch(node.number, piece));
                wanted.push((interval, bytes));
            }
        }
        Lifetimes { owners, wanted, used }
    }

    /// Returns an error for anything larger than one binding of `limit` bytes.
    pub fn fit(&self, tape: &Tape, limit: u64) -> Result<()> {
        let too_long = self.owners.iter().zip(&self.wanted).find(|(_, (_, bytes))| *bytes > limit);
        let Some((owner, (_, bytes))) = too_long else { return Ok(()) };
        Err(match *owner {
            Owner::Tensor(id) => too_large(tape.tensor(id), limit),
            Owner::Scratch(node, _) => {
                over_a_binding(format!("the work of \"{}\"", tape.nodes()[node].name), *bytes, limit)
            }
        })
    }

    /// Bytes of activations, of their gradients and of workspaces at the node with the most memory in use.
    pub fn fullest(&self, tape: &Tape) -> [u64; 3] {
        let backward = tape.nodes().iter().filter(|node| node.stage == Stage::Backward);
        let gradients: HashSet<TensorId> = backward.flat_map(|node| node.outputs.clone()).collect();
        let kind = |owner: &Owner| match owner {
            Owner::Tensor(id) => usize::from(gradients.contains(id)),
            Owner::Scratch(..) => 2,
        };
        let mut alive = vec![[0; 3]; tape.nodes().len() + 1];
        for (owner, (interval, bytes)) in self.owners.iter().zip(&self.wanted) {
            alive[interval.first..=interval.last].iter_mut().for_each(|of_kind| of_kind[kind(owner)] += bytes);
        }
        alive.into_iter().max_by_key(|of_kind| of_kind.iter().sum::<u64>()).unwrap_or_default()
    }
}

/// Flags of the nodes that a state, a parameter's gradient or a kept tensor depends on.
pub(super) fn live_nodes(tape: &Tape) -> Vec<bool> {
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

/// For each tensor, the tensor whose memory it uses: itself, unless its node is a view of its input or updates it in
/// place.
pub(super) fn roots(tape: &Tape) -> Vec<TensorId> {
    let mut roots: Vec<TensorId> = (0..tape.tensors().len()).map(TensorId).collect();
    for node in tape.nodes() {
        let inputs: Vec<&Tensor> = node.inputs.iter().map(|&id| tape.tensor(id)).collect();
        // A parameter's gradient has its own place in a flat buffer, where a view cannot put it.
        if (node.op.is_view(&inputs) || node.op.is_in_place()) && tape.tensor(node.outputs[0]).role == Role::Activation
        {
            roots[node.outputs[0].0] = roots[node.inputs[0].0];
        }
    }
    roots
}

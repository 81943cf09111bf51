//! The passes that find out which nodes run, which tensors share memory because one is another, and when each is alive.

use std::collections::{HashMap, HashSet};

use super::assign::Interval;
use super::lower::LoweredNode;
use crate::error::Result;
use crate::graph::{Stage, Tape};
use crate::kernel::{over_a_binding, too_large};
use crate::tensor::{Role, Tensor, TensorId};

/// Who wants memory for an interval.
pub(super) enum Owner {
    Tensor(TensorId),
    /// A node, by its number on the tape, and which piece of its scratch memory.
    Scratch(usize, usize),
}

/// When everything that has a slot is alive.
pub(super) struct Lifetimes {
    /// Who wants memory.
    pub owners: Vec<Owner>,
    /// When, and how many bytes, in the order of `owners`.
    pub wanted: Vec<(Interval, u64)>,
    /// The tensors that a node reads or makes, those that outlive the step among them.
    pub used: Vec<TensorId>,
}

impl Lifetimes {
    /// Finds the intervals of all activations and of the scratch memory of `lowered` nodes.
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

    /// An error for what is larger than one binding of `limit` bytes.
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

    /// The bytes of activations, of their gradients and of work at the node at which most is alive.
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

/// The nodes that something depends on: a state, a parameter's gradient, or a tensor that is kept.
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

/// For each tensor the one whose memory it is: itself, unless its node only looks at its input in another way, or changes it in
/// its place.
pub(super) fn roots(tape: &Tape) -> Vec<TensorId> {
    let mut roots: Vec<TensorId> = (0..tape.tensors().len()).map(TensorId).collect();
    for node in tape.nodes() {
        let inputs: Vec<&Tensor> = node.inputs.iter().map(|&id| tape.tensor(id)).collect();
        // A parameter's gradient has a place of its own, where a view can't put it.
        if (node.op.is_view(&inputs) || node.op.is_in_place()) && tape.tensor(node.outputs[0]).role == Role::Activation
        {
            roots[node.outputs[0].0] = roots[node.inputs[0].0];
        }
    }
    roots
}

//! The pass that takes a candidate for each node and creates its dispatches.

use super::flat::ParameterLayout;
use crate::error::{Error, Result};
use crate::graph::{Node, Tape};
use crate::kernel::{Candidate, Caps, Choice, Choices, Dispatch, Key, Lowering, Tensors};
use crate::tensor::TensorId;

/// A node with several candidates, and the one taken.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The node.
    pub node: Node,
    /// Its key for choices.
    pub key: Key,
    /// Its candidates, the default first.
    pub candidates: Vec<Choice>,
    /// The candidate taken, one of `candidates`.
    pub taken: Choice,
}

impl Chosen {
    /// True if `choice` is one of the candidates, or the algorithm of one.
    pub fn offers(&self, choice: &Choice) -> bool {
        let offered =
            |candidate: &Choice| candidate == choice || (choice.tile.is_none() && candidate.name == choice.name);
        self.candidates.iter().any(offered)
    }
}

/// A node with its dispatches.
pub(super) struct LoweredNode {
    /// Index of the node on the tape.
    pub number: usize,
    pub dispatches: Vec<Dispatch>,
    /// Sizes in bytes of its workspaces.
    pub scratch: Vec<u64>,
}

/// All nodes that run, with their dispatches.
pub(super) struct Lowered {
    pub nodes: Vec<LoweredNode>,
    /// Nodes with more than one candidate.
    pub chosen: Vec<Chosen>,
}

/// All candidates of `node` of `tape` on this device, the default first.
pub fn candidates(tape: &Tape, node: &Node, caps: &Caps) -> Vec<Choice> {
    candidates_of(&tensors(tape, node), node, caps).iter().map(Candidate::choice).collect()
}

fn candidates_of<'a>(tensors: &Tensors<'_>, node: &'a Node, caps: &Caps) -> Vec<Candidate<'a>> {
    let mut candidates = node.op.candidates(tensors, caps);
    candidates.retain(|candidate| candidate.needs.are_met_by(caps));
    candidates
}

fn tensors<'a>(tape: &'a Tape, node: &Node) -> Tensors<'a> {
    let of = |ids: &[TensorId]| ids.iter().map(|&id| (id, tape.tensor(id))).collect();
    Tensors { inputs: of(&node.inputs), outputs: of(&node.outputs), updates: of(&node.updates) }
}

/// Lowers every node except views, which use the memory of their tensor in `roots`.
pub(super) fn lower(
    tape: &Tape,
    roots: &[TensorId],
    layout: &ParameterLayout,
    caps: &Caps,
    choices: &Choices,
) -> Result<Lowered> {
    let flat = |group: usize| layout.pieces(group).to_vec();
    let mut lowered = Lowered { nodes: Vec::new(), chosen: Vec::new() };
    for (number, node) in tape.nodes().iter().enumerate() {
        let is_view = node.outputs.first().is_some_and(|id| roots[id.0] != *id) && !node.op.is_in_place();
        if is_view {
            continue;
        }
        let tensors = tensors(tape, node);
        let candidates = candidates_of(&tensors, node, caps);
        let candidate = match candidates.as_slice() {
            [] => return Err(none_left(node, &tensors, caps)),
            [only] => only,
            several => {
                let (taken, chosen) = choose(node, &tensors, several, choices)?;
                lowered.chosen.push(chosen);
                &several[taken]
            }
        };
        let mut lowering = Lowering::new(&tensors, caps, &flat);
        candidate.lower(&mut lowering)?;
        if lowering.dispatches.is_empty() {
            // Otherwise its outputs would stay unwritten.
            return Err(fault(node, &format!("has a candidate \"{candidate}\" that pushes no dispatch")));
        }
        lowered.nodes.push(LoweredNode { number, dispatches: lowering.dispatches, scratch: lowering.scratch });
    }
    Ok(lowered)
}

/// Index of the chosen candidate, or of the first.
fn choose(
    node: &Node,
    tensors: &Tensors<'_>,
    candidates: &[Candidate<'_>],
    choices: &Choices,
) -> Result<(usize, Chosen)> {
    let Some(operation) = node.op.key() else {
        return Err(fault(node, "has several candidates, but no key() by which to choose among them"));
    };
    let key = Key::new(&operation, tensors.inputs.iter().map(|(_, tensor)| &tensor.shape));
    let candidates: Vec<Choice> = candidates.iter().map(Candidate::choice).collect();
    let number = choices.of(node.op.name(), &key).find_map(|choice| choice.among(&candidates)).unwrap_or_default();
    let taken = candidates[number].clone();
    Ok((number, Chosen { node: node.clone(), key, candidates, taken }))
}

/// The error for a node none of whose candidates the device can run.
fn none_left(node: &Node, tensors: &Tensors<'_>, caps: &Caps) -> Error {
    let needs =
        node.op.candidates(tensors, caps).into_iter().map(|candidate| format!("\"{candidate}\" {:?}", candidate.needs));
    let needs: Vec<String> = needs.collect();
    let needed = if needs.is_empty() { "a candidate, and it has none".into() } else { needs.join(" or ") };
    let what = format!("{} \"{}\"", node.op.name(), node.name);
    Error::limit(what, needed, format!("what {caps:?} has"), "run it on another device")
}

fn fault(node: &Node, message: &str) -> Error {
    Error::Validation(format!("{} \"{}\" {message}", node.op.name(), node.name))
}

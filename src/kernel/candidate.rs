//! Candidates for computing a node, in order of preference. A plan takes one.

use std::fmt;

use super::caps::Caps;
use super::choices::Choice;
use super::lowering::Lowering;
use crate::error::Result;

/// A correct way to compute a node with its attributes and shapes.
///
/// An algorithm with tiles has one candidate per tile; they share its name.
pub struct Candidate<'a> {
    /// Name of the algorithm: "direct", "workgroup", "winograd".
    pub name: &'static str,
    /// Workgroup tile of its product, for algorithms with tiles: "64x64x16".
    pub tile: Option<&'static str>,
    /// Requirements on the device.
    pub needs: Needs,
    lower: Box<Lower<'a>>,
}

/// Pushes the dispatches of a candidate.
type Lower<'a> = dyn Fn(&mut Lowering<'_>) -> Result<()> + 'a;

/// Requirements of a candidate on the device. The default needs only what WebGPU guarantees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Invocations per workgroup.
    pub invocations: u32,
    /// Bytes of workgroup memory.
    pub workgroup_memory: u32,
    /// Bytes of one storage binding.
    pub binding: u64,
    /// True if values are shuffled among exactly eight lanes ([`Caps::shuffles_eight_lanes`]).
    pub eight_lanes: bool,
}

impl Needs {
    /// True if the device meets all requirements.
    pub fn are_met_by(&self, caps: &Caps) -> bool {
        self.invocations <= caps.max_invocations
            && self.workgroup_memory <= caps.max_workgroup_memory
            && self.binding <= caps.max_binding
            && (!self.eight_lanes || caps.shuffles_eight_lanes())
    }
}

impl<'a> Candidate<'a> {
    /// Creates a candidate without requirements and without a tile. `lower` pushes its dispatches, at least one.
    pub fn new(name: &'static str, lower: impl Fn(&mut Lowering<'_>) -> Result<()> + 'a) -> Self {
        Candidate { name, tile: None, needs: Needs::default(), lower: Box::new(lower) }
    }

    /// The name by which it is chosen.
    pub fn choice(&self) -> Choice {
        Choice { name: self.name.into(), tile: self.tile.map(str::to_string) }
    }

    /// Sets its tile.
    pub fn tile(self, tile: &'static str) -> Self {
        Candidate { tile: Some(tile), ..self }
    }

    /// Sets its requirements on the device.
    pub fn needs(self, needs: Needs) -> Self {
        Candidate { needs, ..self }
    }

    /// Wraps the lowering in `around`, which gets it as an argument, for the work of a fused operation before and after
    /// it.
    pub(crate) fn wrapped(
        self,
        around: impl Fn(&mut Lowering<'_>, &dyn Fn(&mut Lowering<'_>) -> Result<()>) -> Result<()> + 'a,
    ) -> Self {
        let inner = self.lower;
        Candidate { lower: Box::new(move |lowering| around(lowering, &*inner)), ..self }
    }

    /// Pushes the dispatches that compute the node.
    pub(crate) fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        (self.lower)(lowering)
    }
}

impl fmt::Display for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.choice().fmt(f)
    }
}

impl fmt::Debug for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Candidate({self}, {:?})", self.needs)
    }
}

/// Creates the candidates of one algorithm for a node described by `Node`: none if it is not right for the node,
/// otherwise one per tile if it has tiles.
pub type Make<Node> = fn(&Node) -> Vec<Candidate<'static>>;

/// Candidates from a list of makers, in its order. Of equal candidates only the first is kept.
pub fn in_order<Node>(order: &[Make<Node>], node: &Node) -> Vec<Candidate<'static>> {
    let mut found: Vec<Candidate<'static>> = Vec::new();
    for candidate in order.iter().flat_map(|make| make(node)) {
        if !found.iter().any(|other| (other.name, other.tile) == (candidate.name, candidate.tile)) {
            found.push(candidate);
        }
    }
    found
}

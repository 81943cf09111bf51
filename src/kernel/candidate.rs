//! What can compute a node: candidates in order of preference, of which a plan takes one.

use std::fmt;

use super::caps::Caps;
use super::choices::Choice;
use super::lowering::Lowering;
use crate::error::Result;

/// A way to compute a node that is right for its attributes and shapes.
///
/// An algorithm with tiles has a candidate for each; they share its name.
pub struct Candidate<'a> {
    /// The algorithm: "direct", "workgroup", "winograd".
    pub name: &'static str,
    /// The tile of the product that it computes, for algorithms that have tiles: "64x64x16".
    pub tile: Option<&'static str>,
    /// What it needs of a device.
    pub needs: Needs,
    lower: Box<Lower<'a>>,
}

/// What pushes the dispatches of a candidate.
type Lower<'a> = dyn Fn(&mut Lowering<'_>) -> Result<()> + 'a;

/// What a candidate needs of a device; the default needs nothing that WebGPU does not promise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Invocations of a workgroup.
    pub invocations: u32,
    /// Bytes of workgroup memory.
    pub workgroup_memory: u32,
    /// Bytes of one storage binding.
    pub binding: u64,
    /// Whether values are shuffled among exactly eight lanes ([`Caps::shuffles_eight_lanes`]).
    pub eight_lanes: bool,
}

impl Needs {
    /// Whether the device has all of it.
    pub fn are_met_by(&self, caps: &Caps) -> bool {
        self.invocations <= caps.max_invocations
            && self.workgroup_memory <= caps.max_workgroup_memory
            && self.binding <= caps.max_binding
            && (!self.eight_lanes || caps.shuffles_eight_lanes())
    }
}

impl<'a> Candidate<'a> {
    /// Makes a candidate that needs nothing and has no tile; `lower` pushes its dispatches, one at least.
    pub fn new(name: &'static str, lower: impl Fn(&mut Lowering<'_>) -> Result<()> + 'a) -> Self {
        Candidate { name, tile: None, needs: Needs::default(), lower: Box::new(lower) }
    }

    /// Its name, by which it is chosen.
    pub fn choice(&self) -> Choice {
        Choice { name: self.name.into(), tile: self.tile.map(str::to_string) }
    }

    /// Names its tile.
    pub fn tile(self, tile: &'static str) -> Self {
        Candidate { tile: Some(tile), ..self }
    }

    /// Says what it needs of a device.
    pub fn needs(self, needs: Needs) -> Self {
        Candidate { needs, ..self }
    }

    /// Runs `around` in place of the lowering, with that as an argument: what a fused operation does before and after it.
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

/// Makes the candidates of one algorithm for a node that is described by `Node`: none where it is not right, one for each
/// tile where it has some.
pub type Make<Node> = fn(&Node) -> Vec<Candidate<'static>>;

/// The candidates of a list of makers in its order. One that two makers make counts where it is first.
pub fn in_order<Node>(order: &[Make<Node>], node: &Node) -> Vec<Candidate<'static>> {
    let mut found: Vec<Candidate<'static>> = Vec::new();
    for candidate in order.iter().flat_map(|make| make(node)) {
        if !found.iter().any(|other| (other.name, other.tile) == (candidate.name, candidate.tile)) {
            found.push(candidate);
        }
    }
    found
}

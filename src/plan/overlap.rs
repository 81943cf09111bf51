//! The pass that puts dispatches side by side that need not wait for one another: gradients of a layer by its input and by its
//! weight, above all.
//!
//! wgpu knows whole buffers, and puts a barrier before a dispatch if one of its buffers was used before in the same compute
//! pass, unless both only read it. A barrier waits for all dispatches before it, however long ago the buffer was used. What a
//! pass needs of the passes before it is waited for at its beginning, once: so dispatches that are the first of a pass
//! and share no buffer that one of them writes run at the same time.

use std::collections::HashMap;
use std::ops::Range;

use super::{Buffer, Plan};

/// The products that a dispatch adds up at least for a pass of its own to be worth its beginning.
const LARGE: u64 = 50_000_000;
/// How many dispatches further on one is looked for that may run beside another.
const WINDOW: usize = 8;

/// The buffers of a dispatch, each with whether it is written.
pub type Uses<'a> = Vec<(&'a Buffer, bool)>;

/// Whether two dispatches must run in their order.
fn conflict(a: &Uses<'_>, b: &Uses<'_>) -> bool {
    a.iter().any(|(buffer, writes)| b.iter().any(|(other, also)| buffer == other && (*writes || *also)))
}

impl Plan {
    /// The same plan, whose sessions put dispatches side by side that need not wait for one another, or don't. Without being asked
    /// they do on devices other than software ones, which do one dispatch after the other anyway. No bit depends on it.
    pub fn overlap(mut self, wanted: bool) -> Self {
        self.overlaps = wanted;
        self
    }

    /// Whether its sessions put dispatches side by side.
    pub fn overlaps(&self) -> bool {
        self.overlaps
    }

    /// The numbers of the dispatches `range` pass by pass: in the plan's order, but for large ones that share no buffer that
    /// is written with those that they overtake; at least two of them begin each pass but the first. `uses` are those of all
    /// dispatches of the plan.
    pub fn passes(&self, range: Range<usize>, uses: &[Uses<'_>]) -> Vec<Vec<usize>> {
        let is_large = |number: usize| self.steps[number].multiply_adds >= LARGE;
        let mut left: Vec<usize> = range.collect();
        let mut passes = vec![Vec::new()];
        while !left.is_empty() {
            let mut group = vec![left.remove(0)];
            let mut at = 0;
            while is_large(group[0]) && at < left.len().min(WINDOW) {
                let next = left[at];
                let free = |&other: &usize| !conflict(&uses[other], &uses[next]);
                let fits = is_large(next) && self.steps[next].stage == self.steps[group[0]].stage;
                if fits && group.iter().chain(&left[..at]).all(free) {
                    group.push(left.remove(at));
                } else {
                    at += 1;
                }
            }
            if group.len() > 1 && passes.last().is_some_and(|pass| !pass.is_empty()) {
                passes.push(Vec::new());
            }
            passes.last_mut().expect("there is a first").extend(group);
        }
        passes
    }
}

/// The dispatches of `passes` before which wgpu puts a barrier in the middle of a pass.
pub fn barriers(passes: &[Vec<usize>], uses: &[Uses<'_>]) -> usize {
    let mut count = 0;
    for pass in passes {
        let mut last: HashMap<&Buffer, bool> = HashMap::new();
        for &number in pass {
            let waits = |&(buffer, writes): &(&Buffer, bool)| last.get(buffer).is_some_and(|before| *before || writes);
            count += usize::from(uses[number].iter().any(waits));
            last.extend(uses[number].iter().copied());
        }
    }
    count
}

//! The pass that lets independent dispatches overlap, above all the gradients of a layer by its input and by its
//! weight.
//!
//! wgpu tracks whole buffers. It puts a barrier before a dispatch if one of its buffers was used before in the same
//! compute pass, unless both only read it. A barrier waits for all earlier dispatches, however long ago the buffer was
//! used. The dependencies of a pass on earlier passes are waited for once, at its beginning. Dispatches that are the
//! first of a pass and share no buffer that one of them writes therefore run at the same time.

use std::collections::HashMap;
use std::ops::Range;

use super::{Buffer, Plan};

/// Minimum number of multiply-adds of a dispatch for which a separate pass pays off.
const LARGE: u64 = 50_000_000;
/// Number of following dispatches among which one to overlap is searched.
const WINDOW: usize = 8;

/// The buffers of a dispatch, each with a flag that it is written.
pub type Uses<'a> = Vec<(&'a Buffer, bool)>;

/// True if two dispatches must run in order.
fn conflict(a: &Uses<'_>, b: &Uses<'_>) -> bool {
    a.iter().any(|(buffer, writes)| b.iter().any(|(other, also)| buffer == other && (*writes || *also)))
}

impl Plan {
    /// Enables or disables overlapping of independent dispatches in sessions. It is enabled by default except on
    /// software devices, which run one dispatch after another anyway. It changes no bit.
    pub fn overlap(mut self, wanted: bool) -> Self {
        self.overlaps = wanted;
        self
    }

    /// True if sessions overlap dispatches.
    pub fn overlaps(&self) -> bool {
        self.overlaps
    }

    /// Groups the dispatches `range` by pass. They are in the plan's order, except that a large one may overtake others
    /// with which it shares no written buffer. Each pass but the first begins with at least two that overlap. `uses`
    /// covers all dispatches of the plan.
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

/// Number of barriers that wgpu puts in the middle of `passes`.
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

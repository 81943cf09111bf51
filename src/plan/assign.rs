//! Assignment of slots: greedy by size over live intervals, into several buffers.
//!
//! Source: Pisarchyk and Lee, "Efficient memory management for deep neural net inference", arXiv 2001.03288.

/// A live interval in nodes, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The node that writes the tensor.
    pub first: usize,
    /// The last node that reads it.
    pub last: usize,
}

impl Interval {
    /// True if both are alive at some node.
    pub fn overlaps(&self, other: &Interval) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Assigns to each of `wanted`, a live interval and a size in bytes, a slot that no other tenant uses while it is
/// alive.
///
/// The largest choose first and take the smallest free slot, so a slot is as large as its first tenant. Returns the
/// sizes of the slots, and the slot of each.
pub fn assign_slots(wanted: &[(Interval, u64)]) -> (Vec<u64>, Vec<usize>) {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(wanted[i].1), wanted[i].0.first, i));
    let mut slots: Vec<(u64, Vec<Interval>)> = Vec::new();
    let mut slot_of = vec![0; wanted.len()];
    for i in order {
        let (interval, bytes) = wanted[i];
        let free = slots
            .iter()
            .enumerate()
            .filter(|(_, (_, tenants))| !tenants.iter().any(|tenant| tenant.overlaps(&interval)))
            .min_by_key(|(_, (size, _))| *size)
            .map(|(slot, _)| slot);
        let slot = free.unwrap_or_else(|| {
            slots.push((bytes, Vec::new()));
            slots.len() - 1
        });
        slots[slot].1.push(interval);
        slot_of[i] = slot;
    }
    (slots.into_iter().map(|(size, _)| size).collect(), slot_of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn no_two_that_live_together_share_a_slot() {
        for seed in 0..50 {
            let rng = Rng::new(seed, "lifetimes");
            let wanted: Vec<(Interval, u64)> = (0..40)
                .map(|i| {
                    let first = rng.below(3 * i, 30) as usize;
                    let last = first + rng.below(3 * i + 1, 8) as usize;
                    (Interval { first, last }, 4 * u64::from(1 + rng.below(3 * i + 2, 1000)))
                })
                .collect();
            let (slots, slot_of) = assign_slots(&wanted);
            for (i, (a, bytes)) in wanted.iter().enumerate() {
                assert!(slots[slot_of[i]] >= *bytes);
                for (j, (b, _)) in wanted.iter().enumerate().filter(|(j, _)| *j != i) {
                    assert!(!(slot_of[i] == slot_of[j] && a.overlaps(b)), "seed {seed}: {i} and {j}");
                }
            }
            assert!(slots.iter().sum::<u64>() < wanted.iter().map(|(_, bytes)| bytes).sum());
        }
    }
}

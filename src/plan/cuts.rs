//! The pass that cuts a plan into parts, each of which is submitted alone: places between dispatches, and why they are there.
//!
//! What a device is given at once must not take long: Windows takes a device away from a program whose submission runs for
//! two seconds, and other systems have such watchdogs too. So work is bounded by an estimate, with room for one that is
//! several times too low. Where a plan is cut changes no bit, since a device does submissions in order.

use std::collections::HashSet;
use std::ops::Range;

use super::{Plan, Step};
use crate::kernel::DeviceClass;

/// The part of a device's best multiply-add rate that training steps have been seen to reach.
const SHARE_OF_PEAK: f64 = 0.3;
/// Milliseconds that a part of a step takes at most by its estimate: a quarter of the strictest watchdog's two seconds.
const BOUND: f64 = 500.0;

/// The best rates of a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviceRates {
    /// Multiplications with an addition in a second.
    pub multiply_adds: f64,
    /// Bytes read and written in a second.
    pub bytes: f64,
}

impl DeviceRates {
    /// What a slow device of its class reaches: for devices that nobody has measured. Cuts that turn out needless cost little.
    pub fn assumed(class: DeviceClass) -> Self {
        let (multiply_adds, bytes) = match class {
            DeviceClass::Discrete => (500e9, 50e9),
            DeviceClass::Integrated => (100e9, 10e9),
            DeviceClass::Software => (5e9, 2e9),
        };
        DeviceRates { multiply_adds, bytes }
    }
}

/// Why a plan is cut at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// With the next dispatch the part would take longer than its bound.
    BoundedWork,
}

/// A place between two dispatches where what was recorded is submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The number of the dispatch after it.
    pub before: usize,
    /// Why it is there.
    pub reason: Reason,
}

/// Dispatches that are submitted together.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Their numbers in the plan.
    pub dispatches: Range<usize>,
    /// An estimate of what they take; `None` in a plan without a bound.
    pub milliseconds: Option<f64>,
}

/// A bound, the estimates that it was held against, and the cuts.
#[derive(Clone, Debug)]
pub(super) struct Bounded {
    bound: f64,
    /// Milliseconds of each dispatch.
    estimates: Vec<f64>,
    cuts: Vec<Cut>,
}

/// The milliseconds that a part may take where nobody asks for another bound; none on a software device, which no watchdog sees.
pub(crate) fn default_bound(class: DeviceClass) -> Option<f64> {
    (class != DeviceClass::Software).then_some(BOUND)
}

/// An estimate of the milliseconds of each dispatch: products at a third of the best rate, everything else at the best rate of a
/// copy.
pub(super) fn estimates(steps: &[Step], rates: DeviceRates) -> Vec<f64> {
    // Several kernels of a product hand work on among them, much of it in caches: its arithmetic is what counts.
    let with_products: HashSet<(&str, &str)> =
        steps.iter().filter(|step| step.multiply_adds > 0).map(|step| (&*step.node, step.operation)).collect();
    let of_step = |step: &Step| match with_products.contains(&(&*step.node, step.operation)) {
        true => 1e3 * step.multiply_adds as f64 / (SHARE_OF_PEAK * rates.multiply_adds),
        false => 1e3 * step.bytes() as f64 / rates.bytes,
    };
    steps.iter().map(of_step).collect()
}

/// The fewest cuts with which no part is above the bound that has more than one dispatch.
fn cuts(estimates: &[f64], bound: f64) -> Vec<Cut> {
    let (mut cuts, mut part, mut first) = (Vec::new(), 0.0, 0);
    for (i, estimate) in estimates.iter().enumerate() {
        if i > first && part + estimate > bound {
            cuts.push(Cut { before: i, reason: Reason::BoundedWork });
            (part, first) = (0.0, i);
        }
        part += estimate;
    }
    cuts
}

impl Plan {
    /// The same plan in parts that take at most so many milliseconds each, by an estimate from the device's best rates; in one
    /// part for `None`. A dispatch that takes longer alone is a part of its own ([`Plan::too_long`]).
    pub fn cut(mut self, milliseconds: Option<f64>, rates: DeviceRates) -> Self {
        self.bounded = milliseconds.map(|bound| {
            let estimates = estimates(&self.steps, rates);
            Bounded { bound, cuts: cuts(&estimates, bound), estimates }
        });
        self
    }

    /// Where the plan is cut, in order.
    pub fn cuts(&self) -> &[Cut] {
        self.bounded.as_ref().map_or(&[], |bounded| &bounded.cuts)
    }

    /// The parts of a step in order; one more than there are cuts.
    pub fn parts(&self) -> Vec<Part> {
        let ends = self.cuts().iter().map(|cut| cut.before).chain([self.steps.len()]);
        let mut first = 0;
        let part = |end| {
            let dispatches = first..end;
            first = end;
            let milliseconds = self.bounded.as_ref().map(|bounded| bounded.estimates[dispatches.clone()].iter().sum());
            Part { dispatches, milliseconds }
        };
        ends.map(part).collect()
    }

    /// The longest dispatch with its estimate in milliseconds, if that is above the bound: no cut can make it shorter.
    pub fn too_long(&self) -> Option<(&Step, f64)> {
        let Bounded { bound, estimates, .. } = self.bounded.as_ref()?;
        let longest = self.steps.iter().zip(estimates).max_by(|(_, a), (_, b)| a.total_cmp(b));
        longest.map(|(step, &estimate)| (step, estimate)).filter(|(_, estimate)| estimate > bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(estimates: &[f64], bound: f64) -> Vec<usize> {
        cuts(estimates, bound).iter().map(|cut| cut.before).collect()
    }

    #[test]
    fn parts_are_as_long_as_the_bound_allows() {
        assert_eq!(places(&[1.0, 1.0, 1.0, 1.0, 1.0], 2.0), [2, 4]);
        assert!(places(&[1.0, 1.0], 2.0).is_empty() && places(&[], 2.0).is_empty());
        // What is too long is alone, and nothing that is empty is cut off before it or after it.
        assert_eq!(places(&[5.0, 1.0, 5.0, 0.5, 5.0], 2.0), [1, 2, 3, 4]);
        assert_eq!(places(&[0.0, 3.0, 0.0], 0.0), [1, 2]);
    }
}

//! The pass that cuts a plan into parts that are submitted separately: places between dispatches, and the reason for
//! each.
//!
//! A single submission must not take long: Windows resets a device after a submission of two seconds, and other systems
//! have such watchdogs too. The work per part is therefore bounded by an estimate, with room for an estimate that is
//! several times too low. Cuts change no bit, since a device executes submissions in order.

use std::collections::HashSet;
use std::ops::Range;

use super::{Plan, Step};
use crate::kernel::DeviceClass;

/// Fraction of a device's peak multiply-add rate that training steps have been seen to reach.
const SHARE_OF_PEAK: f64 = 0.3;
/// Maximum estimated milliseconds of a part of a step: a quarter of the strictest watchdog's two seconds.
const BOUND: f64 = 500.0;

/// Peak rates of a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviceRates {
    /// Multiply-adds per second.
    pub multiply_adds: f64,
    /// Bytes read plus bytes written per second.
    pub bytes: f64,
}

impl DeviceRates {
    /// Rates of a slow device of its class, for devices without a measurement. Unnecessary cuts cost little.
    pub fn assumed(class: DeviceClass) -> Self {
        let (multiply_adds, bytes) = match class {
            DeviceClass::Discrete => (500e9, 50e9),
            DeviceClass::Integrated => (100e9, 10e9),
            DeviceClass::Software => (5e9, 2e9),
        };
        DeviceRates { multiply_adds, bytes }
    }
}

/// The reason for a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The next dispatch would make the part longer than its bound.
    BoundedWork,
}

/// A position between two dispatches, where the commands recorded so far are submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Index of the dispatch after it.
    pub before: usize,
    /// The reason for it.
    pub reason: Reason,
}

/// Dispatches that are submitted together.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Their indices in the plan.
    pub dispatches: Range<usize>,
    /// Estimated time; `None` in a plan without a bound.
    pub milliseconds: Option<f64>,
}

/// A bound, the estimates on which it is based, and the cuts.
#[derive(Clone, Debug)]
pub(super) struct Bounded {
    bound: f64,
    /// Milliseconds of each dispatch.
    estimates: Vec<f64>,
    cuts: Vec<Cut>,
}

/// Default bound on a part in milliseconds; `None` on a software device, which no watchdog monitors.
pub(crate) fn default_bound(class: DeviceClass) -> Option<f64> {
    (class != DeviceClass::Software).then_some(BOUND)
}

/// Estimated milliseconds of each dispatch: products at a third of the peak rate, everything else at the peak rate of a
/// copy.
pub(super) fn estimates(steps: &[Step], rates: DeviceRates) -> Vec<f64> {
    // The kernels of a product pass data to each other, much of it in caches, so their arithmetic dominates.
    let with_products: HashSet<(&str, &str)> =
        steps.iter().filter(|step| step.multiply_adds > 0).map(|step| (&*step.node, step.operation)).collect();
    let of_step = |step: &Step| match with_products.contains(&(&*step.node, step.operation)) {
        true => 1e3 * step.multiply_adds as f64 / (SHARE_OF_PEAK * rates.multiply_adds),
        false => 1e3 * step.bytes() as f64 / rates.bytes,
    };
    steps.iter().map(of_step).collect()
}

/// The fewest cuts such that no part with more than one dispatch exceeds the bound.
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
    /// Cuts the plan into parts of at most `milliseconds` each, estimated from the device's peak rates; `None` for a
    /// single part. A dispatch that alone takes longer is a separate part ([`Plan::too_long`]).
    pub fn cut(mut self, milliseconds: Option<f64>, rates: DeviceRates) -> Self {
        self.bounded = milliseconds.map(|bound| {
            let estimates = estimates(&self.steps, rates);
            Bounded { bound, cuts: cuts(&estimates, bound), estimates }
        });
        self
    }

    /// The cuts of the plan, in order.
    pub fn cuts(&self) -> &[Cut] {
        self.bounded.as_ref().map_or(&[], |bounded| &bounded.cuts)
    }

    /// The parts of a step in order, one more than there are cuts.
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

    /// The longest dispatch with its estimate in milliseconds, if that exceeds the bound. No cut can make it shorter.
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
        // A dispatch that is too long is alone, and no empty part is cut off before or after it.
        assert_eq!(places(&[5.0, 1.0, 5.0, 0.5, 5.0], 2.0), [1, 2, 3, 4]);
        assert_eq!(places(&[0.0, 3.0, 0.0], 0.0), [1, 2]);
    }
}

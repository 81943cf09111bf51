//! Forecast of a plan's requirements before it runs.

use std::fmt;

use super::cuts::estimates;
use super::{DeviceRates, Memory, Plan};

/// Forecast of a plan's requirements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Memory of the plan.
    pub memory: Memory,
    /// Memory of the device in bytes, if known.
    pub available: Option<u64>,
    /// Size of the largest binding in bytes.
    pub largest_binding: u64,
    /// Maximum size of a binding on the device in bytes.
    pub allowed_binding: u64,
    /// Number of dispatches per step.
    pub dispatches: usize,
    /// Number of parts in which a step is submitted.
    pub parts: usize,
    /// Number of multiply-adds per step.
    pub multiply_adds: u64,
    /// Estimated milliseconds of a step: products at a third of the device's peak rate, everything else at the peak
    /// rate of a copy. `None` if the rates were not measured.
    pub milliseconds: Option<f64>,
}

impl Forecast {
    /// Forecasts `plan` on a device with these limits and rates.
    pub(crate) fn new(plan: &Plan, allowed_binding: u64, available: Option<u64>, rates: Option<DeviceRates>) -> Self {
        let spans = plan.steps.iter().flat_map(|step| &step.bindings).map(|(_, span)| span.bytes);
        Forecast {
            memory: plan.memory(),
            available,
            largest_binding: spans.max().unwrap_or(0),
            allowed_binding,
            dispatches: plan.steps.len(),
            parts: plan.parts().len(),
            multiply_adds: plan.steps.iter().map(|step| step.multiply_adds).sum(),
            milliseconds: rates.map(|rates| estimates(&plan.steps, rates).iter().sum()),
        }
    }

    /// True if the plan fits into the device's memory, as far as that is known.
    pub fn fits(&self) -> bool {
        self.available.is_none_or(|available| self.memory.total() <= available)
    }
}

impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        writeln!(f, "memory          {}", self.memory)?;
        if let Some(available) = self.available {
            writeln!(f, "device memory   {:.0} MiB", mib(available))?;
        }
        let (largest, allowed) = (mib(self.largest_binding), mib(self.allowed_binding));
        writeln!(f, "largest binding {largest:.2} MiB of the {allowed:.0} MiB that the device allows")?;
        write!(
            f,
            "a step          {} dispatches, {:.3} 10^9 multiply-adds",
            self.dispatches,
            self.multiply_adds as f64 / 1e9
        )?;
        if let Some(milliseconds) = self.milliseconds {
            write!(f, ", about {milliseconds:.1} ms")?;
        }
        if self.parts > 1 {
            write!(f, ", submitted in {} parts", self.parts)?;
        }
        Ok(())
    }
}

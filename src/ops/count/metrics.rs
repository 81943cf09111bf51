//! The accumulators of loss and accuracy, which stay on the device until somebody reads them.

use crate::error::Result;
use crate::graph::{Misfit, Operation, Tape};
use crate::kernel::{Dispatch, Extent, Kernel, Lowering, source};
use crate::ops::arity;
use crate::ops::softmax_cross_entropy::CrossEntropy;
use crate::params;
use crate::tensor::{Spec, Tensor};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// Adds a step's totals to a kept state, and notes its loss: operands are loss and totals; the state is changed in place.
#[derive(Clone, Copy, Debug)]
pub struct Accumulate;

/// Steps whose losses the state remembers one by one.
pub const HISTORY: usize = 1024;
/// Numbers before the losses: sum of losses and its compensation, sum of weights, correct, counted, steps, two unused.
pub(crate) const HEADER: usize = 8;

params! {
    /// Steps that are remembered.
    pub(crate) struct Params { history: u32 }
}

/// What the accumulators hold, as read back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// The mean loss over everything since the state was cleared, exactly as if it had been one batch.
    pub loss: f64,
    /// The share of right predictions, 0 to 1.
    pub accuracy: f64,
    /// Targets that counted.
    pub count: u64,
    /// Steps since the state was cleared.
    pub steps: u64,
    /// The losses of the last [`HISTORY`] steps, the latest last.
    pub losses: Vec<f32>,
}

impl Metrics {
    /// Reads the state's numbers.
    pub fn from_state(state: &[f32]) -> Self {
        let steps = state[5] as usize;
        let kept = steps.min(HISTORY);
        let losses = (steps - kept..steps).map(|step| state[HEADER + step % HISTORY]).collect();
        let sum = f64::from(state[0]) - f64::from(state[1]);
        Metrics {
            loss: sum / f64::from(state[2]),
            accuracy: f64::from(state[3]) / f64::from(state[4]),
            count: state[4] as u64,
            steps: steps as u64,
            losses,
        }
    }
}

impl Tape {
    /// Adds the loss and the count of right predictions of each step to the state called `state`.
    pub fn accumulate(&mut self, state: &str, loss: CrossEntropy) -> Result<()> {
        let id = self.state(state, [HEADER + HISTORY]);
        self.append(state, Accumulate, &[loss.loss, loss.totals], &[id])?;
        Ok(())
    }
}

impl Operation for Accumulate {
    fn name(&self) -> &'static str {
        "accumulate"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[2])?;
        Ok(Vec::new())
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let (loss, totals, state) = (lowering.input(0), lowering.input(1), lowering.update(0));
        let kernel = Kernel::new("accumulate", &[source!("count/accumulate.wgsl")]);
        let params = Params { history: HISTORY as u32 };
        lowering.push(
            Dispatch::new(kernel, &params, Extent::Workgroups(1))
                .elements(1_u32)
                .bind("loss", loss)
                .bind("totals", totals)
                .bind("state", state),
        );
        Ok(())
    }
}

impl Twin for Accumulate {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (loss, totals) = (inputs.real(0)[0], inputs.real(1));
        let state = outputs.update(0);
        // Kahan's sum: state[1] is what the last addition has put in too much.
        let add = totals[0] - state[1];
        let sum = state[0] + add;
        state[1] = (sum - state[0]) - add;
        state[0] = sum;
        state[2] += totals[1];
        state[3] += totals[2];
        state[4] += totals[3];
        state[HEADER + state[5].to_f64() as usize % HISTORY] = loss;
        state[5] += R::of(1.0);
    }
}

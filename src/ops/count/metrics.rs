//! Accumulators of loss and accuracy, which stay on the device until they are read.

use crate::error::{Error, Result};
use crate::graph::{Misfit, Operation, Tape};
use crate::kernel::{Dispatch, Extent, Kernel, Lowering, source};
use crate::ops::arity;
use crate::ops::softmax_cross_entropy::CrossEntropy;
use crate::params;
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// Adds a step's totals to a kept state, and records its loss. Operands are loss and totals; the state is updated in
/// place.
#[derive(Clone, Copy, Debug)]
pub struct Accumulate;

/// Totals, \[4\], of a mean over `rows` rows, for [`Accumulate`]: the sum, the rows, and the counts of predictions. The
/// counts come from a second operand, the totals of a cross-entropy, or are zero without one.
#[derive(Clone, Copy, Debug)]
pub struct MeanTotals {
    /// Number of rows of the operand's mean.
    pub rows: usize,
}

/// Number of steps whose losses the state keeps individually.
pub const HISTORY: usize = 1024;
/// Number of values before the losses: sum of losses and its compensation, sum of weights, correct, counted, steps, two
/// unused.
pub(crate) const HEADER: usize = 8;

params! {
    /// Number of rows of the mean.
    pub(crate) struct MeanParams { rows: f32 }
}

params! {
    /// Number of steps that are kept.
    pub(crate) struct Params { history: u32 }
}

/// Values of the accumulators, as read back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Mean loss over everything since the state was cleared, exactly as over one batch.
    pub loss: f64,
    /// Fraction of correct predictions, 0 to 1; NaN if nothing is predicted, as in a regression.
    pub accuracy: f64,
    /// Number of counted targets.
    pub count: u64,
    /// Number of steps since the state was cleared.
    pub steps: u64,
    /// Other measured means, by name.
    pub others: Vec<(String, f64)>,
    /// Losses of the last [`HISTORY`] steps, the latest last.
    pub losses: Vec<f32>,
}

impl Metrics {
    /// Reads the values of a state. [`Error::Config`] if they are not a valid state.
    pub fn from_state(state: &[f32]) -> Result<Self> {
        if state.len() != HEADER + HISTORY {
            let message =
                format!("has {} numbers, accumulators of loss and accuracy have {}", state.len(), HEADER + HISTORY);
            return Err(Error::config("state", message));
        }
        let steps = state[5] as usize;
        let kept = steps.min(HISTORY);
        let losses = (steps - kept..steps).map(|step| state[HEADER + step % HISTORY]).collect();
        let sum = f64::from(state[0]) - f64::from(state[1]);
        Ok(Metrics {
            loss: sum / f64::from(state[2]),
            accuracy: f64::from(state[3]) / f64::from(state[4]),
            count: state[4] as u64,
            steps: steps as u64,
            others: Vec::new(),
            losses,
        })
    }
}

impl Tape {
    /// Adds the mean over a step's `rows`, `value` of shape \[1\], to the state called `state`, which then holds the
    /// mean over all steps. Its accuracy is NaN.
    pub fn accumulate_mean(&mut self, state: &str, value: TensorId, rows: usize) -> Result<()> {
        self.accumulate_totals(state, rows, &[value])
    }

    /// Adds the mean over a step's `rows`, `value` of shape \[1\], to the state called `state`, and the predictions
    /// counted in `counts`. It suits a loss of several parts, one of which predicts classes.
    pub fn accumulate_mean_of(
        &mut self,
        state: &str,
        value: TensorId,
        rows: usize,
        counts: CrossEntropy,
    ) -> Result<()> {
        self.accumulate_totals(state, rows, &[value, counts.totals])
    }

    fn accumulate_totals(&mut self, state: &str, rows: usize, operands: &[TensorId]) -> Result<()> {
        let totals = self.append(state, MeanTotals { rows }, operands, &[])?[0];
        let id = self.state(state, [HEADER + HISTORY]);
        self.append(state, Accumulate, &[operands[0], totals], &[id])?;
        Ok(())
    }

    /// Adds the loss and the number of correct predictions of each step to the state called `state`.
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
        // Kahan summation: state[1] is the excess of the last addition.
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

impl Operation for MeanTotals {
    fn name(&self) -> &'static str {
        "mean_totals"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1, 2])?;
        if let Some(counts) = inputs.get(1).filter(|counts| counts.shape.dims() != [4]) {
            return Err(Misfit::Shape(format!("counts must be [4], they are {}", counts.shape)));
        }
        match inputs[0].shape.len() {
            1 => Ok(vec![Spec::f32([4])]),
            _ => Err(Misfit::Shape(format!("a mean has one element, it is {}", inputs[0].shape))),
        }
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let (mean, totals) = (lowering.input(0), lowering.output(0));
        let counts = (lowering.input_count() == 2).then(|| lowering.input(1));
        let predictions = match counts {
            Some(_) => source!("count/predictions.wgsl"),
            None => source!("count/predictions_none.wgsl"),
        };
        let params = MeanParams { rows: self.rows as f32 };
        let kernel = Kernel::new("mean_totals", &[source!("count/mean_totals.wgsl"), predictions]);
        lowering.push(
            Dispatch::new(kernel, &params, Extent::Workgroups(1))
                .elements(1_u32)
                .bind("input", mean)
                .bind("totals", totals)
                .bind_all(counts.map(|counts| ("own_totals", counts))),
        );
        Ok(())
    }
}

impl Twin for MeanTotals {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (mean, rows) = (inputs.real(0)[0], R::of(self.rows as f64));
        let (correct, counted) = match inputs.len() {
            2 => (inputs.real(1)[2], inputs.real(1)[3]),
            _ => (R::default(), R::default()),
        };
        outputs.real(0).copy_from_slice(&[mean * rows, rows, correct, counted]);
    }
}

//! The accumulators of loss and accuracy.

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::metrics::{Accumulate, HEADER, HISTORY};

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

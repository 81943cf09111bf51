//! The norm of all gradients together.

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::clip_grad_norm::ClipGradNorm;

/// Numbers whose squares are added up before the sums are, so that a long sum in f32 loses little.
const CHUNK: usize = 256;

impl Twin for ClipGradNorm {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let squares = |numbers: &[R]| numbers.iter().map(|&g| g * g).sum::<R>();
        let of_tensor = |i: usize| inputs.real(i).chunks(CHUNK).map(squares).sum::<R>();
        let norm = (0..inputs.len()).map(of_tensor).sum::<R>().sqrt();
        let quotient = R::of(self.max_norm) / (norm + R::of(1e-6));
        let one = R::of(1.0);
        let state = outputs.update(0);
        state[0] = norm;
        // A comparison with NaN is false, and NaN stays.
        state[1] = if quotient > one { one } else { quotient };
    }
}

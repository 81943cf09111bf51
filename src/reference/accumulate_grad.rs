//! The sum of the gradients of several batches, tensor by tensor.

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::accumulate_grad::AccumulateGrad;

impl Twin for AccumulateGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let share = inputs.real(0);
        let (weight, first) = (share[0], share[1] != R::default());
        let gradients = outputs.updates.len() / 2;
        for i in 0..gradients {
            let mut grad = outputs.update(i).to_vec();
            for (grad, sum) in grad.iter_mut().zip(outputs.update(gradients + i)) {
                *sum = if first { weight * *grad } else { *sum + weight * *grad };
                *grad = *sum;
            }
            outputs.update(i).copy_from_slice(&grad);
        }
    }
}

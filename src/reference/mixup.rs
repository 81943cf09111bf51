//! mixup: a batch mixed with itself in the opposite order, its targets, and the losses for both.

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::mixup::{Mix, MixLoss, MixLossGrad, MixTarget};

/// lambda and what is left of 1.
fn shares<R: Real>(lambda: &[R]) -> [R; 2] {
    [lambda[0], R::of(1.0) - lambda[0]]
}

impl Twin for Mix {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let row = inputs.real(0).len() / inputs.dims(0)[0];
        let [own, other] = shares(inputs.real(1));
        let rows = inputs.real(0).chunks(row);
        for (output, (a, b)) in outputs.real(0).chunks_mut(row).zip(rows.clone().zip(rows.rev())) {
            for (output, (&a, &b)) in output.iter_mut().zip(a.iter().zip(b)) {
                *output = own * a + other * b;
            }
        }
    }
}

impl Twin for MixTarget {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        for (output, &target) in outputs.ints(0).iter_mut().zip(inputs.ints(0).iter().rev()) {
            *output = target;
        }
    }
}

impl Twin for MixLoss {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let [own, other] = shares(inputs.real(4));
        let mixed = |i: usize| own * inputs.real(i)[0] + other * inputs.real(i + 2)[0];
        outputs.real(0)[0] = mixed(0);
        let right = inputs.real(if own >= R::of(0.5) { 1 } else { 3 })[2];
        let totals = [mixed(1), inputs.real(1)[1], right, inputs.real(1)[3]];
        outputs.real(1).copy_from_slice(&totals);
    }
}

impl Twin for MixLossGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        for (i, share) in shares(inputs.real(1)).into_iter().enumerate() {
            outputs.real(i)[0] = share * inputs.real(0)[0];
        }
    }
}

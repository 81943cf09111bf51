//! The negative log-likelihood and its gradient by the log-probabilities.

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::nll_loss::{NllLoss, NllLossGrad};
use crate::ops::softmax_cross_entropy::{ROW, Reduction};

impl Twin for NllLoss {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let dims = inputs.dims(0);
        let (classes, plane) = (dims[1], dims[2..].iter().product::<usize>());
        let log_probs = inputs.real(0);
        let weight = (inputs.len() == 3).then(|| inputs.real(2));
        let mut totals = [R::default(); 4];
        for (n, &target) in inputs.ints(1).iter().enumerate() {
            let at = |class: usize| log_probs[(n / plane * classes + class) * plane + n % plane];
            let mut row = [R::default(); ROW];
            if target != self.ignore_index {
                row[3] = R::of(1.0);
                match usize::try_from(target).ok().filter(|&target| target < classes) {
                    Some(target) => {
                        let best = (1..classes).fold(0, |best, class| if at(class) > at(best) { class } else { best });
                        row[1] = weight.map_or(R::of(1.0), |weight| weight[target]);
                        row[0] = -row[1] * at(target);
                        row[2] = R::of(f64::from(u8::from(best == target)));
                    }
                    // A label that is no class makes the loss NaN rather than something plausible.
                    None => row[0] = R::of(f64::NAN),
                }
            }
            outputs.real(1)[n * ROW..][..ROW].copy_from_slice(&row);
            for (total, value) in totals.iter_mut().zip(row) {
                *total += value;
            }
        }
        outputs.real(0)[0] = match self.reduction {
            Reduction::Mean => totals[0] / totals[1],
            Reduction::Sum => totals[0],
        };
        outputs.real(2).copy_from_slice(&totals);
    }
}

impl Twin for NllLossGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let dims = inputs.dims(1);
        let (classes, plane) = (dims[1], dims[2..].iter().product::<usize>());
        let (grad_output, rows, totals) = (inputs.real(0)[0], inputs.real(3), inputs.real(4));
        let scale = match self.0.reduction {
            Reduction::Mean => grad_output / totals[1],
            Reduction::Sum => grad_output,
        };
        for (n, (&target, row)) in inputs.ints(2).iter().zip(rows.chunks(ROW)).enumerate() {
            let class = usize::try_from(target).ok().filter(|&class| class < classes);
            if let Some(class) = class.filter(|_| row[3] != R::default()) {
                outputs.real(0)[(n / plane * classes + class) * plane + n % plane] = -row[1] * scale;
            }
        }
    }
}

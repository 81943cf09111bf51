//! softmax and cross-entropy, and the gradient by the logits.

use super::{Inputs, Outputs, Real, Twin, Value};
use crate::ops::softmax_cross_entropy::{
    ROW, Reduction, SoftmaxCrossEntropy, SoftmaxCrossEntropyBoth, SoftmaxCrossEntropyGrad,
};

impl Twin for SoftmaxCrossEntropy {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let classes = inputs.dims(0)[1];
        let weight = (inputs.len() == 3).then(|| inputs.real(2));
        let weight_of = |class: usize| weight.map_or(R::of(1.0), |weight| weight[class]);
        let weight_total: R = (0..classes).map(weight_of).sum();
        let smoothing = R::of(f64::from(self.label_smoothing));
        let mut totals = [R::default(); 4];
        for (n, logits) in inputs.real(0).chunks(classes).enumerate() {
            let (mut best, mut largest) = (0, logits[0]);
            for (class, &x) in logits.iter().enumerate() {
                if x > largest {
                    (best, largest) = (class, x);
                }
            }
            let log_sum = largest + logits.iter().map(|&x| (x - largest).exp()).sum::<R>().ln();
            let target = inputs.ints(1)[n];
            let mut row = [R::default(); ROW];
            (row[4], row[5]) = (log_sum, weight_total);
            if target != self.ignore_index {
                row[3] = R::of(1.0);
                match usize::try_from(target).ok().filter(|&target| target < classes) {
                    Some(target) => {
                        let nll = weight_of(target) * (log_sum - logits[target]);
                        let even: R = logits.iter().enumerate().map(|(c, &x)| weight_of(c) * (log_sum - x)).sum();
                        row[0] = (R::of(1.0) - smoothing) * nll + smoothing / R::of(classes as f64) * even;
                        row[1] = weight_of(target);
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

impl Twin for SoftmaxCrossEntropyGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (grad_output, logits, targets) = (inputs.real(0)[0], inputs.real(1), inputs.ints(2));
        let (rows, totals) = (inputs.real(3), inputs.real(4));
        let weight = (inputs.len() == 6).then(|| inputs.real(5));
        let weight_of = |class: usize| weight.map_or(R::of(1.0), |weight| weight[class]);
        let classes = inputs.dims(1)[1];
        let smoothing = R::of(f64::from(self.0.label_smoothing));
        let scale = match self.0.reduction {
            Reduction::Mean => grad_output / totals[1],
            Reduction::Sum => grad_output,
        };
        for (i, grad) in outputs.real(0).iter_mut().enumerate() {
            let (n, class) = (i / classes, i % classes);
            let row = &rows[n * ROW..][..ROW];
            if row[3] == R::default() {
                continue;
            }
            let p = (logits[i] - row[4]).exp();
            let hit = R::of(f64::from(u8::from(targets[n] == class as i32)));
            let even = smoothing / R::of(classes as f64) * (p * row[5] - weight_of(class));
            *grad = scale * ((R::of(1.0) - smoothing) * row[1] * (p - hit) + even);
        }
    }
}

impl Twin for SoftmaxCrossEntropyBoth {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        self.0.eval(inputs, outputs);
        let one = Value::Real(vec![R::of(1.0)]);
        let (rows, totals) = (outputs.outputs[1].clone(), outputs.outputs[2].clone());
        let [loss, rows_shape, totals_shape, grad] = inputs.outputs[..] else { return };
        let mut operands = vec![(loss, &one), inputs.values[0], inputs.values[1]];
        operands.extend([(rows_shape, &rows), (totals_shape, &totals)]);
        operands.extend(inputs.values.get(2));
        let inputs = Inputs { values: operands, outputs: vec![grad] };
        let mut gradient = Outputs { outputs: vec![outputs.outputs[3].clone()], updates: Vec::new() };
        SoftmaxCrossEntropyGrad(self.0).eval(&inputs, &mut gradient);
        outputs.outputs[3] = gradient.outputs.remove(0);
    }
}

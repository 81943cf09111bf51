//! batch_norm2d in training and in evaluation, and its gradients, as the formulas say.

use rayon::prelude::*;

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::batch_norm2d::{BatchNorm2d, BatchNorm2dEval, BatchNorm2dFromPartials, BatchNorm2dGrad};

/// The sum of `term(i)` over all places i of channel `c` in a tensor of these extents; in f64, since they may be many.
fn over_channel<R: Real>([n, channels, h, w]: [usize; 4], c: usize, term: impl Fn(usize) -> R) -> R {
    let plane = h * w;
    let places = (0..n).map(|n| (n * channels + c) * plane).flat_map(|first| first..first + plane);
    R::of(places.map(|i| term(i).to_f64()).sum())
}

/// `map(channel, place)` for every place of a tensor of these extents.
fn each_place<R: Real>(output: &mut [R], [_, channels, h, w]: [usize; 4], map: impl Fn(usize, usize) -> R + Sync) {
    let plane = (h * w).max(1);
    output.par_chunks_mut(plane).enumerate().for_each(|(number, out)| {
        for (i, out) in out.iter_mut().enumerate() {
            *out = map(number % channels, number * plane + i);
        }
    });
}

/// Output and statistics from mean and variance; `affine` is the first of the operands weight and bias.
fn normalise<R: Real>(
    inputs: &Inputs<'_, R>,
    outputs: &mut Outputs<R>,
    affine: usize,
    eps: f64,
    moments: impl Fn(usize) -> (R, R) + Send + Sync,
) {
    let (dims, x) = (inputs.nchw(0), inputs.real(0));
    let channels = dims[1];
    let parameters = (inputs.len() > affine).then(|| (inputs.real(affine), inputs.real(affine + 1)));
    let moments: Vec<(R, R)> = (0..channels).into_par_iter().map(moments).collect();
    let inverse = |c: usize| R::of(1.0) / (moments[c].1 + R::of(eps)).sqrt();
    for (c, &(mean, _)) in moments.iter().enumerate() {
        outputs.real(1)[c] = mean;
        outputs.real(1)[channels + c] = inverse(c);
    }
    each_place(outputs.real(0), dims, |c, i| {
        let (weight, bias) = parameters.map_or((R::of(1.0), R::default()), |(weight, bias)| (weight[c], bias[c]));
        (x[i] - moments[c].0) * (inverse(c) * weight) + bias
    });
}

impl Twin for BatchNorm2d {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (dims, x) = (inputs.nchw(0), inputs.real(0));
        let count = R::of((dims[0] * dims[2] * dims[3]) as f64);
        normalise(inputs, outputs, 1, self.eps, |c| {
            let mean = over_channel(dims, c, |i| x[i]) / count;
            (mean, over_channel(dims, c, |i| (x[i] - mean) * (x[i] - mean)) / count)
        });
        outputs.update_ints(2)[0] += 1;
        let batches = outputs.update_ints(2)[0];
        let share = R::of(self.momentum.unwrap_or(1.0 / f64::from(batches)));
        let means = outputs.real(1)[..dims[1]].to_vec();
        for (c, mean) in means.into_iter().enumerate() {
            let squares = over_channel(dims, c, |i| (x[i] - mean) * (x[i] - mean));
            for (i, value) in [mean, squares / (count - R::of(1.0))].into_iter().enumerate() {
                let running = &mut outputs.update(i)[c];
                *running += share * (value - *running);
            }
        }
    }
}

impl Twin for BatchNorm2dFromPartials {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        // The partial statistics say nothing that the input does not.
        let own = inputs.len() - 1;
        let inputs = Inputs { values: inputs.values[..own].to_vec(), outputs: inputs.outputs.clone() };
        R::eval(&self.0, &inputs, outputs);
    }
}

impl Twin for BatchNorm2dEval {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (mean, var) = (inputs.real(1), inputs.real(2));
        normalise(inputs, outputs, 3, self.eps, |c| (mean[c], var[c]));
    }
}

impl Twin for BatchNorm2dGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (dims, x, dy, statistics) = (inputs.nchw(0), inputs.real(0), inputs.real(1), inputs.real(2));
        let channels = dims[1];
        let count = R::of((dims[0] * dims[2] * dims[3]) as f64);
        let weight = (inputs.len() == 4).then(|| inputs.real(3));
        let normalised = |c: usize, i: usize| (x[i] - statistics[c]) * statistics[channels + c];
        let mut sums = vec![(R::default(), R::default()); channels];
        if self.sums() {
            let of_channel =
                |c| (over_channel(dims, c, |i| dy[i] * normalised(c, i)), over_channel(dims, c, |i| dy[i]));
            sums = (0..channels).into_par_iter().map(of_channel).collect();
            for (c, &(grad_weight, grad_bias)) in sums.iter().enumerate() {
                outputs.real(0)[c] = grad_weight;
                outputs.real(1)[c] = grad_bias;
            }
        }
        if self.input {
            let grad_input = outputs.real(if self.sums() { 2 } else { 0 });
            each_place(grad_input, dims, |c, i| {
                let factor = statistics[channels + c] * weight.map_or(R::of(1.0), |weight| weight[c]);
                let (grad_weight, grad_bias) = sums[c];
                let through = match self.training {
                    true => (grad_bias + normalised(c, i) * grad_weight) / count,
                    false => R::default(),
                };
                factor * (dy[i] - through)
            });
        }
    }
}

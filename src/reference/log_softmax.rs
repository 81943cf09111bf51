//! log_softmax over classes, and its gradient.

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::log_softmax::{LogSoftmax, LogSoftmaxGrad};

/// For every row, a sample or a pixel of one, the indices of its classes.
fn rows(dims: &[usize]) -> impl Iterator<Item = impl Iterator<Item = usize> + Clone> {
    let (classes, plane) = (dims[1], dims[2..].iter().product::<usize>());
    (0..dims[0] * plane).map(move |row| {
        let first = row / plane * classes * plane + row % plane;
        (0..classes).map(move |class| first + class * plane)
    })
}

impl Twin for LogSoftmax {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (input, output) = (inputs.real(0), outputs.real(0));
        for row in rows(inputs.dims(0)) {
            let mut values = row.clone().map(|i| input[i]);
            let first = values.next().unwrap_or_default();
            let largest = values.fold(first, |largest, x| if x > largest { x } else { largest });
            let log_sum = row.clone().map(|i| (input[i] - largest).exp()).sum::<R>().ln();
            row.for_each(|i| output[i] = input[i] - largest - log_sum);
        }
    }
}

impl Twin for LogSoftmaxGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (output, grad_output, grad_input) = (inputs.real(0), inputs.real(1), outputs.real(0));
        for row in rows(inputs.dims(0)) {
            let sum: R = row.clone().map(|i| grad_output[i]).sum();
            row.for_each(|i| grad_input[i] = grad_output[i] - output[i].exp() * sum);
        }
    }
}

//! The sum over every axis but channels.

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::column_sum::ColumnSum;

impl Twin for ColumnSum {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let dims = inputs.dims(0);
        let (channels, plane) = (dims[1], dims[2..].iter().product::<usize>());
        let sums = outputs.real(0);
        for (i, values) in inputs.real(0).chunks(plane).enumerate() {
            sums[i % channels] += values.iter().copied().sum();
        }
    }
}

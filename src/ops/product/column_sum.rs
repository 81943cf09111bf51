//! The sum over all rows of a matrix: the gradient of a bias, and the last step of split-K.

use crate::error::Result;
use crate::graph::{Misfit, Operation, Tape};
use crate::kernel::{Lowering, Operand};
use crate::ops::arity;
use crate::ops::reduce::{sum_terms, terms};
use crate::shape::Layout;
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// Sum over every axis but channels: [N, C, H, W] or [N, C] to \[C\].
#[derive(Clone, Copy, Debug)]
pub struct ColumnSum;

impl Tape {
    /// Appends the sum over every axis but channels: [N, C, H, W] or [N, C] to \[C\].
    pub fn column_sum(&mut self, name: &str, input: TensorId) -> Result<TensorId> {
        Ok(self.append(name, ColumnSum, &[input], &[])?[0])
    }
}

impl Operation for ColumnSum {
    fn name(&self) -> &'static str {
        "column_sum"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        match (inputs[0].layout, inputs[0].shape.dims()) {
            (Layout::ChannelsLast, &[_, c, _, _]) | (Layout::RowMajor, &[_, c]) if !inputs[0].shape.is_empty() => {
                Ok(vec![Spec::f32([c])])
            }
            _ => Err(Misfit::Shape(format!("input must be [N,C,H,W] or [N,C], it is {}", inputs[0].shape))),
        }
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let [n, columns, h, w] = lowering.input_dims(0);
        let (input, output) = (lowering.input(0), lowering.output(0));
        sum_rows(lowering, input, output, n * h * w, columns);
        Ok(())
    }
}

/// Adds up the rows of `input` [rows, columns] into `output` \[columns\], in one dispatch, or, for many rows, in
/// several that each leave fewer. The shape determines the order.
pub(crate) fn sum_rows(lowering: &mut Lowering<'_>, input: Operand, output: Operand, rows: u32, columns: u32) {
    sum_terms(lowering, terms("column_sum"), &[("input", input)], output, [1, rows, columns], 1.0);
}

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

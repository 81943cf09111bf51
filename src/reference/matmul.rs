//! The matrix product.

use rayon::prelude::*;

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::matmul::Matmul;

impl Twin for Matmul {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (a, b) = (inputs.real(0), inputs.real(1));
        let bias = (inputs.len() == 3).then(|| inputs.real(2));
        let n = inputs.output_dims(0)[1];
        let m = inputs.output_dims(0)[0];
        let k = a.len() / m;
        let a_at = |row, depth| if self.transpose_a { a[depth * m + row] } else { a[row * k + depth] };
        let b_at = |depth, column| if self.transpose_b { b[column * k + depth] } else { b[depth * n + column] };
        outputs.real(0).par_chunks_mut(n).enumerate().for_each(|(row, output)| {
            for (column, output) in output.iter_mut().enumerate() {
                let mut sum = R::default();
                for depth in 0..k {
                    sum += a_at(row, depth) * b_at(depth, column);
                }
                *output = sum + bias.map_or(R::default(), |bias| bias[column]);
            }
        });
    }
}

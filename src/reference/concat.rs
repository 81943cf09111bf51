//! Tensors one after another along channels.

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::concat::Concat;

impl Twin for Concat {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let image = inputs.output_dims(0)[1..].iter().product();
        for (n, y) in outputs.real(0).chunks_mut(image).enumerate() {
            let mut first = 0;
            for i in 0..inputs.len() {
                let part: usize = inputs.dims(i)[1..].iter().product();
                y[first..][..part].copy_from_slice(&inputs.real(i)[n * part..][..part]);
                first += part;
            }
        }
    }
}

//! What is done to a result before it is stored.

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::finish::Finished;

impl Twin for Finished {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let own = inputs.len() - self.finish.operands();
        let own_inputs = Inputs { values: inputs.values[..own].to_vec(), outputs: inputs.outputs.clone() };
        R::eval(&*self.op, &own_inputs, outputs);
        let zero = R::default();
        let result = outputs.real(0);
        if self.finish.add {
            result.iter_mut().zip(inputs.real(own)).for_each(|(y, &a)| *y += a);
        }
        // Written so that NaN, which no comparison holds for, stays.
        if self.finish.relu {
            result.iter_mut().filter(|y| **y <= zero).for_each(|y| *y = zero);
        }
        if self.finish.mask {
            let masking = inputs.real(inputs.len() - 1);
            result.iter_mut().zip(masking).filter(|(_, m)| **m <= zero).for_each(|(y, _)| *y = zero);
        }
    }
}

//! A copy.

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::copy::Copy;

impl Twin for Copy {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        outputs.real(0).copy_from_slice(inputs.real(0));
    }
}

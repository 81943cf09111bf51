//! flatten: in PyTorch's order of elements nothing moves.

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::flatten::{Flatten, Unflatten};

impl Twin for Flatten {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        outputs.real(0).copy_from_slice(inputs.real(0));
    }
}

impl Twin for Unflatten {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        outputs.real(0).copy_from_slice(inputs.real(0));
    }
}

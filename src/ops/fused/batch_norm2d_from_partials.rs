//! batch_norm2d in training, after a convolution that has computed the partial statistics of its output.

use crate::error::Result;
use crate::graph::{Misfit, Operation};
use crate::kernel::Lowering;
use crate::ops::batch_norm2d::{BatchNorm2dAttributes, partials_shape};
use crate::ops::{arity, nchw};
use crate::tensor::{Spec, Tensor};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// [`BatchNorm2dAttributes`] with the partial statistics of the input as last operand, [chunks, 2, C]: mean and sum of
/// squared deviations of each channel over 32 pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm2dFromPartials(pub BatchNorm2dAttributes);

impl Operation for BatchNorm2dFromPartials {
    fn name(&self) -> &'static str {
        "batch_norm2d"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[2, 4])?;
        let specs = self.0.infer(&inputs[..inputs.len() - 1])?;
        let (partials, expected) = (&inputs[inputs.len() - 1].shape, partials_shape(nchw(inputs[0], "input")?));
        match partials.dims() == expected {
            true => Ok(specs),
            false => Err(Misfit::Shape(format!("partial statistics must be {expected:?}, they are {partials}"))),
        }
    }

    fn has_epilogue(&self) -> bool {
        true
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let last = lowering.input_count() - 1;
        let partials = lowering.input(last);
        self.0.lower_from(lowering, partials, (last > 1).then_some(1));
        Ok(())
    }
}

impl Twin for BatchNorm2dFromPartials {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        // The partial statistics are determined by the input.
        let own = inputs.len() - 1;
        let inputs = Inputs { values: inputs.values[..own].to_vec(), outputs: inputs.outputs.clone() };
        R::eval(&self.0, &inputs, outputs);
    }
}

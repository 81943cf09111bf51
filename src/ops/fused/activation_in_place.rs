//! An activation computed in place.

use crate::error::Result;
use crate::graph::{Misfit, Operation};
use crate::kernel::{Lowering, source};
use crate::ops::activation::Activation;
use crate::tensor::{Spec, Tensor};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// An [`Activation`] computed in place, in the memory of an input without other readers.
#[derive(Clone, Copy, Debug)]
pub struct ActivationInPlace(pub Activation);

impl Operation for ActivationInPlace {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        self.0.infer(inputs)
    }

    fn is_in_place(&self) -> bool {
        true
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        self.0.dispatch(lowering, self.name(), source!("fused/activation_in_place.wgsl"), &[])
    }
}

impl Twin for ActivationInPlace {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        self.0.eval(inputs, outputs);
    }
}

//! An operation whose kernels do the work of the nodes after it in their epilogue, which saves a kernel that reads the
//! output again.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::graph::{Misfit, Operation};
use crate::kernel::{Candidate, Caps, Lowering, Steps, Tensors};
use crate::tensor::{Spec, Tensor};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// An operation with epilogue steps, which its kernels apply to its first output before they store it. Operands are the
/// operation's own, then the addend, then the mask.
#[derive(Clone)]
pub struct WithEpilogue {
    /// The operation.
    pub op: Arc<dyn Operation>,
    /// Steps applied to its first output.
    pub steps: Steps,
}

impl WithEpilogue {
    fn own<'a, 'b>(&self, inputs: &'b [&'a Tensor]) -> &'b [&'a Tensor] {
        &inputs[..inputs.len().saturating_sub(self.steps.operands())]
    }
}

impl fmt::Display for WithEpilogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Steps { add, relu, mask } = self.steps;
        let steps = [(add, " + add"), (relu, " + relu"), (mask, " + relu_grad")];
        steps.into_iter().filter(|(done, _)| *done).try_for_each(|(_, name)| f.write_str(name))
    }
}

impl fmt::Debug for WithEpilogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{self}", self.op)
    }
}

impl Operation for WithEpilogue {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        self.op.infer(self.own(inputs))
    }

    fn multiply_adds(&self, inputs: &[&Tensor]) -> u64 {
        self.op.multiply_adds(self.own(inputs))
    }

    fn key(&self) -> Option<String> {
        Some(format!("{}{self}", self.op.key()?))
    }

    fn candidates<'a>(&'a self, tensors: &Tensors<'_>, caps: &Caps) -> Vec<Candidate<'a>> {
        let candidates = self.op.candidates(&tensors.without_last_inputs(self.steps.operands()), caps);
        let with_steps = |lowering: &mut Lowering<'_>, lower: &dyn Fn(&mut Lowering<'_>) -> Result<()>| {
            lowering.want_steps(self.steps);
            lower(lowering)?;
            match lowering.steps_are_taken() {
                true => Ok(()),
                false => Err(Error::Validation(format!(
                    "{} says that it has an epilogue, and its kernels do not apply it",
                    self.op.name()
                ))),
            }
        };
        candidates.into_iter().map(|candidate| candidate.wrapped(with_steps)).collect()
    }
}

impl Twin for WithEpilogue {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let own = inputs.len() - self.steps.operands();
        let own_inputs = Inputs { values: inputs.values[..own].to_vec(), outputs: inputs.outputs.clone() };
        R::eval(&*self.op, &own_inputs, outputs);
        let zero = R::default();
        let result = outputs.real(0);
        if self.steps.add {
            result.iter_mut().zip(inputs.real(own)).for_each(|(y, &a)| *y += a);
        }
        // Written so that NaN, for which every comparison is false, is kept.
        if self.steps.relu {
            result.iter_mut().filter(|y| **y <= zero).for_each(|y| *y = zero);
        }
        if self.steps.mask {
            let masking = inputs.real(inputs.len() - 1);
            result.iter_mut().zip(masking).filter(|(_, m)| **m <= zero).for_each(|(y, _)| *y = zero);
        }
    }
}

//! The count of updates of the parameters.

use crate::error::Result;
use crate::graph::{Misfit, Operation};
use crate::kernel::{Dispatch, Extent, Kernel, Lowering, source};
use crate::ops::arity;
use crate::tensor::{Spec, Tensor};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// Counts an update, and separately an update with momentum if the momentum is not 0. It runs before the updates of all
/// groups, which read the counts.
///
/// The operand is a group's hyperparameters \[2\] = lr, momentum. Updated in place: the state [`UPDATES`], \[2\] =
/// updates, updates with momentum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountUpdates;

/// Name of the state with the number of updates, and the number of updates with momentum.
pub const UPDATES: &str = "optimizer.updates";

impl Operation for CountUpdates {
    fn name(&self) -> &'static str {
        "count_updates"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        Ok(Vec::new())
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let (hyper, updates) = (lowering.input(0), lowering.update(0));
        lowering.push(
            Dispatch::new(
                Kernel::new("count_updates", &[source!("update/count_updates.wgsl")]),
                &(),
                Extent::Workgroups(1),
            )
            .elements(1_u32)
            .bind("hyper", hyper)
            .bind("updates", updates),
        );
        Ok(())
    }
}

impl Twin for CountUpdates {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let has_momentum = inputs.real(0)[1] != R::default();
        let updates = outputs.update(0);
        updates[0] += R::of(1.0);
        if has_momentum {
            updates[1] += R::of(1.0);
        }
    }
}

//! What is done to the elements of a result before they are stored, so that no kernel of its own must read them again.
//!
//! Tapes have no such operations: the rules of [`crate::plan::fuse`] put them in the place of pairs of nodes.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::graph::{Misfit, Operation};
use crate::kernel::{Caps, Dispatch, Lowering, Operand, Source, source};
use crate::tensor::{Spec, Tensor};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// What is done to each element of a result, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Finish {
    /// The element of another tensor is added.
    pub add: bool,
    /// relu.
    pub relu: bool,
    /// relu's gradient: 0 where the element of another tensor, the output of a relu, is not above 0.
    pub mask: bool,
}

/// An operation whose first output is finished by the kernel that makes it. Operands are the operation's own, then what is
/// added, then what masks.
#[derive(Clone)]
pub struct Finished {
    /// The operation.
    pub op: Arc<dyn Operation>,
    /// What is done to its first output.
    pub finish: Finish,
}

impl Finish {
    /// How many operands it has.
    pub(crate) fn operands(self) -> usize {
        usize::from(self.add) + usize::from(self.mask)
    }

    fn files(self) -> [Source; 4] {
        [
            source!("lib/epilogue.wgsl"),
            if self.add { source!("lib/epilogue_add.wgsl") } else { source!("lib/epilogue_add_none.wgsl") },
            if self.relu { source!("lib/epilogue_relu.wgsl") } else { source!("lib/epilogue_relu_none.wgsl") },
            if self.mask { source!("lib/epilogue_mask.wgsl") } else { source!("lib/epilogue_mask_none.wgsl") },
        ]
    }
}

/// The files and operands of what a node does to its first output before it is stored.
pub(crate) struct Finishing {
    pub files: Vec<Source>,
    operands: Vec<(&'static str, Operand)>,
}

impl Finishing {
    /// Nothing is done.
    pub fn none() -> Self {
        Finishing { files: vec![source!("lib/epilogue_none.wgsl")], operands: Vec::new() }
    }

    /// `finish`, its operands being those of the node from number `first` on, of which this piece is taken.
    pub fn new(finish: Finish, lowering: &Lowering<'_>, first: usize, piece: usize) -> Self {
        let mut operands = Vec::new();
        for (name, wanted) in [("addend", finish.add), ("masking", finish.mask)] {
            if wanted {
                operands.push((name, lowering.input_piece(first + operands.len(), piece)));
            }
        }
        Finishing { files: finish.files().to_vec(), operands }
    }

    /// Binds the operands.
    pub fn bind(&self, dispatch: Dispatch) -> Dispatch {
        dispatch.bind_all(self.operands.iter().copied())
    }
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.op)?;
        let Finish { add, relu, mask } = self.finish;
        let steps = [(add, " + add"), (relu, " + relu"), (mask, " + relu_grad")];
        steps.into_iter().filter(|(done, _)| *done).try_for_each(|(_, name)| f.write_str(name))
    }
}

impl Finished {
    fn own<'a, 'b>(&self, inputs: &'b [&'a Tensor]) -> &'b [&'a Tensor] {
        &inputs[..inputs.len().saturating_sub(self.finish.operands())]
    }
}

impl Operation for Finished {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        self.op.infer(self.own(inputs))
    }

    fn multiply_adds(&self, inputs: &[&Tensor]) -> u64 {
        self.op.multiply_adds(self.own(inputs))
    }

    fn variants(&self, inputs: &[&Tensor], caps: &Caps) -> Vec<&'static str> {
        self.op.variants(self.own(inputs), caps)
    }

    fn tiles(&self, variant: &str, inputs: &[&Tensor], caps: &Caps) -> Vec<&'static str> {
        self.op.tiles(variant, self.own(inputs), caps)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        lowering.begin_finish(self.finish);
        self.op.lower(lowering)?;
        if lowering.has_finished() {
            return Ok(());
        }
        Err(Error::Validation(format!("{} was to finish its output, and its kernels do not", self.op.name())))
    }
}

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

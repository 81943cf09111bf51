//! The epilogue: all that is done to the elements of an output before they are stored.

use super::dispatch::{Dispatch, Operand};
use super::wgsl::{Kernel, Source, source};

/// Steps that a plan has fused into a kernel from the nodes after it, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Steps {
    /// Adds the element of another tensor.
    pub add: bool,
    /// Applies relu.
    pub relu: bool,
    /// Applies relu's gradient: 0 where the element of another tensor, the output of a relu, is not above 0.
    pub mask: bool,
}

impl Steps {
    /// Number of operands that they read.
    pub fn operands(self) -> usize {
        usize::from(self.add) + usize::from(self.mask)
    }
}

/// The work of a kernel on its output's elements before it stores them: bias, then the [`Steps`], then statistics of
/// the stored values. It links the files for that and binds their operands.
#[derive(Clone, Debug, Default)]
pub struct Epilogue {
    steps: Steps,
    /// The outer option tells whether the kernel takes a bias, the inner one is the bias.
    bias: Option<Option<Operand>>,
    addend: Option<Operand>,
    mask: Option<Operand>,
    statistics: Option<Operand>,
}

impl Epilogue {
    /// Creates the epilogue of `steps`, with `operands` in the order of the steps that have one.
    pub(crate) fn new(steps: Steps, operands: impl IntoIterator<Item = Operand>) -> Self {
        let mut operands = operands.into_iter();
        let addend = steps.add.then(|| operands.next()).flatten();
        let mask = steps.mask.then(|| operands.next()).flatten();
        Epilogue { steps, addend, mask, ..Epilogue::default() }
    }

    /// Adds the bias of each column first, a \[columns\] tensor, if there is one; for kernels that take a bias.
    pub fn bias(self, bias: Option<Operand>) -> Self {
        Epilogue { bias: Some(bias), ..self }
    }

    /// Stores mean and sum of squared deviations of chunks of rows in `partials`, for kernels that own whole chunks.
    pub(crate) fn statistics(self, partials: Option<Operand>) -> Self {
        Epilogue { statistics: partials, ..self }
    }

    /// Epilogue for values that are not yet the output, for a kernel that takes the same files: no bias and no steps.
    pub(crate) fn without_steps(&self) -> Self {
        Epilogue { bias: self.bias.map(|_| None), ..Epilogue::default() }
    }

    /// The same epilogue for a kernel that takes a bias, whether or not there is one.
    pub(crate) fn with_optional_bias(&self) -> Self {
        Epilogue { bias: Some(self.bias.flatten()), ..self.clone() }
    }

    /// Links the epilogue's files to the dispatch's kernel and binds the operands.
    pub fn apply(&self, mut dispatch: Dispatch) -> Dispatch {
        dispatch.kernel = self.link(dispatch.kernel);
        let operands = [
            ("bias", self.bias.flatten()),
            ("addend", self.addend),
            ("masking", self.mask),
            ("partials", self.statistics),
        ];
        dispatch.bind_all(operands.into_iter().filter_map(|(name, operand)| Some((name, operand?))))
    }

    fn link(&self, kernel: Kernel) -> Kernel {
        let Steps { add, relu, mask } = self.steps;
        let either = |wanted: bool, [with, without]: [Source; 2]| if wanted { with } else { without };
        let kernel = match self.bias {
            Some(bias) => {
                kernel.with(&[either(bias.is_some(), [source!("lib/bias.wgsl"), source!("lib/bias_none.wgsl")])])
            }
            None => kernel,
        };
        if self.steps == Steps::default() {
            return kernel.with(&[source!("lib/epilogue_none.wgsl")]);
        }
        kernel.flag("RELU", relu).with(&[
            source!("lib/epilogue.wgsl"),
            source!("lib/nan.wgsl"),
            either(add, [source!("lib/epilogue_add.wgsl"), source!("lib/epilogue_add_none.wgsl")]),
            either(mask, [source!("lib/epilogue_mask.wgsl"), source!("lib/epilogue_mask_none.wgsl")]),
        ])
    }
}

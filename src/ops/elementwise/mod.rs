//! Shared parts of elementwise operations: the shape rule of two operands, and the dispatch of a kernel over all
//! elements.

pub mod activation;
pub mod binary;
pub mod copy;
pub mod dropout;
pub mod scale;

use crate::error::Result;
use crate::graph::Misfit;
use crate::kernel::{Dispatch, Extent, Kernel, Lowering};
use crate::ops::arity;
use crate::params;
use crate::tensor::{Spec, Tensor};

params! {
    /// Number of E of the header in the tensors.
    pub(crate) struct Params { len: u32 }
}

/// Shape rule of two operands with the same shape and layout, which the output has too.
pub(crate) fn same_shape(inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
    arity(inputs, &[2])?;
    if inputs[0].shape != inputs[1].shape || inputs[0].layout != inputs[1].layout {
        let message = format!("both operands need one shape, they are {} and {}", inputs[0].shape, inputs[1].shape);
        return Err(Misfit::between(message, &inputs[0].shape, &inputs[1].shape));
    }
    Ok(vec![Spec::like(inputs[0])])
}

/// Calls [`elementwise_with`] for a kernel without attributes, whose params are the number of invocations.
pub(crate) fn elementwise(lowering: &mut Lowering<'_>, kernel: Kernel, inputs: &[&'static str]) -> Result<()> {
    elementwise_with(lowering, kernel, inputs, &|len| Params { len })
}

/// Pushes a dispatch with one invocation per four elements if their number allows it, else per element. `params`
/// creates the params from the number of invocations. The result is bound to `output`, or to `grad_input` if
/// `grad_output` is read.
pub(crate) fn elementwise_with<P: crate::kernel::Params>(
    lowering: &mut Lowering<'_>,
    kernel: Kernel,
    inputs: &[&'static str],
    params: &dyn Fn(u32) -> P,
) -> Result<()> {
    let dispatch = elementwise_dispatch(lowering, kernel, inputs, params);
    lowering.push(dispatch);
    Ok(())
}

/// The dispatch that [`elementwise_with`] pushes.
pub(crate) fn elementwise_dispatch<P: crate::kernel::Params>(
    lowering: &Lowering<'_>,
    kernel: Kernel,
    inputs: &[&'static str],
    params: &dyn Fn(u32) -> P,
) -> Dispatch {
    let each = if lowering.output_len(0).is_multiple_of(4) { 4 } else { 1 };
    let len = lowering.output_len(0) / u64::from(each);
    let operands = (0..inputs.len()).map(|i| lowering.input(i));
    let result = if inputs.contains(&"grad_output") { "grad_input" } else { "output" };
    Dispatch::new(kernel.elements(each), &params(len as u32), Extent::Invocations(len))
        .elements(1_u32)
        .bind_all(inputs.iter().copied().zip(operands))
        .bind(result, lowering.output(0))
}

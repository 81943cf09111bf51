//! Split-K: a product with its K dimension cut into pieces, whose partial sums are computed in parallel and then added
//! up.

use crate::kernel::{Dispatch, Epilogue, Extent, Kernel, Lowering, source};
use crate::params;

params! {
    /// Number of E in a result, number of partial sums of each, and number of E in a row.
    pub(crate) struct Params { len: u32, splits: u32, columns: u32 }
}

/// Destination of a product: output 0 of its node, or partial sums if the K dimension is split.
pub(crate) struct Target {
    /// Name of the kernel's variable.
    pub name: &'static str,
    /// Number of elements of the output.
    pub len: u64,
    /// Number of elements of a row.
    pub columns: u32,
}

/// Pushes `dispatch`, which stores to `target`. With more than one split these are consecutive partial sums; a second
/// dispatch adds them up in order and applies the epilogue.
pub(crate) fn push(lowering: &mut Lowering<'_>, dispatch: Dispatch, splits: u32, target: Target, epilogue: &Epilogue) {
    let output = lowering.output(0);
    if splits == 1 {
        return lowering.push(epilogue.apply(dispatch.bind(target.name, output)));
    }
    let partials = lowering.scratch(u64::from(splits) * target.len * 4);
    lowering.push(epilogue.without_steps().apply(dispatch.bind(target.name, partials)));
    let each = if target.columns.is_multiple_of(4) { 4 } else { 1 };
    let params = Params { len: (target.len / u64::from(each)) as u32, splits, columns: target.columns / each };
    let files = [source!("product/split_sum.wgsl"), source!("lib/divide.wgsl"), source!("lib/each.wgsl")];
    let kernel = Kernel::new("split_sum", &files).constant("WG", 64).elements(each);
    let sum = Dispatch::new(kernel, &params, Extent::Invocations(params.len.into()))
        .elements(splits)
        .bind("partials", partials)
        .bind("output", output);
    lowering.push(epilogue.with_optional_bias().apply(sum));
}

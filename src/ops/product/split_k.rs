//! Split-K: a product whose K dimension is cut into pieces, each of which a part of the device adds up, and the sum of those.

use crate::kernel::{Dispatch, Epilogue, Extent, Kernel, Lowering, source};
use crate::params;

params! {
    /// How many E a result has, how many pieces there are of each, and how many E a row has.
    pub(crate) struct Params { len: u32, splits: u32, columns: u32 }
}

/// What a product is stored to: output 0 of its node, or, if the K dimension is split, partial sums.
pub(crate) struct Target {
    /// The name of the kernel's variable.
    pub name: &'static str,
    /// Elements of the output.
    pub len: u64,
    /// Elements of one of its rows.
    pub columns: u32,
}

/// Pushes `dispatch`, which stores to `target`. Where it has more than one split these are partial sums one after another: a second
/// dispatch adds them up in their order, and applies the epilogue.
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

//! conv2d that makes the partial statistics of its output on the way, for the batch norm that follows.
//!
//! Tapes have no such operation: a rule of [`crate::plan::fusion`] puts it in the place of a convolution.

use super::batch_norm2d::partials_shape;
use super::conv2d::Conv2d;
use super::lowering::{Caps, Lowering, Source, source};
use super::{Misfit, Operation, arity};
use crate::error::Result;
use crate::graph::{Spec, Tensor};

/// What a tiled product is linked with so that it makes the statistics of its result, or none.
pub(super) fn files(wanted: bool) -> [Source; 2] {
    let statistics = if wanted { source!("lib/statistics.wgsl") } else { source!("lib/statistics_none.wgsl") };
    [source!("lib/moments.wgsl"), statistics]
}

/// A convolution without bias. Outputs: its own, then mean and sum of squared deviations of each channel in chunks of 32 of
/// its pixels, [chunks, 2, C].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2dStatistics(pub Conv2d);

impl Operation for Conv2dStatistics {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[2])?;
        let mut specs = self.0.infer(inputs)?;
        let Some(dims) = specs[0].shape.nchw() else { return Ok(specs) };
        specs.push(Spec::f32(partials_shape(dims)));
        Ok(specs)
    }

    fn multiply_adds(&self, inputs: &[&Tensor]) -> u64 {
        self.0.multiply_adds(inputs)
    }

    fn variants(&self, inputs: &[&Tensor], caps: &Caps) -> Vec<&'static str> {
        self.0.variants(inputs, caps)
    }

    fn tiles(&self, variant: &str, inputs: &[&Tensor], caps: &Caps) -> Vec<&'static str> {
        self.0.tiles(variant, inputs, caps)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let partials = lowering.output(1);
        self.0.lower_forward(lowering, Some(partials));
        Ok(())
    }
}

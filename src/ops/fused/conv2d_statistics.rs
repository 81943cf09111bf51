//! conv2d that also computes the partial statistics of its output, for the batch norm that follows.

use crate::error::Result;
use crate::graph::{Misfit, Operation};
use crate::kernel::{Candidate, Caps, Lowering, Tensors};
use crate::ops::arity;
use crate::ops::batch_norm2d::{CHUNK, partial_statistics, partials_shape};
use crate::ops::conv2d::Conv2dAttributes;
use crate::tensor::{Spec, Tensor};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// A convolution without bias. Outputs: its own, then mean and sum of squared deviations of each channel in chunks of
/// 32 pixels, [chunks, 2, C].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2dStatistics(pub Conv2dAttributes);

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

    fn key(&self) -> Option<String> {
        Some(format!("{} + statistics", Operation::key(&self.0)?))
    }

    fn candidates<'a>(&'a self, tensors: &Tensors<'_>, caps: &Caps) -> Vec<Candidate<'a>> {
        let with_statistics = |lowering: &mut Lowering<'_>, lower: &dyn Fn(&mut Lowering<'_>) -> Result<()>| {
            lowering.want_statistics(lowering.output(1));
            lower(lowering)?;
            // The tiled products have already computed them; after other kernels the output is read again.
            if let Some(partials) = lowering.take_statistics() {
                partial_statistics(lowering, lowering.output_dims(0), lowering.output(0), partials);
            }
            Ok(())
        };
        self.0.candidates(tensors, caps).into_iter().map(|candidate| candidate.wrapped(with_statistics)).collect()
    }
}

impl Twin for Conv2dStatistics {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        R::eval(&self.0, inputs, outputs);
        let [n, channels, h, w] = inputs.output_nchw(0);
        let (rows, plane) = (n * h * w, h * w);
        let output = outputs.real(0).to_vec();
        let partials = outputs.real(1);
        for (chunk, of_chunk) in partials.chunks_mut(2 * channels).enumerate() {
            let rows = chunk * CHUNK..rows.min((chunk + 1) * CHUNK);
            for c in 0..channels {
                let value = |row: usize| output[(row / plane * channels + c) * plane + row % plane];
                let mean = R::of(rows.clone().map(|row| value(row).to_f64()).sum::<f64>() / rows.len() as f64);
                let deviation = |row: usize| (value(row) - mean).to_f64();
                of_chunk[c] = mean;
                of_chunk[channels + c] = R::of(rows.clone().map(|row| deviation(row) * deviation(row)).sum());
            }
        }
    }
}

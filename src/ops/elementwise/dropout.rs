//! dropout in training: random elements become 0, the others are scaled up. In evaluation it is the identity.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Dispatch, Extent, Kernel, Lowering, source};
use crate::ops::arity;
use crate::params;
use crate::rng::{Rng, drawn, unit};
use crate::shape::{Layout, Shape};
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// Zero with probability `p`, else `input / (1 - p)`; operands are input and [`Tape::random`]. Source:
/// torch.nn.Dropout.
///
/// The outcome of an element depends on seed, step, `stream` and its position in memory alone, so the gradient draws it
/// again.
#[derive(Clone, Debug, PartialEq)]
pub struct DropoutAttributes {
    /// Probability of 0.
    pub p: f64,
    /// Name of the random number stream, the layer's name.
    pub stream: String,
}

params! {
    /// Number of elements, the stream's number, the probability, and the factor of the kept elements.
    pub(crate) struct Params { len: u32, stream_low: u32, stream_high: u32, p: f32, scale: f32 }
}

impl Tape {
    /// Appends `input` with random elements 0 and the others divided by `1 - p`; returns `input` itself on a tape for
    /// evaluation.
    pub fn dropout(&mut self, name: &str, input: TensorId, p: f64) -> Result<TensorId> {
        let op = DropoutAttributes { p, stream: self.full_name(name) };
        if !self.training() {
            // An invalid probability is an error in evaluation too, not only in training.
            let refused = |message| Error::Attribute { op: op.name(), name: op.stream.clone(), message };
            return op.checked().map(|()| input).map_err(refused);
        }
        let random = self.random()?;
        Ok(self.append(name, op, &[input, random], &[])?[0])
    }
}

impl DropoutAttributes {
    fn checked(&self) -> Result<(), String> {
        match (0.0..=1.0).contains(&self.p) {
            true => Ok(()),
            false => Err(format!("p must be 0 to 1, it is {}", self.p)),
        }
    }

    /// Factor of the kept elements.
    pub(crate) fn scale(&self) -> f64 {
        if self.p < 1.0 { 1.0 / (1.0 - self.p) } else { 0.0 }
    }
}

impl Operation for DropoutAttributes {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[2])?;
        self.checked().map_err(Misfit::Attribute)?;
        Ok(vec![Spec::like(inputs[0])])
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], needs: &[bool]) -> Result<Vec<Grad>> {
        let mut grads = vec![None; needs.len()];
        if let Some(grad_output) = grad_outputs[0].filter(|_| needs[0]) {
            grads[0] = Some(tape.append(&node.name, self.clone(), &[grad_output, node.inputs[1]], &[])?[0]);
        }
        Ok(grads)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let [stream_low, stream_high] = Rng::new(0, &self.stream).stream();
        let len = lowering.output_len(0);
        let each = if len.is_multiple_of(4) { 4 } else { 1 };
        let params = Params {
            len: (len / u64::from(each)) as u32,
            stream_low,
            stream_high,
            p: self.p as f32,
            scale: self.scale() as f32,
        };
        let files = [source!("elementwise/dropout.wgsl"), source!("lib/philox.wgsl"), source!("lib/each.wgsl")];
        let kernel = Kernel::new("dropout", &files).constant("WG", 64).parts(each);
        let (input, random, output) = (lowering.input(0), lowering.input(1), lowering.output(0));
        lowering.push(
            Dispatch::new(kernel, &params, Extent::Invocations(len.div_ceil(4)))
                .elements(4 / each)
                .bind("input", input)
                .bind("random", random)
                .bind("output", output),
        );
        Ok(())
    }
}

impl Twin for DropoutAttributes {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (rng, step) = drawn(&self.stream, inputs.ints(1));
        let (p, scale) = (self.p as f32, R::of(self.scale()));
        // Elements are counted in memory order.
        let mut factors = vec![R::default(); inputs.real(0).len()];
        factors.par_chunks_mut(4).enumerate().for_each(|(item, factors)| {
            for (factor, word) in factors.iter_mut().zip(rng.words_at(step, item as u32)) {
                *factor = if unit(word) < p { R::default() } else { scale };
            }
        });
        let shape = Shape::new(inputs.dims(0));
        let layout = if shape.rank() == 4 { Layout::ChannelsLast } else { Layout::RowMajor };
        let factors = layout.to_logical(&shape, &factors);
        for ((y, &x), &factor) in outputs.real(0).iter_mut().zip(inputs.real(0)).zip(&factors) {
            *y = x * factor;
        }
    }
}

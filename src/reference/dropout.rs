//! dropout, with the random numbers of its kernel.

use rayon::prelude::*;

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::dropout::Dropout;
use crate::rng::{drawn, unit};
use crate::shape::{Layout, Shape};

impl Twin for Dropout {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (rng, step) = drawn(&self.stream, inputs.ints(1));
        let (p, scale) = (self.p as f32, R::of(self.scale()));
        // Elements are counted in the order of device memory.
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

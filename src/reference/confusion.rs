//! The confusion matrix and the count of top-k right predictions.

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::confusion::{AccumulateConfusion, HEADER};

impl Twin for AccumulateConfusion {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let classes = inputs.dims(0)[1];
        let state = outputs.update(0);
        // A word of the state is a u32 in the bits of an f32, which f64 holds too.
        let word = |x: R| (x.to_f64() as f32).to_bits();
        let real = |word: u32| R::of(f64::from(f32::from_bits(word)));
        let count = |place: &mut R| *place = real(word(*place).wrapping_add(1));
        state[1] = real(self.top_k as u32);
        for (logits, &target) in inputs.real(0).chunks(classes).zip(inputs.ints(1)) {
            let Ok(class) = usize::try_from(target) else { continue };
            if target == self.ignore_index {
                continue;
            }
            let Some(&own) = logits.get(class) else {
                count(&mut state[2]);
                continue;
            };
            let mut best = 0;
            for (c, &x) in logits.iter().enumerate() {
                if x > logits[best] {
                    best = c;
                }
            }
            count(&mut state[HEADER + class * classes + best]);
            let is_nan = |x: R| x.to_f64().is_nan();
            let greater = logits.iter().filter(|&&x| is_nan(x) || x > own).count();
            if !is_nan(own) && greater < self.top_k {
                count(&mut state[0]);
            }
        }
    }
}

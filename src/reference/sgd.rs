//! The SGD update, tensor by tensor.

use super::{Inputs, Outputs, Real, Twin};
use crate::ops::sgd::{Clip, SgdUpdate};

impl Twin for SgdUpdate {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let zero = R::default();
        let hyper = inputs.real(0);
        let (lr, momentum, first) = (hyper[0], hyper[1], hyper[2] != zero);
        let (keep, decay, l1) = (R::of(1.0 - self.dampening), R::of(self.weight_decay), R::of(self.l1));
        let parameters = outputs.updates.len() / 2;
        let clipped = |grad: R| match self.clip {
            Clip::None => grad,
            Clip::Value(value) if grad > R::of(value) => R::of(value),
            Clip::Value(value) if grad < R::of(-value) => R::of(-value),
            Clip::Value(_) => grad,
            Clip::Norm => inputs.real(inputs.len() - 1)[1] * grad,
        };
        for i in 0..parameters {
            let grad = inputs.real(1 + i);
            let mut parameter = outputs.update(i).to_vec();
            let buffer = outputs.update(parameters + i);
            for ((p, b), &grad) in parameter.iter_mut().zip(buffer).zip(grad) {
                let sign = if *p > zero {
                    R::of(1.0)
                } else if *p < zero {
                    R::of(-1.0)
                } else {
                    zero
                };
                let grad = clipped(grad);
                let mut g = if self.maximize { -grad } else { grad };
                g += decay * *p + l1 * sign;
                if momentum != zero {
                    *b = if first { g } else { momentum * *b + keep * g };
                    g = if self.nesterov { g + momentum * *b } else { *b };
                }
                *p = *p - lr * g;
            }
            outputs.update(i).copy_from_slice(&parameter);
        }
    }
}

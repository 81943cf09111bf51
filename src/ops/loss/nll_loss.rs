//! The negative log-likelihood of class labels, with class weights and ignored targets, and its gradient.

use crate::error::Result;
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Dispatch, Extent, Kernel, Lowering, source};
use crate::ops::loss::rows::{Rows, add_up, class_weights_fit};
use crate::ops::softmax_cross_entropy::{
    CrossEntropy, Params, ROW, Reduction, class_weight, no_weight_gradient, rows_and_totals,
};
use crate::ops::{arity, channels_of};
use crate::shape::DType;
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// The loss of log-probabilities, as computed by [`LogSoftmax`](super::log_softmax::LogSoftmax). Source:
/// torch.nn.NLLLoss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NllLoss {
    /// Mean, over the weights of the targets, or sum.
    pub reduction: Reduction,
    /// Target value to ignore.
    pub ignore_index: i32,
}

impl Default for NllLoss {
    fn default() -> Self {
        NllLoss { reduction: Reduction::Mean, ignore_index: -100 }
    }
}

/// The gradient of [`NllLoss`] by the log-probabilities: operands are grad_output, log_probs, target, rows and totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NllLossGrad(pub NllLoss);

impl Tape {
    /// Appends the loss of `log_probs` [N, classes] for `target` \[N\], or pixel by pixel of [N, classes, H, W] for
    /// [N, H, W], with optional class `weight` \[classes\]. The targets are class indices as i32.
    pub fn nll_loss(
        &mut self,
        name: &str,
        log_probs: TensorId,
        target: TensorId,
        weight: Option<TensorId>,
        op: NllLoss,
    ) -> Result<CrossEntropy> {
        let operands: Vec<TensorId> = [log_probs, target].into_iter().chain(weight).collect();
        let outputs = self.append(name, op, &operands, &[])?;
        Ok(CrossEntropy { loss: outputs[0], totals: outputs[2] })
    }
}

impl NllLoss {
    fn params(&self, [n, classes, h, w]: [u32; 4]) -> Params {
        let mean = u32::from(self.reduction == Reduction::Mean);
        Params { rows: n * h * w, classes, ignore_index: self.ignore_index, label_smoothing: 0.0, mean }
    }
}

impl Operation for NllLoss {
    fn name(&self) -> &'static str {
        "nll_loss"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[2, 3])?;
        let (log_probs, target) = (inputs[0], inputs[1]);
        let classes = channels_of(log_probs, "log_probs")?;
        let mut expected = log_probs.shape.dims().to_vec();
        expected.remove(1);
        if target.shape.dims() != expected || target.dtype != DType::I32 {
            return Err(Misfit::Shape(format!(
                "target must be log_probs without the classes, of i32; log_probs {}, target {} of {:?}",
                log_probs.shape, target.shape, target.dtype
            )));
        }
        class_weights_fit(inputs, classes)?;
        Ok(vec![Spec::f32([1]), Spec::f32([target.shape.len(), ROW]), Spec::f32([4])])
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], needs: &[bool]) -> Result<Vec<Grad>> {
        no_weight_gradient(self.name(), node, needs)?;
        let mut grads = vec![None; needs.len()];
        if let Some(grad_output) = grad_outputs[0].filter(|_| needs[0]) {
            let operands = [grad_output, node.inputs[0], node.inputs[1], node.outputs[1], node.outputs[2]];
            grads[0] = Some(tape.append(&node.name, NllLossGrad(*self), &operands, &[])?[0]);
        }
        Ok(grads)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let weighted = lowering.input_count() == 3;
        let files = [source!("loss/nll_loss.wgsl"), class_weight(weighted), source!("lib/row.wgsl")];
        let params = self.params(lowering.input_dims(0));
        rows_and_totals(lowering, ("nll_loss", &files), "log_probs", [1, 1], &params);
        Ok(())
    }
}

impl Operation for NllLossGrad {
    fn name(&self) -> &'static str {
        "nll_loss_grad"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[5])?;
        Ok(vec![Spec::like(inputs[1])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let params = self.0.params(lowering.input_dims(1));
        let operands = [0, 2, 3, 4].map(|i| lowering.input(i));
        let grad_log_probs = lowering.output(0);
        let files = [source!("loss/nll_loss_grad.wgsl"), source!("lib/divide.wgsl"), source!("lib/each.wgsl")];
        let kernel = Kernel::new("nll_loss_grad", &files).constant("WG", 64);
        let extent = Extent::Invocations(lowering.output_len(0));
        lowering.push(
            Dispatch::new(kernel, &params, extent)
                .bind_all(["grad_output", "targets", "row_results", "totals"].into_iter().zip(operands))
                .bind("grad_log_probs", grad_log_probs)
                .elements(1_u32),
        );
        Ok(())
    }
}

impl NllLoss {
    /// Results for row `n`: loss, weight, correct prediction, and counted target.
    fn row<R: Real>(&self, inputs: &Inputs<'_, R>, n: usize) -> [R; ROW] {
        let (log_probs, target, rows) = (inputs.real(0), inputs.ints(1)[n], Rows::of(inputs.dims(0)));
        let weight = (inputs.len() == 3).then(|| inputs.real(2));
        let mut row = [R::default(); ROW];
        if target == self.ignore_index {
            return row;
        }
        row[3] = R::of(1.0);
        // A label that is no class makes the loss NaN rather than something plausible.
        row[0] = R::of(f64::NAN);
        if let Some(target) = rows.class(target) {
            let at = |class: usize| log_probs[rows.at(n, class)];
            let best = (1..inputs.dims(0)[1]).fold(0, |best, class| if at(class) > at(best) { class } else { best });
            row[1] = weight.map_or(R::of(1.0), |weight| weight[target]);
            row[0] = -row[1] * at(target);
            row[2] = R::of(f64::from(u8::from(best == target)));
        }
        row
    }
}

impl Twin for NllLoss {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let rows = (0..inputs.ints(1).len()).map(|n| self.row(inputs, n));
        add_up(rows, self.reduction == Reduction::Mean, outputs);
    }
}

impl Twin for NllLossGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let rows = Rows::of(inputs.dims(1));
        let (grad_output, results, totals) = (inputs.real(0)[0], inputs.real(3), inputs.real(4));
        let scale = self.0.reduction.scale(grad_output, totals);
        for (n, (&target, row)) in inputs.ints(2).iter().zip(results.chunks(ROW)).enumerate() {
            if let Some(class) = rows.class(target).filter(|_| row[3] != R::default()) {
                outputs.real(0)[rows.at(n, class)] = -row[1] * scale;
            }
        }
    }
}

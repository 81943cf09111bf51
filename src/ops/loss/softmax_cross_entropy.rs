//! The cross-entropy of softmax(logits) and class labels, with class weights, label smoothing and ignored targets.

use crate::error::{Error, Result};
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Dispatch, Extent, Kernel, Lowering, Source, source};
use crate::ops::arity;
use crate::ops::loss::rows::{Rows, add_up, class_weights_fit, of_rows, totals_workgroup};
use crate::ops::reduce::fewer_rows;
use crate::params;
use crate::shape::{DType, Shape};
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// Reduction of a batch's losses to one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Sum of the losses over the sum of the class weights of the targets that are not ignored.
    Mean,
    /// Sum of the losses.
    Sum,
}

/// Softmax and cross-entropy combined. Source: torch.nn.CrossEntropyLoss with class indices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SoftmaxCrossEntropy {
    /// Mean or sum.
    pub reduction: Reduction,
    /// Target value to ignore.
    pub ignore_index: i32,
    /// Fraction of the target spread evenly over the classes, 0 to 1.
    pub label_smoothing: f32,
}

impl Default for SoftmaxCrossEntropy {
    fn default() -> Self {
        SoftmaxCrossEntropy { reduction: Reduction::Mean, ignore_index: -100, label_smoothing: 0.0 }
    }
}

/// The gradient of [`SoftmaxCrossEntropy`] by the logits. Operands are grad_output, logits, target, rows, totals and,
/// if there are any, class weights.
#[derive(Clone, Copy, Debug)]
pub struct SoftmaxCrossEntropyGrad(pub SoftmaxCrossEntropy);

/// Outputs of [`Tape::softmax_cross_entropy`] and [`Tape::nll_loss`].
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy {
    /// The loss, \[1\].
    pub loss: TensorId,
    /// \[4\]: the sum of the losses, the sum of the weights, the number of correct predictions, the number of counted
    /// targets.
    pub totals: TensorId,
}

/// Number of per-row results: loss, weight, correct, counted, log of the sum of exponentials as two numbers, sum of
/// class weights.
pub(crate) const ROW: usize = 7;
/// Size of the largest logit above which the log of the sum of exponentials is kept as two numbers, since rounding
/// would take the smaller one. As in loss/softmax_cross_entropy_row.wgsl.
const LARGE: f64 = 128.0;

params! {
    /// Extents and attributes.
    pub(crate) struct Params { rows: u32, classes: u32, ignore_index: i32, label_smoothing: f32, mean: u32 }
}

impl Tape {
    /// Appends the loss of `logits` [N, classes] for `target` \[N\], class indices as i32, with optional class `weight`
    /// \[classes\]; or, with a row per pixel, of logits [N, classes, H, W] for target [N, H, W].
    pub fn softmax_cross_entropy(
        &mut self,
        name: &str,
        logits: TensorId,
        target: TensorId,
        weight: Option<TensorId>,
        op: SoftmaxCrossEntropy,
    ) -> Result<CrossEntropy> {
        let (logits, target) = self.rows_of_pixels(logits, target)?;
        let operands: Vec<TensorId> = [logits, target].into_iter().chain(weight).collect();
        let outputs = self.append(name, op, &operands, &[])?;
        Ok(CrossEntropy { loss: outputs[0], totals: outputs[2] })
    }
}

impl Reduction {
    /// Factor of the rows' gradients, in a twin.
    pub(crate) fn scale<R: Real>(self, grad_output: R, totals: &[R]) -> R {
        match self {
            Reduction::Mean => grad_output / totals[1],
            Reduction::Sum => grad_output,
        }
    }
}

impl SoftmaxCrossEntropy {
    pub(crate) fn params(&self, [rows, classes, ..]: [u32; 4]) -> Params {
        Params {
            rows,
            classes,
            ignore_index: self.ignore_index,
            label_smoothing: self.label_smoothing,
            mean: u32::from(self.reduction == Reduction::Mean),
        }
    }
}

/// The file with class weights, or the one without.
pub(crate) fn class_weight(weighted: bool) -> Source {
    if weighted { source!("loss/class_weight.wgsl") } else { source!("loss/class_weight_none.wgsl") }
}

/// Refuses a gradient by the class weights, operand 2.
pub(crate) fn no_weight_gradient(op: &'static str, node: &Node, needs: &[bool]) -> Result<()> {
    if needs.get(2) == Some(&true) {
        return Err(Error::Attribute {
            op,
            name: node.name.clone(),
            message: "has no gradient by its class weights; freeze them".into(),
        });
    }
    Ok(())
}

/// Pushes the dispatches of a loss: a kernel of these files, which computes the per-row results, output 1, from input
/// 0, bound to `scores`, and the dispatch that adds them up. `work` is the argument of [`of_rows`].
pub(crate) fn rows_and_totals(
    lowering: &mut Lowering<'_>,
    kernel: (&'static str, &[Source]),
    scores: &'static str,
    work: [u32; 2],
    params: &Params,
) {
    let weight = lowering.optional_input(2);
    lowering.push(
        of_rows(lowering.caps(), kernel, [params.rows, params.classes], work, params)
            .bind(scores, lowering.input(0))
            .bind("targets", lowering.input(1))
            .bind("row_results", lowering.output(1))
            .bind_all(weight.map(|weight| ("class_weights", weight))),
    );
    totals(lowering, params);
}

/// Maximum number of rows that one workgroup adds up.
const TOTALS_ROWS: u32 = 4096;

/// Adds up the per-row results, output 1, into the totals, output 2, and the loss, output 0.
fn totals(lowering: &mut Lowering<'_>, params: &Params) {
    let (loss, rows, totals) = (lowering.output(0), lowering.output(1), lowering.output(2));
    let extents = [params.rows, ROW as u32];
    let (rows, count) = fewer_rows(lowering, "softmax_cross_entropy/fewer", rows, extents, TOTALS_ROWS);
    let width = totals_workgroup(lowering.caps());
    let params = Params { rows: count, ..*params };
    let files = [
        source!("loss/softmax_cross_entropy_totals.wgsl"),
        source!("lib/workgroup_sum.wgsl"),
        source!("lib/workgroup.wgsl"),
    ];
    let kernel = Kernel::new("softmax_cross_entropy/totals", &files).constant("WG", width);
    lowering.push(
        Dispatch::new(kernel, &params, Extent::Workgroups(1))
            .elements(count.div_ceil(width) + width.ilog2())
            .bind("row_results", rows)
            .bind("totals", totals)
            .bind("loss", loss),
    );
}

impl Operation for SoftmaxCrossEntropy {
    fn name(&self) -> &'static str {
        "softmax_cross_entropy"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[2, 3])?;
        if !(0.0..=1.0).contains(&self.label_smoothing) {
            return Err(Misfit::Attribute(format!("label_smoothing must be 0 to 1, it is {}", self.label_smoothing)));
        }
        let (logits, target) = (inputs[0], inputs[1]);
        let &[n, classes] = logits.shape.dims() else {
            return Err(Misfit::Shape(format!("logits must be [N,classes], they are {}", logits.shape)));
        };
        if n * classes == 0 || target.shape.dims() != [n] || target.dtype != DType::I32 {
            let message = format!(
                "target must be [N] of i32 for logits [N,classes]; logits {}, target {} of {:?}",
                logits.shape, target.shape, target.dtype
            );
            return Err(Misfit::between(message, &Shape::from([n]), &target.shape));
        }
        class_weights_fit(inputs, classes)?;
        Ok(vec![Spec::f32([1]), Spec::f32([n, ROW]), Spec::f32([4])])
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], needs: &[bool]) -> Result<Vec<Grad>> {
        no_weight_gradient(self.name(), node, needs)?;
        let mut grads = vec![None; needs.len()];
        if let Some(grad_output) = grad_outputs[0].filter(|_| needs[0]) {
            let mut operands = vec![grad_output, node.inputs[0], node.inputs[1], node.outputs[1], node.outputs[2]];
            operands.extend(node.inputs.get(2));
            let op = SoftmaxCrossEntropyGrad(*self);
            grads[0] = Some(tape.append(&node.name, op, &operands, &[])?[0]);
        }
        Ok(grads)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let files = [
            source!("loss/softmax_cross_entropy.wgsl"),
            source!("loss/softmax_cross_entropy_sums.wgsl"),
            source!("loss/softmax_cross_entropy_row.wgsl"),
            class_weight(lowering.input_count() == 3),
            source!("lib/softmax_largest.wgsl"),
            source!("lib/softmax.wgsl"),
        ];
        let params = self.params(lowering.input_dims(0));
        rows_and_totals(lowering, ("softmax_cross_entropy", &files), "logits", [2, 2], &params);
        Ok(())
    }
}

impl Operation for SoftmaxCrossEntropyGrad {
    fn name(&self) -> &'static str {
        "softmax_cross_entropy_grad"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[5, 6])?;
        Ok(vec![Spec::like(inputs[1])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let params = self.0.params(lowering.input_dims(1));
        let weighted = lowering.input_count() == 6;
        let operands: Vec<_> = (0..lowering.input_count()).map(|i| lowering.input(i)).collect();
        let grad_logits = lowering.output(0);
        let files = [
            source!("loss/softmax_cross_entropy_grad.wgsl"),
            source!("loss/softmax_cross_entropy_row.wgsl"),
            class_weight(weighted),
            source!("lib/divide.wgsl"),
            source!("lib/each.wgsl"),
            source!("lib/nan.wgsl"),
        ];
        let len = lowering.output_len(0);
        let each = if len.is_multiple_of(4) { 4 } else { 1 };
        let kernel = Kernel::new("softmax_cross_entropy_grad", &files).constant("WG", 64).parts(each);
        let names = ["grad_output", "logits", "targets", "row_results", "totals", "class_weights"];
        lowering.push(
            Dispatch::new(kernel, &params, Extent::Invocations(len.div_ceil(4)))
                .elements(4 / each)
                .bind_all(names.into_iter().zip(operands))
                .bind("grad_logits", grad_logits),
        );
        Ok(())
    }
}

impl Twin for SoftmaxCrossEntropy {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let classes = inputs.dims(0)[1];
        let weight = (inputs.len() == 3).then(|| inputs.real(2));
        let weight_of = |class: usize| weight.map_or(R::of(1.0), |weight| weight[class]);
        let weight_total: R = (0..classes).map(weight_of).sum();
        let smoothing = R::of(f64::from(self.label_smoothing));
        let rows = inputs.real(0).chunks(classes).zip(inputs.ints(1)).map(|(logits, &target)| {
            let (mut best, mut largest) = (0, logits[0]);
            for (class, &x) in logits.iter().enumerate() {
                if x > largest {
                    (best, largest) = (class, x);
                }
            }
            let spread = logits.iter().map(|&x| (x - largest).exp()).sum::<R>().ln();
            let is_large = largest.to_f64().abs() > LARGE;
            let (shift, rest) = if is_large { (largest, spread) } else { (largest + spread, R::default()) };
            let below = |x: R| rest + (shift - x);
            let mut row = [R::default(); ROW];
            row[4..].copy_from_slice(&[shift, rest, weight_total]);
            if target == self.ignore_index {
                return row;
            }
            row[3] = R::of(1.0);
            // A label that is no class makes the loss NaN rather than something plausible.
            row[0] = R::of(f64::NAN);
            if let Some(target) = Rows::of(inputs.dims(0)).class(target) {
                row[0] = weight_of(target) * below(logits[target]);
                // The sum over the classes is infinite if a logit is minus infinity, and 0 times it would be NaN.
                if self.label_smoothing > 0.0 {
                    let even: R = logits.iter().enumerate().map(|(c, &x)| weight_of(c) * below(x)).sum();
                    row[0] = (R::of(1.0) - smoothing) * row[0] + smoothing / R::of(classes as f64) * even;
                }
                row[1] = weight_of(target);
                row[2] = R::of(f64::from(u8::from(best == target)));
            }
            row
        });
        add_up(rows, self.reduction == Reduction::Mean, outputs);
    }
}

impl Twin for SoftmaxCrossEntropyGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (grad_output, logits, targets) = (inputs.real(0)[0], inputs.real(1), inputs.ints(2));
        let (rows, totals) = (inputs.real(3), inputs.real(4));
        let weight = (inputs.len() == 6).then(|| inputs.real(5));
        let weight_of = |class: usize| weight.map_or(R::of(1.0), |weight| weight[class]);
        let classes = inputs.dims(1)[1];
        let smoothing = R::of(f64::from(self.0.label_smoothing));
        let scale = self.0.reduction.scale(grad_output, totals);
        for (i, grad) in outputs.real(0).iter_mut().enumerate() {
            let (n, class) = (i / classes, i % classes);
            let row = &rows[n * ROW..][..ROW];
            if row[3] == R::default() {
                continue;
            }
            let p = (logits[i] - row[4] - row[5]).exp();
            let hit = R::of(f64::from(u8::from(targets[n] == class as i32)));
            let even = smoothing / R::of(classes as f64) * (p * row[6] - weight_of(class));
            *grad = scale * ((R::of(1.0) - smoothing) * row[1] * (p - hit) + even);
        }
    }
}

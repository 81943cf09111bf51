//! mixup: each image of a batch blended with another, and a loss blended from both targets with the same weights.

use crate::error::{Error, Result};
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Dispatch, Extent, Kernel, Lowering, source};
use crate::ops::arity;
use crate::ops::softmax_cross_entropy::{CrossEntropy, SoftmaxCrossEntropy};
use crate::params;
use crate::rng::drawn;
use crate::shape::DType;
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// Settings of mixup: one weight lambda for a whole batch, drawn from Beta(alpha, alpha).
///
/// On a training tape, [`Tape::mixup_lambda`] is declared, [`Tape::mixup`] blends the images before the model, and
/// [`Tape::mixed_cross_entropy`] the losses after it. Before each step [`Mixup::lambda`] is written to [`LAMBDA`].
/// Source: Zhang, Cisse, Dauphin, Lopez-Paz, arXiv 1710.09412; as in timm, the other image is that of the reversed
/// batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixup {
    /// Parameter of the Beta distribution. 0.1 to 0.4 leave most images almost unchanged; 1 draws lambda uniformly.
    pub alpha: f64,
}

/// Name of the input of [`Tape::mixup_lambda`].
pub const LAMBDA: &str = "mixup_lambda";
/// Maximum number of attempts to draw a gamma variate; one in twenty fails.
const TRIES: u32 = 64;

impl Mixup {
    /// Checks alpha against its range.
    pub fn check(&self) -> Result<()> {
        match self.alpha > 0.0 && self.alpha.is_finite() {
            true => Ok(()),
            false => Err(Error::config("mixup", format!("alpha must be above 0, it is {}", self.alpha))),
        }
    }

    /// Draws lambda, the weight of a batch's own images, 0 to 1. `random` comes from [`crate::rng::draw`] for the step.
    pub fn lambda(&self, random: &[i32]) -> f32 {
        // The first gamma variate over the sum of two, by their logarithms, since for small alpha both may be 0 in f64.
        let [a, b] = ["mixup.0", "mixup.1"].map(|stream| self.ln_gamma_variate(stream, random));
        (1.0 / (1.0 + (b - a).exp())) as f32
    }

    /// The logarithm of a variate of Gamma(alpha, 1). Source: Marsaglia and Tsang, "A simple method for generating
    /// gamma variables", 2000; for alpha below 1 a variate for alpha + 1 times a uniform number to the power of 1 /
    /// alpha.
    fn ln_gamma_variate(&self, stream: &str, random: &[i32]) -> f64 {
        let (rng, step) = drawn(stream, random);
        let boosted = self.alpha < 1.0;
        let d = self.alpha + if boosted { 1.0 } else { 0.0 } - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        for attempt in 0..TRIES {
            // Never 0 or 1.
            let uniform = rng.words_at(step, attempt).map(|word| (f64::from(word) + 0.5) / 4_294_967_296.0);
            let normal = (-2.0 * uniform[0].ln()).sqrt() * (std::f64::consts::TAU * uniform[1]).cos();
            let v = (1.0 + c * normal).powi(3);
            if v > 0.0 && uniform[2].ln() < 0.5 * normal * normal + d - d * v + d * v.ln() {
                return (d * v).ln() + if boosted { uniform[3].ln() / self.alpha } else { 0.0 };
            }
        }
        d.ln()
    }
}

/// `lambda input + (1 - lambda) reversed input`, where the reversed input has its rows in reverse order. Operands are
/// input [N, ..] and lambda \[1\]. The gradient by the input is the same function of grad_output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix;

/// Targets \[N\] in reverse order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MixTarget;

/// `lambda a + (1 - lambda) b` of two losses and of their totals. Operands are both of a, both of b, and lambda.
/// Correct predictions are those of the loss with the larger weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MixLoss;

/// The gradients of [`MixLoss`] by both losses: operands are grad_output and lambda.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MixLossGrad;

params! {
    /// Number of rows, and length of a row in E of the header.
    pub(crate) struct Params { rows: u32, row: u32 }
}

params! {
    /// Number of rows.
    pub(crate) struct TargetParams { rows: u32 }
}

impl Tape {
    /// Returns the input [`LAMBDA`], the weight of a batch's own images, declared on first use. Write [`Mixup::lambda`]
    /// to it before each step.
    pub fn mixup_lambda(&mut self) -> Result<TensorId> {
        match self.find_input(LAMBDA) {
            Some(id) => Ok(id),
            None => self.input(LAMBDA, Spec::f32([1])),
        }
    }

    /// Blends `input` [N, ..] with its own rows in reverse order; `lambda` \[1\] is the weight of the original rows.
    pub fn mixup(&mut self, name: &str, input: TensorId, lambda: TensorId) -> Result<TensorId> {
        Ok(self.append(name, Mix, &[input, lambda], &[])?[0])
    }

    /// Loss of `logits` of images blended by [`Tape::mixup`]: `lambda` times [`Tape::softmax_cross_entropy`] for
    /// `target`, plus 1 - `lambda` times the same for the targets in reverse order.
    ///
    /// The totals are blended alike. A prediction is correct if it is the target with the larger weight (the image's
    /// own for halves). The operands are those of [`Tape::softmax_cross_entropy`].
    pub fn mixed_cross_entropy(
        &mut self,
        name: &str,
        logits: TensorId,
        target: TensorId,
        weight: Option<TensorId>,
        lambda: TensorId,
        op: SoftmaxCrossEntropy,
    ) -> Result<CrossEntropy> {
        let reversed = self.append(&format!("{name}.target"), MixTarget, &[target], &[])?[0];
        let own = self.softmax_cross_entropy(&format!("{name}.own"), logits, target, weight, op)?;
        let other = self.softmax_cross_entropy(&format!("{name}.other"), logits, reversed, weight, op)?;
        let operands = [own.loss, own.totals, other.loss, other.totals, lambda];
        let outputs = self.append(name, MixLoss, &operands, &[])?;
        Ok(CrossEntropy { loss: outputs[0], totals: outputs[1] })
    }
}

/// Refuses operand `i` as lambda unless it has one element.
fn one_lambda(inputs: &[&Tensor], i: usize) -> Result<(), Misfit> {
    match inputs[i].shape.len() == 1 && inputs[i].dtype == DType::F32 {
        true => Ok(()),
        false => Err(Misfit::Shape(format!("lambda must be f32 [1], it is {}", inputs[i].shape))),
    }
}

/// Refuses a gradient by lambda, which is operand `i`.
fn no_lambda_gradient(op: &'static str, node: &Node, needs: &[bool], i: usize) -> Result<()> {
    match needs.get(i) {
        Some(true) => Err(Error::Attribute {
            op,
            name: node.name.clone(),
            message: "has no gradient by lambda; freeze it".into(),
        }),
        _ => Ok(()),
    }
}

impl Operation for Mix {
    fn name(&self) -> &'static str {
        "mixup"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[2])?;
        one_lambda(inputs, 1)?;
        if inputs[0].dtype != DType::F32 || inputs[0].shape.is_empty() {
            return Err(Misfit::Shape(format!("input must be f32 [N,..], it is {}", inputs[0].shape)));
        }
        Ok(vec![Spec::like(inputs[0])])
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], needs: &[bool]) -> Result<Vec<Grad>> {
        no_lambda_gradient(self.name(), node, needs, 1)?;
        let mut grads = vec![None; needs.len()];
        if let Some(grad_output) = grad_outputs[0].filter(|_| needs[0]) {
            // Reversed twice, the rows are in their original order.
            grads[0] = Some(tape.append(&node.name, *self, &[grad_output, node.inputs[1]], &[])?[0]);
        }
        Ok(grads)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let rows = lowering.input_dims(0)[0];
        let row = lowering.output_len(0) as u32 / rows;
        let each = if row.is_multiple_of(4) { 4 } else { 1 };
        let params = Params { rows, row: row / each };
        let (input, lambda, output) = (lowering.input(0), lowering.input(1), lowering.output(0));
        let files = [source!("batch/mixup.wgsl"), source!("lib/divide.wgsl"), source!("lib/each.wgsl")];
        let kernel = Kernel::new("mixup", &files).constant("WG", 64).elements(each);
        lowering.push(
            Dispatch::new(kernel, &params, Extent::Invocations(u64::from(rows) * u64::from(params.row)))
                .elements(1_u32)
                .bind("input", input)
                .bind("lambda", lambda)
                .bind("output", output),
        );
        Ok(())
    }
}

impl Operation for MixTarget {
    fn name(&self) -> &'static str {
        "mixup_target"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        match inputs[0].shape.dims() {
            &[n] if n > 0 && inputs[0].dtype == DType::I32 => Ok(vec![Spec::i32([n])]),
            _ => Err(Misfit::Shape(format!(
                "target must be [N] of i32, it is {} of {:?}",
                inputs[0].shape, inputs[0].dtype
            ))),
        }
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let rows = lowering.input_dims(0)[0];
        let (target, output) = (lowering.input(0), lowering.output(0));
        let kernel = Kernel::new("mixup_target", &[source!("batch/mixup_target.wgsl"), source!("lib/each.wgsl")]);
        let params = TargetParams { rows };
        lowering.push(
            Dispatch::new(kernel.constant("WG", 64), &params, Extent::Invocations(rows.into()))
                .elements(1_u32)
                .bind("targets", target)
                .bind("output", output),
        );
        Ok(())
    }
}

impl Operation for MixLoss {
    fn name(&self) -> &'static str {
        "mixup_loss"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[5])?;
        one_lambda(inputs, 4)?;
        for (operand, len) in inputs.iter().zip([1, 4, 1, 4]) {
            if operand.shape.dims() != [len] || operand.dtype != DType::F32 {
                let found: Vec<String> = inputs.iter().map(|input| input.shape.to_string()).collect();
                return Err(Misfit::Shape(format!(
                    "operands must be loss [1] and totals [4], twice, and lambda [1], they are {}",
                    found.join(" ")
                )));
            }
        }
        Ok(vec![Spec::f32([1]), Spec::f32([4])])
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], needs: &[bool]) -> Result<Vec<Grad>> {
        no_lambda_gradient(self.name(), node, needs, 4)?;
        let mut grads = vec![None; needs.len()];
        if let Some(grad_output) = grad_outputs[0] {
            let both = tape.append(&node.name, MixLossGrad, &[grad_output, node.inputs[4]], &[])?;
            (grads[0], grads[2]) = (Some(both[0]), Some(both[1]));
        }
        Ok(grads)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let operands = [0, 1, 2, 3, 4].map(|i| lowering.input(i));
        let (loss, totals) = (lowering.output(0), lowering.output(1));
        let kernel = Kernel::new("mixup_loss", &[source!("batch/mixup_loss.wgsl")]);
        let names = ["own_loss", "own_totals", "other_loss", "other_totals", "lambda"];
        lowering.push(
            Dispatch::new(kernel, &TargetParams { rows: 1 }, Extent::Workgroups(1))
                .elements(1_u32)
                .bind_all(names.into_iter().zip(operands))
                .bind("loss", loss)
                .bind("totals", totals),
        );
        Ok(())
    }
}

impl Operation for MixLossGrad {
    fn name(&self) -> &'static str {
        "mixup_loss_grad"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[2])?;
        one_lambda(inputs, 1)?;
        Ok(vec![Spec::f32([1]); 2])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let (grad_output, lambda) = (lowering.input(0), lowering.input(1));
        let (own, other) = (lowering.output(0), lowering.output(1));
        let kernel = Kernel::new("mixup_loss_grad", &[source!("batch/mixup_loss_grad.wgsl")]);
        lowering.push(
            Dispatch::new(kernel, &TargetParams { rows: 1 }, Extent::Workgroups(1))
                .elements(1_u32)
                .bind("grad_output", grad_output)
                .bind("lambda", lambda)
                .bind("grad_own", own)
                .bind("grad_other", other),
        );
        Ok(())
    }
}

/// lambda and 1 - lambda.
fn shares<R: Real>(lambda: &[R]) -> [R; 2] {
    [lambda[0], R::of(1.0) - lambda[0]]
}

impl Twin for Mix {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let row = inputs.real(0).len() / inputs.dims(0)[0];
        let [own, other] = shares(inputs.real(1));
        let rows = inputs.real(0).chunks(row);
        for (output, (a, b)) in outputs.real(0).chunks_mut(row).zip(rows.clone().zip(rows.rev())) {
            for (output, (&a, &b)) in output.iter_mut().zip(a.iter().zip(b)) {
                *output = own * a + other * b;
            }
        }
    }
}

impl Twin for MixTarget {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        for (output, &target) in outputs.ints(0).iter_mut().zip(inputs.ints(0).iter().rev()) {
            *output = target;
        }
    }
}

impl Twin for MixLoss {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let [own, other] = shares(inputs.real(4));
        let mixed = |i: usize| own * inputs.real(i)[0] + other * inputs.real(i + 2)[0];
        outputs.real(0)[0] = mixed(0);
        let right = inputs.real(if own >= R::of(0.5) { 1 } else { 3 })[2];
        let totals = [mixed(1), inputs.real(1)[1], right, inputs.real(1)[3]];
        outputs.real(1).copy_from_slice(&totals);
    }
}

impl Twin for MixLossGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        for (i, share) in shares(inputs.real(1)).into_iter().enumerate() {
            outputs.real(i)[0] = share * inputs.real(0)[0];
        }
    }
}

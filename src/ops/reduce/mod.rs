//! Sums and means over some of the dims, and their gradient.

use crate::error::Result;
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Dispatch, Extent, Kernel, Lowering, Operand, source};
use crate::ops::arity;
use crate::params;
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// The dims that are summed over, which the result no longer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// All of them: any shape to \[1\]. PyTorch's default.
    All,
    /// All but the batch: [N, C, H, W] or [N, C] to \[N\]. PyTorch's dim=(1,2,3) and dim=1.
    AllButBatch,
    /// Rows and columns: [N, C, H, W] to [N, C]. PyTorch's dim=(2,3).
    Spatial,
}

/// The sum or the mean over some of the dims. Source: torch.sum, torch.mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reduce {
    /// The dims that are summed over.
    pub dim: Dim,
    /// Whether the sum is divided by the number of its terms.
    pub mean: bool,
}

/// The gradient of [`Reduce`]: the operand is grad_output.
#[derive(Clone, Debug)]
pub struct ReduceGrad {
    /// The reduction.
    pub reduce: Reduce,
    /// What its input is.
    pub input: Spec,
}

params! {
    /// Extents around and of the axis that is summed over, how many sums are made along it, and a factor of the result.
    pub(crate) struct Params { outer: u32, count: u32, inner: u32, runs: u32, scale: f32 }
}

params! {
    /// Extents around and of the axis that was summed over, and the factor.
    pub(crate) struct GradParams { outer: u32, count: u32, inner: u32, scale: f32 }
}

/// Terms that one invocation adds up where there are more than twice as many.
const RUN: u32 = 256;

impl Tape {
    /// The sum of `input` over `dim`.
    pub fn sum(&mut self, name: &str, input: TensorId, dim: Dim) -> Result<TensorId> {
        Ok(self.append(name, Reduce { dim, mean: false }, &[input], &[])?[0])
    }

    /// The mean of `input` over `dim`.
    pub fn mean(&mut self, name: &str, input: TensorId, dim: Dim) -> Result<TensorId> {
        Ok(self.append(name, Reduce { dim, mean: true }, &[input], &[])?[0])
    }
}

impl Reduce {
    /// How many terms each sum over a tensor of these extents has.
    pub(crate) fn terms(&self, dims: &[usize]) -> usize {
        let first = match self.dim {
            Dim::All => 0,
            Dim::AllButBatch => 1,
            Dim::Spatial => 2,
        };
        dims[first..].iter().product()
    }

    /// A tensor in memory as three axes, of which the middle one is summed over, and the factor of the sums.
    fn extents(&self, [n, c, h, w]: [u32; 4], len: u64) -> ([u32; 3], f32) {
        let extents = match self.dim {
            Dim::All => [1, len as u32, 1],
            Dim::AllButBatch => [n, c * h * w, 1],
            Dim::Spatial => [n, h * w, c],
        };
        (extents, if self.mean { 1.0 / extents[1] as f32 } else { 1.0 })
    }
}

impl Operation for Reduce {
    fn name(&self) -> &'static str {
        if self.mean { "mean" } else { "sum" }
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        let (shape, layout) = (&inputs[0].shape, inputs[0].layout);
        let fits = |rank: usize| shape.rank() == rank && layout == Spec::f32(shape.clone()).layout;
        match (self.dim, shape.dims()) {
            _ if shape.is_empty() => Err(Misfit::Shape(format!("input must have no empty extent, it is {shape}"))),
            (Dim::All, [_, ..]) => Ok(vec![Spec::f32([1])]),
            (Dim::AllButBatch, &[n, ..]) if fits(2) || fits(4) => Ok(vec![Spec::f32([n])]),
            (Dim::Spatial, &[n, c, ..]) if fits(4) => Ok(vec![Spec::f32([n, c])]),
            (Dim::Spatial, _) => Err(Misfit::Shape(format!("input must be [N,C,H,W], it is {shape}"))),
            _ => Err(Misfit::Shape(format!("input must be [N,C,H,W] or [N,C], it is {shape}"))),
        }
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], _needs: &[bool]) -> Result<Vec<Grad>> {
        let Some(grad_output) = grad_outputs[0] else { return Ok(vec![None]) };
        let op = ReduceGrad { reduce: *self, input: Spec::like(tape.tensor(node.inputs[0])) };
        Ok(vec![Some(tape.append(&node.name, op, &[grad_output], &[])?[0])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let len = lowering.input_tensor(0).shape.len() as u64;
        let (extents, scale) = self.extents(lowering.input_dims(0), len);
        let (input, output) = (lowering.input(0), lowering.output(0));
        sum_terms(lowering, terms(self.name()), &[("input", input)], output, extents, scale);
        Ok(())
    }
}

/// The kernel whose terms are the elements of a tensor.
fn terms(name: &'static str) -> Kernel {
    Kernel::new(name, &[source!("reduce/reduce_term.wgsl")])
}

/// Adds up the terms that `first` makes of `inputs`, [outer, count, inner], into `output` [outer, inner]; as long as there
/// are many, dispatch after dispatch leaves fewer. The order is fixed by the extents.
pub(crate) fn sum_terms(
    lowering: &mut Lowering<'_>,
    first: Kernel,
    inputs: &[(&'static str, Operand)],
    output: Operand,
    [outer, mut count, inner]: [u32; 3],
    scale: f32,
) {
    let mut kernel = first;
    let mut inputs = inputs.to_vec();
    loop {
        let runs = if count <= 2 * RUN { 1 } else { count.div_ceil(RUN) };
        let sums = u64::from(outer) * u64::from(runs) * u64::from(inner);
        let to = if runs == 1 { output } else { lowering.scratch(sums * 4) };
        let params = Params { outer, count, inner, runs, scale: if runs == 1 { scale } else { 1.0 } };
        let (name, main) = (kernel.name, source!("reduce/reduce.wgsl"));
        let kernel_now = kernel.with(&[main, source!("lib/divide.wgsl"), source!("lib/each.wgsl")]).constant("WG", 64);
        lowering.push(
            Dispatch::new(kernel_now, &params, Extent::Invocations(sums))
                .bind_all(inputs)
                .bind("output", to)
                .elements(count.div_ceil(runs)),
        );
        if runs == 1 {
            return;
        }
        (kernel, inputs, count) = (terms(name), vec![("input", to)], runs);
    }
}

impl Operation for ReduceGrad {
    fn name(&self) -> &'static str {
        if self.reduce.mean { "mean_grad" } else { "sum_grad" }
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        Ok(vec![self.input.clone()])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let ([outer, count, inner], scale) = self.reduce.extents(lowering.output_dims(0), lowering.output_len(0));
        let each = if inner.is_multiple_of(4) { 4 } else { 1 };
        let params = GradParams { outer, count, inner: inner / each, scale };
        let (grad_output, grad_input) = (lowering.input(0), lowering.output(0));
        let files = [source!("reduce/reduce_grad.wgsl"), source!("lib/divide.wgsl"), source!("lib/each.wgsl")];
        let kernel = Kernel::new(self.name(), &files).constant("WG", 64).elements(each);
        let extent = Extent::Invocations(lowering.output_len(0) / u64::from(each));
        lowering.push(
            Dispatch::new(kernel, &params, extent)
                .elements(1_u32)
                .bind("grad_output", grad_output)
                .bind("grad_input", grad_input),
        );
        Ok(())
    }
}

/// What a sum of so many terms is multiplied by.
fn scale<R: Real>(mean: bool, terms: usize) -> R {
    if mean { R::of(1.0) / R::of(terms as f64) } else { R::of(1.0) }
}

impl Twin for Reduce {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let terms = self.terms(inputs.dims(0));
        for (y, x) in outputs.real(0).iter_mut().zip(inputs.real(0).chunks(terms)) {
            *y = x.iter().copied().sum::<R>() * scale(self.mean, terms);
        }
    }
}

impl Twin for ReduceGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let terms = self.reduce.terms(self.input.shape.dims());
        for (dx, &dy) in outputs.real(0).chunks_mut(terms).zip(inputs.real(0)) {
            dx.fill(dy * scale(self.reduce.mean, terms));
        }
    }
}

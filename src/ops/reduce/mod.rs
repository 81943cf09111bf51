//! Sums and means over some of the dims, and their gradients.

pub(crate) mod bands;

use crate::error::Result;
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Caps, Dispatch, Extent, Kernel, Lowering, Operand, source};
use crate::ops::arity;
use crate::params;
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};
use bands::Bands;

/// Dims to sum over, which the result no longer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// All of them: any shape to \[1\]. PyTorch's default.
    All,
    /// All but the batch: [N, C, H, W] or [N, C] to \[N\]. PyTorch's dim=(1,2,3) and dim=1.
    AllButBatch,
    /// Rows and columns: [N, C, H, W] to [N, C]. PyTorch's dim=(2,3).
    Spatial,
}

/// Sum or mean over some of the dims. Source: torch.sum, torch.mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reduce {
    /// Dims to sum over.
    pub dim: Dim,
    /// True to divide the sum by the number of its terms.
    pub mean: bool,
}

/// The gradient of [`Reduce`]; the operand is grad_output.
#[derive(Clone, Debug)]
pub struct ReduceGrad {
    /// The reduction.
    pub reduce: Reduce,
    /// Description of its input.
    pub input: Spec,
}

params! {
    /// Extents before, of and after the summed axis, the number of its rows in one sum, and a factor of the sums.
    pub(crate) struct Params { outer: u32, rows: u32, columns: u32, run: u32, scale: f32 }
}

params! {
    /// Extents around and of the summed axis, and the factor.
    pub(crate) struct GradParams { outer: u32, count: u32, inner: u32, scale: f32 }
}

impl Tape {
    /// Appends the sum of `input` over `dim`.
    pub fn sum(&mut self, name: &str, input: TensorId, dim: Dim) -> Result<TensorId> {
        Ok(self.append(name, Reduce { dim, mean: false }, &[input], &[])?[0])
    }

    /// Appends the mean of `input` over `dim`.
    pub fn mean(&mut self, name: &str, input: TensorId, dim: Dim) -> Result<TensorId> {
        Ok(self.append(name, Reduce { dim, mean: true }, &[input], &[])?[0])
    }
}

impl Reduce {
    /// Number of terms of each sum over a tensor of these extents.
    pub(crate) fn terms(&self, dims: &[usize]) -> usize {
        let first = match self.dim {
            Dim::All => 0,
            Dim::AllButBatch => 1,
            Dim::Spatial => 2,
        };
        dims[first..].iter().product()
    }

    /// The tensor in memory as three axes, of which the middle one is summed, and the factor of the sums.
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
pub(crate) fn terms(name: &'static str) -> Kernel {
    Kernel::new(name, &[source!("reduce/reduce_term.wgsl")])
}

/// One pass over the middle of three axes.
struct Pass {
    bands: Bands,
    /// Number of adjacent elements that an invocation owns.
    each: u32,
    /// Number of adjacent rows treated as one, so that four elements can be loaded at once. They are left for the next
    /// pass.
    side: u32,
}

impl Pass {
    fn new(caps: &Caps, [outer, rows, columns]: [u32; 3]) -> Self {
        let pass = |side: u32, each: u32| {
            let bands = Bands::new(caps, [outer, rows / side, columns * side / each]);
            Pass { bands, each, side }
        };
        if columns.is_multiple_of(4) {
            return pass(1, 4);
        }
        // If one pass is not enough anyway, rows of three channels are read as vectors, with a third of the loads.
        let one = pass(1, 1);
        let sides = |side: &u32| rows.is_multiple_of(*side) && (columns * side).is_multiple_of(4);
        match [2, 4].into_iter().find(sides).filter(|_| one.left() > 1) {
            Some(side) => pass(side, 4),
            None => one,
        }
    }

    /// Number of rows left.
    fn left(&self) -> u32 {
        self.bands.runs() * self.side
    }
}

/// Adds up the terms that `first` computes from `inputs`, [outer, rows, columns], into `output` [outer, columns]. For
/// many rows, several dispatches each leave fewer. The extents determine the order.
pub(crate) fn sum_terms(
    lowering: &mut Lowering<'_>,
    first: Kernel,
    inputs: &[(&'static str, Operand)],
    output: Operand,
    [outer, rows, columns]: [u32; 3],
    scale: f32,
) {
    let name = first.name;
    let (mut kernel, mut inputs, mut left) = (first, inputs.to_vec(), rows);
    loop {
        let pass = Pass::new(lowering.caps(), [outer, left, columns]);
        let is_last = pass.left() == 1;
        let to = if is_last {
            output
        } else {
            lowering.scratch(u64::from(outer) * u64::from(pass.left()) * u64::from(columns) * 4)
        };
        push_pass(lowering, kernel, &inputs, to, &pass, [outer, left, columns], if is_last { scale } else { 1.0 });
        if is_last {
            return;
        }
        (kernel, inputs, left) = (terms(name), vec![("input", to)], pass.left());
    }
}

/// Adds up rows of `input` [rows, columns] until at most `enough` are left. Returns the operand with these rows, and
/// their number. The extents determine the order.
pub(crate) fn fewer_rows(
    lowering: &mut Lowering<'_>,
    name: &'static str,
    mut input: Operand,
    [mut rows, columns]: [u32; 2],
    enough: u32,
) -> (Operand, u32) {
    while rows > enough.max(1) {
        let pass = Pass::new(lowering.caps(), [1, rows, columns]);
        let to = lowering.scratch(u64::from(pass.left()) * u64::from(columns) * 4);
        push_pass(lowering, terms(name), &[("input", input)], to, &pass, [1, rows, columns], 1.0);
        (input, rows) = (to, pass.left());
    }
    (input, rows)
}

fn push_pass(
    lowering: &mut Lowering<'_>,
    kernel: Kernel,
    inputs: &[(&'static str, Operand)],
    to: Operand,
    pass: &Pass,
    [outer, rows, columns]: [u32; 3],
    scale: f32,
) {
    let Pass { bands, each, side } = pass;
    let params = Params { outer, rows: rows / side, columns: columns * side / each, run: bands.run, scale };
    let kernel = bands.link(kernel.with(&[source!("reduce/reduce.wgsl")])).elements(*each);
    lowering.push(
        Dispatch::new(kernel, &params, bands.extent())
            .elements(bands.elements())
            .bind_all(inputs.iter().copied())
            .bind("output", to),
    );
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

/// Factor of a sum of `terms` terms.
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

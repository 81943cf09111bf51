//! The matrix product, with optional transposes and an optional bias; `linear` is a special case.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{
    Candidate, Caps, Dispatch, Epilogue, Extent, Kernel, Lowering, Make, Operand, Tensors, in_order, source,
};
use crate::ops::arity;
use crate::ops::product::split_k::{self, Target};
use crate::ops::product::tiles::{self, Core, GemmShape, Operands, Tiling};
use crate::params;
use crate::shape::Shape;
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// `op(a) op(b) + bias`, where op transposes or not; [m, k] by [k, n], bias \[n\]. Source: torch.matmul,
/// torch.nn.Linear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Matmul {
    /// True if `a` is [k, m].
    pub transpose_a: bool,
    /// True if `b` is [n, k], as the weight of a linear layer is.
    pub transpose_b: bool,
}

params! {
    /// Extents; distances between rows, columns and positions of the K dimension in each operand, and the start of this
    /// piece; the number of products and their distance, and the same for the splits of the K dimension.
    pub(crate) struct Params {
        m: u32, n: u32, k: u32, k_chunk: u32,
        a_row: u32, a_k: u32, a_first: u32, a_product: u32,
        b_k: u32, b_column: u32, b_first: u32, b_product: u32,
        output_row: u32, output_first: u32, output_product: u32,
        bias_first: u32,
        products: u32, splits: u32, split_step: u32,
    }
}

impl Tape {
    /// Appends `a b`, [m, k] by [k, n].
    pub fn matmul(&mut self, name: &str, a: TensorId, b: TensorId) -> Result<TensorId> {
        self.product(name, Matmul::default(), a, b, None)
    }

    /// Appends `input weight^T + bias`: [N, in] by [out, in], bias \[out\].
    pub fn linear(
        &mut self,
        name: &str,
        input: TensorId,
        weight: TensorId,
        bias: Option<TensorId>,
    ) -> Result<TensorId> {
        let op = Matmul { transpose_a: false, transpose_b: true };
        self.product(name, op, input, weight, bias)
    }

    /// Appends `op(a) op(b) + bias` with the settings of `op`.
    pub fn product(
        &mut self,
        name: &str,
        op: Matmul,
        a: TensorId,
        b: TensorId,
        bias: Option<TensorId>,
    ) -> Result<TensorId> {
        let operands: Vec<TensorId> = [a, b].into_iter().chain(bias).collect();
        Ok(self.append(name, op, &operands, &[])?[0])
    }
}

impl Matmul {
    /// m, n, k for operands of these shapes.
    fn extents(&self, a: &Tensor, b: &Tensor) -> Option<[usize; 3]> {
        let (&[a0, a1], &[b0, b1]) = (a.shape.dims(), b.shape.dims()) else { return None };
        let (m, k) = if self.transpose_a { (a1, a0) } else { (a0, a1) };
        let (depth, n) = if self.transpose_b { (b1, b0) } else { (b0, b1) };
        (k == depth && m * n * k > 0).then_some([m, n, k])
    }

    /// Creates the kernel of a tiled product; the epilogue links the rest.
    fn kernel(&self, tiling: &Tiling, params: &Params, accumulate: bool) -> Kernel {
        // Distance between rows, number of elements used in each, and position of the first one.
        let runs_a = if self.transpose_a { [params.a_k, params.m] } else { [params.a_row, params.k] };
        let runs_b = if self.transpose_b { [params.b_column, params.k] } else { [params.b_k, params.n] };
        let operands = Operands {
            lines: false,
            along_k: [!self.transpose_a, self.transpose_b],
            whole_runs: params.k.is_multiple_of(4),
            widths: [
                tiles::width(&[runs_a[0], runs_a[1], params.a_first, params.a_product]),
                tiles::width(&[runs_b[0], runs_b[1], params.b_first, params.b_product]),
                tiles::width(&[
                    params.output_row,
                    params.n,
                    params.output_first,
                    params.output_product,
                    params.bias_first,
                ]),
            ],
        };
        let files = [source!("product/matmul_tiled.wgsl"), source!("product/matmul.wgsl")];
        tiling.kernel(tiles::names!("matmul"), &files, &operands, false).flag("ACCUMULATE", accumulate)
    }

    /// Distances between rows of A and positions of its K dimension, then those of B and its columns, for operands
    /// [m, n, k].
    fn distances(&self, [m, n, k]: [u32; 3]) -> ([u32; 2], [u32; 2]) {
        (if self.transpose_a { [1, m] } else { [k, 1] }, if self.transpose_b { [1, k] } else { [n, 1] })
    }

    /// Pushes a dispatch of `kernel` for each piece of the operand too large for one binding, or a single one.
    fn lower_pieces(
        &self,
        lowering: &mut Lowering<'_>,
        kernel: impl Fn(&mut Params, bool) -> (Kernel, Extent),
    ) -> Result<()> {
        let [m, n, k] =
            self.extents(lowering.input_tensor(0), lowering.input_tensor(1)).expect("the shape rule has agreed");
        let cuts = [lowering.input_pieces(0)?, lowering.input_pieces(1)?, lowering.output_pieces(0)?];
        let (a, b, output) = (0, 1, 2);
        let cut: Vec<usize> = (0..3).filter(|&i| cuts[i].len() > 1).collect();
        if cut.len() > 1 {
            let [a, b] = [0, 1].map(|i| &lowering.input_tensor(i).shape);
            return Err(Error::limit(
                format!("the product of {a} and {b}"),
                "two operands cut into pieces",
                "one operand larger than a binding",
                "use a smaller batch or layer",
            ));
        }
        // The axis of m, n, k along which the operand is cut.
        let axis = match (cut.first(), self.transpose_a, self.transpose_b) {
            (Some(&i), true, _) if i == a => 'k',
            (Some(&i), _, true) if i == b => 'n',
            (Some(&i), _, false) if i == b => 'k',
            _ => 'm',
        };
        let pieces = &cuts[cut.first().copied().unwrap_or(output)];
        let ([a_row, a_k], [b_k, b_column]) = self.distances([m, n, k].map(|extent| extent as u32));
        for (piece, (first, rows)) in pieces.rows().enumerate() {
            let part = |name, full| if name == axis { (first, rows) } else { (0, full) };
            let ((m0, m), (n0, n_rows), (k0, k_rows)) = (part('m', m), part('n', n), part('k', k));
            // In a separate piece an operand starts at 0.
            let start = |operand, offset: usize| if cut.contains(&operand) { 0 } else { offset };
            let bias = lowering.optional_input(2).filter(|_| axis != 'k' || piece == 0);
            let mut params = Params {
                m: m as u32,
                n: n_rows as u32,
                k: k_rows as u32,
                k_chunk: k_rows as u32,
                products: 1,
                splits: 1,
                a_row,
                a_k,
                a_first: start(a, m0 * a_row as usize + k0 * a_k as usize) as u32,
                b_k,
                b_column,
                b_first: start(b, k0 * b_k as usize + n0 * b_column as usize) as u32,
                output_row: n as u32,
                output_first: start(output, m0 * n + n0) as u32,
                bias_first: n0 as u32,
                ..Params::default()
            };
            let (kernel, extent) = kernel(&mut params, axis == 'k' && piece > 0);
            let at = |operand| if cut.contains(&operand) { piece } else { 0 };
            let dispatch = Dispatch::new(kernel, &params, extent)
                .k_places(params.k_chunk)
                .bind("a", lowering.input_piece(0, at(a)))
                .bind("b", lowering.input_piece(1, at(b)));
            // Of a sum over pieces only the last is the result.
            let last = axis != 'k' || piece + 1 == pieces.len();
            let epilogue = if last { lowering.epilogue(at(output)) } else { Epilogue::default() }.bias(bias);
            if params.splits == 1 {
                lowering.push(epilogue.apply(dispatch.bind("output", lowering.output_piece(0, at(output)))));
            } else {
                let target = Target { name: "output", len: (m * n) as u64, columns: n as u32 };
                split_k::push(lowering, dispatch, params.splits, target, &epilogue);
            }
        }
        Ok(())
    }
}

/// A product, as described to its candidates.
struct Problem {
    op: Matmul,
    /// m, n, k.
    extents: [u32; 3],
    caps: Caps,
}

impl Problem {
    fn shape(&self) -> GemmShape {
        GemmShape::new(self.extents)
    }
}

/// Candidates in order of preference, on every device.
const ORDER: &[Make<Problem>] = &[
    |of| if of.shape().suits_tiles(&of.caps) { Vec::new() } else { direct(of) },
    |of| tiled(&[Core::Subgroup8], of),
    |of| tiled(tiles::GPU, of),
    direct,
];

/// Tiled products on `cores`.
fn tiled(cores: &[Core], of: &Problem) -> Vec<Candidate<'static>> {
    let (op, [m, n, k]) = (of.op, of.extents);
    tiles::candidates(cores, &of.caps, of.shape(), move |lowering, tiling| {
        op.lower_pieces(lowering, |params, accumulate| {
            if [params.m, params.n, params.k] == [m, n, k] {
                (params.k_chunk, params.splits) = (tiling.k_chunk, tiling.splits);
                params.split_step = if tiling.splits == 1 { 0 } else { m * n };
                return (op.kernel(tiling, params, accumulate), tiling.extent());
            }
            // Pieces are large and fill the device without splits.
            let tiling = tiling.of(&GemmShape::new([params.m, params.n, params.k]));
            (op.kernel(&tiling, params, accumulate), tiling.extent())
        })
    })
}

/// Direct product, with one invocation per element of the result.
fn direct(of: &Problem) -> Vec<Candidate<'static>> {
    let op = of.op;
    vec![Candidate::new("direct", move |lowering| {
        op.lower_pieces(lowering, |params, accumulate| {
            let files =
                [source!("product/matmul_direct.wgsl"), source!("product/matmul.wgsl"), source!("lib/each.wgsl")];
            let kernel =
                tiles::scalars(Kernel::new("matmul/direct", &files)).constant("WG", 64).flag("ACCUMULATE", accumulate);
            (kernel, Extent::Invocations(u64::from(params.m) * u64::from(params.n)))
        })
    })]
}

impl Operation for Matmul {
    fn name(&self) -> &'static str {
        if self.transpose_b { "linear" } else { "matmul" }
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[2, 3])?;
        let (a, b) = (inputs[0], inputs[1]);
        let [m, n, _] = self.extents(a, b).ok_or_else(|| {
            let names = if self.transpose_b { ["input", "weight"] } else { ["a", "b"] };
            let message = format!(
                "the inner extents differ or one is empty; {} {}{}, {} {}{}",
                names[0],
                a.shape,
                if self.transpose_a { " transposed" } else { "" },
                names[1],
                b.shape,
                if self.transpose_b { " transposed" } else { "" },
            );
            Misfit::between(message, &a.shape, &b.shape)
        })?;
        if let Some(bias) = inputs.get(2).filter(|bias| bias.shape.dims() != [n]) {
            return Err(Misfit::between(
                format!("bias must be [{n}], it is {}", bias.shape),
                &Shape::from([n]),
                &bias.shape,
            ));
        }
        Ok(vec![Spec::f32([m, n])])
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], needs: &[bool]) -> Result<Vec<Grad>> {
        let Some(grad) = grad_outputs[0] else { return Ok(vec![None; needs.len()]) };
        let (a, b) = (node.inputs[0], node.inputs[1]);
        let mut product = |ta, tb, x, y| {
            let op = Matmul { transpose_a: ta, transpose_b: tb };
            tape.product(&node.name, op, x, y, None)
        };
        let (ta, tb) = (self.transpose_a, self.transpose_b);
        let mut grads = vec![None; needs.len()];
        // With C = op(a) op(b): d op(a) = dC op(b)^T and d op(b) = op(a)^T dC, each transposed back where op transposes.
        if needs[1] {
            grads[1] = Some(if tb { product(true, ta, grad, a)? } else { product(!ta, false, a, grad)? });
        }
        if needs[0] {
            grads[0] = Some(if ta { product(tb, true, b, grad)? } else { product(false, !tb, grad, b)? });
        }
        if needs.get(2) == Some(&true) {
            grads[2] = Some(tape.column_sum(&node.name, grad)?);
        }
        Ok(grads)
    }

    fn multiply_adds(&self, inputs: &[&Tensor]) -> u64 {
        self.extents(inputs[0], inputs[1]).map_or(0, |[m, n, k]| m as u64 * n as u64 * k as u64)
    }

    fn has_epilogue(&self) -> bool {
        true
    }

    fn key(&self) -> Option<String> {
        let Matmul { transpose_a, transpose_b } = self;
        Some(format!("{} transpose_a={transpose_a} transpose_b={transpose_b}", self.name()))
    }

    fn candidates<'a>(&'a self, tensors: &Tensors<'_>, caps: &Caps) -> Vec<Candidate<'a>> {
        let extents = self.extents(tensors.input(0), tensors.input(1)).expect("the shape rule has agreed");
        let problem = Problem { op: *self, extents: extents.map(|extent| extent as u32), caps: caps.clone() };
        in_order(ORDER, &problem)
    }
}

/// Appends `products` products of [m, k] by [k, n], stored one after another in `a`, `b` and `output`, in one dispatch.
/// Core and tile suit the device, whatever the candidate of the node is.
pub(crate) fn side_by_side(
    lowering: &mut Lowering<'_>,
    op: &Matmul,
    products: u32,
    [m, n, k]: [u32; 3],
    [a, b, output]: [Operand; 3],
) {
    let ([a_row, a_k], [b_k, b_column]) = op.distances([m, n, k]);
    let tiling = Tiling::unsplit(lowering.caps(), &GemmShape::new([m, n, k]).times(products));
    let params = Params {
        m,
        n,
        k,
        k_chunk: k,
        a_row,
        a_k,
        a_product: m * k,
        b_k,
        b_column,
        b_product: k * n,
        output_row: n,
        output_product: m * n,
        products,
        splits: 1,
        ..Params::default()
    };
    let dispatch = Dispatch::new(op.kernel(&tiling, &params, false), &params, tiling.extent())
        .k_places(params.k)
        .executes(u64::from(products) * u64::from(m) * u64::from(n) * u64::from(k))
        .bind("a", a)
        .bind("b", b)
        .bind("output", output);
    lowering.push(Epilogue::default().bias(None).apply(dispatch));
}

impl Twin for Matmul {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (a, b) = (inputs.real(0), inputs.real(1));
        let bias = (inputs.len() == 3).then(|| inputs.real(2));
        let n = inputs.output_dims(0)[1];
        let m = inputs.output_dims(0)[0];
        let k = a.len() / m;
        let a_at = |row, depth| if self.transpose_a { a[depth * m + row] } else { a[row * k + depth] };
        let b_at = |depth, column| if self.transpose_b { b[column * k + depth] } else { b[depth * n + column] };
        outputs.real(0).par_chunks_mut(n).enumerate().for_each(|(row, output)| {
            for (column, output) in output.iter_mut().enumerate() {
                let mut sum = R::default();
                for depth in 0..k {
                    sum += a_at(row, depth) * b_at(depth, column);
                }
                *output = sum + bias.map_or(R::default(), |bias| bias[column]);
            }
        });
    }
}

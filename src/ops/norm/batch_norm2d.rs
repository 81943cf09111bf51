//! batch_norm2d in training and in evaluation, and its gradients.

use rayon::prelude::*;

use crate::error::Result;
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Caps, DeviceClass, Dispatch, Extent, HeaderConstant, Kernel, Lowering, Operand, Source, source};
use crate::ops::reduce::bands::Bands;
use crate::ops::reduce::fewer_rows;
use crate::ops::{arity, nchw};
use crate::params;
use crate::shape::Shape;
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// Normalises every channel by the batch's mean and variance, and updates the running statistics. Source:
/// torch.nn.BatchNorm2d in training.
///
/// Operands: input, then weight and bias or neither. Outputs: output, statistics [2, C] = mean and 1/√(variance + eps).
/// Updated in place: running_mean, running_var, num_batches_tracked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm2dAttributes {
    /// Term added to the variance.
    pub eps: f64,
    /// Weight of a batch in the running statistics; `None` for the average over all batches.
    pub momentum: Option<f64>,
}

impl Default for BatchNorm2dAttributes {
    fn default() -> Self {
        BatchNorm2dAttributes { eps: 1e-5, momentum: Some(0.1) }
    }
}

/// Normalises every channel by the running statistics. Source: torch.nn.BatchNorm2d in evaluation.
///
/// Operands: input, running_mean, running_var, then weight and bias or neither. Outputs are those of
/// [`BatchNorm2dAttributes`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm2dEval {
    /// Term added to the variance.
    pub eps: f64,
}

/// The gradients of both. Operands are input, grad_output, statistics and the weight if there is one. Outputs:
/// grad_weight and grad_bias, if they are needed or the batch's statistics depend on the input; then grad_input, if
/// needed.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm2dGrad {
    /// True if the statistics are the batch's.
    pub training: bool,
    /// True if the gradients by weight and bias are computed.
    pub parameters: bool,
    /// True if the gradient by the input is computed.
    pub input: bool,
}

/// The buffers of a batch norm.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    /// running_mean, \[C\].
    pub mean: TensorId,
    /// running_var, \[C\].
    pub var: TensorId,
    /// num_batches_tracked, \[1\] of i32.
    pub batches: TensorId,
}

params! {
    /// Numbers of rows and columns, of rows per chunk and of chunks merged by one workgroup, and the settings.
    pub(crate) struct Params { rows: u32, columns: u32, chunk: u32, run: u32, eps: f32, momentum: f32 }
}

impl Tape {
    /// Appends `(input - mean) / √(variance + eps) * weight + bias` for each channel of `input` [N, C, H, W].
    ///
    /// On a tape for training, mean and variance are the batch's, and `running` is updated; on a tape for evaluation
    /// they are `running`. `affine` is weight \[C\] and bias \[C\].
    pub fn batch_norm2d(
        &mut self,
        name: &str,
        input: TensorId,
        affine: Option<(TensorId, TensorId)>,
        running: Running,
        op: BatchNorm2dAttributes,
    ) -> Result<TensorId> {
        let affine = affine.into_iter().flat_map(|(weight, bias)| [weight, bias]);
        if self.training() {
            let operands: Vec<TensorId> = [input].into_iter().chain(affine).collect();
            return Ok(self.append(name, op, &operands, &[running.mean, running.var, running.batches])?[0]);
        }
        let operands: Vec<TensorId> = [input, running.mean, running.var].into_iter().chain(affine).collect();
        Ok(self.append(name, BatchNorm2dEval { eps: op.eps }, &operands, &[])?[0])
    }
}

/// Checks everything against the channels of `input`, and returns its extents; `inputs` are the operands with one value
/// per channel.
fn normalised(input: &Tensor, inputs: &[&Tensor], eps: f64) -> Result<[usize; 4], Misfit> {
    let dims = nchw(input, "input")?;
    if !(eps.is_finite() && eps >= 0.0) {
        return Err(Misfit::Attribute(format!("eps must be a finite number of at least 0, it is {eps}")));
    }
    match inputs.iter().find(|tensor| tensor.shape.dims() != [dims[1]]) {
        Some(tensor) => {
            let expected = Shape::from([dims[1]]);
            let message =
                format!("\"{}\" must be {expected} for input {}, it is {}", tensor.name, input.shape, tensor.shape);
            Err(Misfit::between(message, &expected, &tensor.shape))
        }
        None => Ok(dims),
    }
}

fn outputs(dims: [usize; 4]) -> Vec<Spec> {
    vec![Spec::f32(dims), Spec::f32([2, dims[1]])]
}

/// Gradient rule of both forms. `weight` is the index of the weight's operand, if there is one.
fn gradient(
    tape: &mut Tape,
    node: &Node,
    grad_output: Option<TensorId>,
    needs: &[bool],
    (training, weight): (bool, usize),
) -> Result<Vec<Option<TensorId>>> {
    let mut grads = vec![None; needs.len()];
    let Some(grad_output) = grad_output else { return Ok(grads) };
    let affine = needs.len() > weight;
    let op =
        BatchNorm2dGrad { training, parameters: needs[weight.min(needs.len())..].contains(&true), input: needs[0] };
    let mut operands = vec![node.inputs[0], grad_output, node.outputs[1]];
    operands.extend(affine.then(|| node.inputs[weight]));
    let mut made = tape.append(&node.name, op, &operands, &[])?.into_iter();
    if op.sums() {
        let sums = [made.next(), made.next()];
        for (gradient, sum) in grads.iter_mut().skip(weight).zip(sums) {
            *gradient = sum;
        }
    }
    grads[0] = made.next();
    Ok(grads)
}

/// Number of rows whose mean and squared deviations are computed first: `CHUNK` of lib/moments.wgsl.
pub(crate) const CHUNK: usize = 32;

/// Creates a kernel over four channels at a time if their number allows it, else one; returns that number too.
fn kernel(name: &'static str, file: Source, channels: u32) -> (Kernel, u32) {
    let each = if channels.is_multiple_of(4) { 4 } else { 1 };
    let files = [file, source!("norm/batch_norm2d_chunks.wgsl"), source!("lib/nan.wgsl"), source!("lib/divide.wgsl")];
    (Kernel::new(name, &files).elements(each), each)
}

/// Creates the same kernel with workgroups of 64 independent invocations.
fn elementwise(name: &'static str, file: Source, channels: u32) -> (Kernel, u32) {
    let (kernel, each) = kernel(name, file, channels);
    (kernel.with(&[source!("lib/each.wgsl")]).constant("WG", 64), each)
}

/// Links a kernel that computes moments (lib/moments.wgsl) of as many columns at once as E holds.
fn with_moments((mut kernel, each): (Kernel, u32)) -> (Kernel, u32) {
    kernel.constants.push(("V", HeaderConstant::Elements(each)));
    (kernel.with(&[source!("lib/moments.wgsl")]), each)
}

impl Params {
    fn new([n, c, h, w]: [u32; 4], eps: f64) -> Self {
        let rows = n * h * w;
        Params { rows, columns: c, chunk: CHUNK as u32, run: 1, eps: eps as f32, momentum: 0.0 }
    }

    fn per(self, each: u32) -> Self {
        Params { columns: self.columns / each, ..self }
    }

    fn chunks(&self) -> u32 {
        self.rows.div_ceil(self.chunk)
    }

    fn partials(&self, lowering: &mut Lowering<'_>) -> Operand {
        lowering.scratch(u64::from(self.chunks()) * 2 * u64::from(self.columns) * 4)
    }
}

/// Shape of the partial statistics of an image: [chunks, 2, C].
pub(crate) fn partials_shape([n, c, h, w]: [usize; 4]) -> [usize; 3] {
    [(n * h * w).div_ceil(CHUNK), 2, c]
}

/// Pushes the dispatch that computes the partial statistics of `input`, an image of these extents.
pub(crate) fn partial_statistics(lowering: &mut Lowering<'_>, dims: [u32; 4], input: Operand, partials: Operand) {
    let params = Params::new(dims, 0.0);
    let sums = elementwise("batch_norm2d/sums", source!("norm/batch_norm2d_sums.wgsl"), params.columns);
    let (sums, each) = with_moments(sums);
    let params = params.per(each);
    let extent = Extent::Invocations(u64::from(params.chunks()) * u64::from(params.columns));
    lowering.push(
        Dispatch::new(sums, &params, extent).elements(params.chunk).bind("input", input).bind("partials", partials),
    );
}

/// Makes each invocation of a kernel take several rows of a column, for which it loads the column's statistics once.
/// Returns the kernel, its extent and the number of rows. A card needs many invocations first.
fn by_rows(lowering: &Lowering<'_>, kernel: Kernel, params: Params) -> (Kernel, Extent, u32) {
    let len = u64::from(params.rows) * u64::from(params.columns);
    let rows_each = match lowering.caps().class {
        DeviceClass::Software => 8,
        _ if len >= MANY => 4,
        _ => 1,
    };
    let groups = u64::from(params.rows.div_ceil(rows_each));
    let kernel = kernel.with(&[source!("norm/batch_norm2d_rows.wgsl")]).constant("ROWS_EACH", rows_each);
    (kernel, Extent::Invocations(groups * u64::from(params.columns)), rows_each)
}

/// Number of E from which a card is busy even if its invocations take four rows each.
const MANY: u64 = 4 << 17;

/// Pushes the dispatch that applies the statistics, the last of all forms. `affine` is the index of the weight, which
/// the bias follows, if there are any; `batches` counts the batches in training.
fn apply(lowering: &mut Lowering<'_>, params: Params, affine: Option<usize>, batches: Option<Operand>) {
    let (input, output, statistics) = (lowering.input(0), lowering.output(0), lowering.output(1));
    let affine = affine.map(|weight| (lowering.input(weight), lowering.input(weight + 1)));
    let (kernel, each) = elementwise("batch_norm2d", source!("norm/batch_norm2d.wgsl"), params.columns);
    let kernel = match affine {
        Some(_) => kernel.with(&[source!("norm/channel_weight.wgsl"), source!("norm/channel_bias.wgsl")]),
        None => kernel.with(&[source!("norm/channel_weight_none.wgsl"), source!("norm/channel_bias_none.wgsl")]),
    };
    let kernel = kernel.with(&[match batches {
        Some(_) => source!("norm/batch_norm2d_count.wgsl"),
        None => source!("norm/batch_norm2d_count_none.wgsl"),
    }]);
    let params = params.per(each);
    let (kernel, extent, rows_each) = by_rows(lowering, kernel, params);
    let dispatch = Dispatch::new(kernel, &params, extent)
        .elements(rows_each)
        .bind("input", input)
        .bind("statistics", statistics)
        .bind("output", output)
        .bind_all(affine.into_iter().flat_map(|(weight, bias)| [("weight", weight), ("bias", bias)]))
        .bind_all(batches.map(|batches| ("batches", batches)));
    lowering.push(lowering.epilogue(0).apply(dispatch));
}

/// The merging of chunks. A software device keeps its established order of sums, so that its results stay bitwise the
/// same.
fn merging(caps: &Caps, chunks: u32, columns: u32) -> Bands {
    match caps.class {
        DeviceClass::Software => Bands::of_eight_lanes([chunks, columns]),
        _ => Bands::new(caps, [1, chunks, columns]),
    }
}

/// Merges partial statistics until one workgroup per band of columns can merge the rest. Returns the rest.
fn merged(lowering: &mut Lowering<'_>, mut params: Params, mut partials: Operand) -> (Params, Operand) {
    loop {
        let (kernel, each) = moments("batch_norm2d/merged", source!("norm/batch_norm2d_merged.wgsl"), params.columns);
        let bands = merging(lowering.caps(), params.chunks(), params.columns / each);
        if bands.runs() == 1 {
            return (Params { run: bands.run, ..params }, partials);
        }
        params.run = bands.run;
        let larger = Params { chunk: params.chunk * bands.run, ..params };
        let joined = larger.partials(lowering);
        lowering.push(
            Dispatch::new(bands.link(kernel), &params.per(each), bands.extent())
                .elements(bands.elements())
                .bind("partials", partials)
                .bind("joined_partials", joined),
        );
        (params, partials) = (larger, joined);
    }
}

/// The kernel that merges partial statistics, with the file that takes the result.
fn moments(name: &'static str, whole: Source, channels: u32) -> (Kernel, u32) {
    let (kernel, each) = with_moments(kernel(name, source!("norm/batch_norm2d_moments.wgsl"), channels));
    (kernel.with(&[whole]), each)
}

impl BatchNorm2dAttributes {
    /// Pushes the dispatches that follow the partial statistics: statistics, running statistics, output.
    pub(crate) fn lower_from(&self, lowering: &mut Lowering<'_>, partials: Operand, affine: Option<usize>) {
        let params = Params::new(lowering.input_dims(0), self.eps);
        let (mut left, partials) = merged(lowering, params, partials);
        left.momentum = self.momentum.map_or(-1.0, |momentum| momentum as f32);
        let statistics = lowering.output(1);
        let (mean, var, batches) = (lowering.update(0), lowering.update(1), lowering.update(2));
        let whole = source!("norm/batch_norm2d_statistics.wgsl");
        let (kernel, each) = moments("batch_norm2d/statistics", whole, params.columns);
        let bands = merging(lowering.caps(), left.chunks(), params.columns / each);
        lowering.push(
            Dispatch::new(bands.link(kernel), &left.per(each), bands.extent())
                .elements(bands.elements())
                .bind("partials", partials)
                .bind("batches", batches)
                .bind("statistics", statistics)
                .bind("running_mean", mean)
                .bind("running_var", var),
        );
        apply(lowering, params, affine, Some(batches));
    }
}

impl Operation for BatchNorm2dAttributes {
    fn name(&self) -> &'static str {
        "batch_norm2d"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1, 3])?;
        let dims = normalised(inputs[0], &inputs[1..], self.eps)?;
        if let Some(momentum) = self.momentum.filter(|m| !(0.0..=1.0).contains(m)) {
            return Err(Misfit::Attribute(format!("momentum must be 0 to 1, or none, it is {momentum}")));
        }
        let [n, _, h, w] = dims;
        if n * h * w == 1 {
            return Err(Misfit::Shape(format!(
                "training needs more than one value per channel, input is {}; use a larger batch or image",
                inputs[0].shape
            )));
        }
        Ok(outputs(dims))
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], needs: &[bool]) -> Result<Vec<Grad>> {
        gradient(tape, node, grad_outputs[0], needs, (true, 1))
    }

    fn has_epilogue(&self) -> bool {
        true
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let dims = lowering.input_dims(0);
        let partials = Params::new(dims, self.eps).partials(lowering);
        let input = lowering.input(0);
        partial_statistics(lowering, dims, input, partials);
        let affine = (lowering.input_count() > 1).then_some(1);
        self.lower_from(lowering, partials, affine);
        Ok(())
    }
}

impl Operation for BatchNorm2dEval {
    fn name(&self) -> &'static str {
        "batch_norm2d_eval"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[3, 5])?;
        normalised(inputs[0], &inputs[1..], self.eps).map(outputs)
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], needs: &[bool]) -> Result<Vec<Grad>> {
        gradient(tape, node, grad_outputs[0], needs, (false, 3))
    }

    fn has_epilogue(&self) -> bool {
        true
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let params = Params::new(lowering.input_dims(0), self.eps);
        let (mean, var, statistics) = (lowering.input(1), lowering.input(2), lowering.output(1));
        let (running, _) = elementwise("batch_norm2d/running", source!("norm/batch_norm2d_running.wgsl"), 1);
        lowering.push(
            Dispatch::new(running, &params, Extent::Invocations(params.columns.into()))
                .elements(1_u32)
                .bind("running_mean", mean)
                .bind("running_var", var)
                .bind("statistics", statistics),
        );
        let affine = (lowering.input_count() > 3).then_some(3);
        apply(lowering, params, affine, None);
        Ok(())
    }
}

impl BatchNorm2dGrad {
    /// True if the sums over rows are computed, which are the gradients by weight and bias.
    pub(crate) fn sums(&self) -> bool {
        self.training || self.parameters
    }

    /// Pushes the sums over rows: first those of chunks, if there are many rows, then those over the chunks.
    fn grad_sums(&self, lowering: &mut Lowering<'_>, params: Params) {
        let (input, grad_output, statistics) = (lowering.input(0), lowering.input(1), lowering.input(2));
        let (grad_weight, grad_bias) = (lowering.output(0), lowering.output(1));
        let totals = source!("norm/batch_norm2d_grad_totals.wgsl");
        let kernel = |name, part, whole| {
            let (kernel, each) = kernel(name, part, params.columns);
            (kernel.with(&[whole, source!("norm/batch_norm2d_grad_joined.wgsl")]), each)
        };
        let sums = source!("norm/batch_norm2d_grad_sums.wgsl");
        let (of_all, each) = kernel("batch_norm2d_grad/sums", sums, totals);
        let bands = Bands::new(lowering.caps(), [1, params.rows, params.columns / each]);
        let params = Params { chunk: bands.run, ..params };
        let of_rows = |kernel| {
            Dispatch::new(bands.link(kernel), &params.per(each), bands.extent())
                .elements(bands.elements())
                .bind("input", input)
                .bind("grad_output", grad_output)
                .bind("statistics", statistics)
        };
        if bands.runs() == 1 {
            lowering.push(of_rows(of_all).bind("grad_weight", grad_weight).bind("grad_bias", grad_bias));
            return;
        }
        let partials = params.partials(lowering);
        let (of_chunks, _) =
            kernel("batch_norm2d_grad/partials", sums, source!("norm/batch_norm2d_grad_partials.wgsl"));
        lowering.push(of_rows(of_chunks).bind("partials", partials));
        // Covers the columns [2, C] of both sums at once.
        let lanes = Bands::new(lowering.caps(), [1, bands.runs(), params.columns / each]);
        let enough = if lanes.runs() == 1 { bands.runs() } else { lanes.run };
        let extents = [bands.runs(), 2 * params.columns];
        let (partials, chunks) = fewer_rows(lowering, "batch_norm2d_grad/fewer", partials, extents, enough);
        let params = Params { rows: chunks, chunk: 1, ..params };
        let merge = source!("norm/batch_norm2d_grad_merge.wgsl");
        let (of_chunks, _) = kernel("batch_norm2d_grad/totals", merge, totals);
        let bands = Bands::new(lowering.caps(), [1, chunks, params.columns / each]);
        lowering.push(
            Dispatch::new(bands.link(of_chunks), &params.per(each), bands.extent())
                .elements(bands.elements())
                .bind("partials", partials)
                .bind("grad_weight", grad_weight)
                .bind("grad_bias", grad_bias),
        );
    }
}

impl Operation for BatchNorm2dGrad {
    fn name(&self) -> &'static str {
        "batch_norm2d_grad"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[3, 4])?;
        let mut specs = Vec::new();
        if self.sums() {
            let channels = nchw(inputs[0], "input")?[1];
            specs.extend([Spec::f32([channels]), Spec::f32([channels])]);
        }
        specs.extend(self.input.then(|| Spec::like(inputs[0])));
        Ok(specs)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let params = Params::new(lowering.input_dims(0), 0.0);
        if self.sums() {
            self.grad_sums(lowering, params);
        }
        if !self.input {
            return Ok(());
        }
        let (input, grad_output, statistics) = (lowering.input(0), lowering.input(1), lowering.input(2));
        let weight = lowering.optional_input(3);
        let grad_input = lowering.output(if self.sums() { 2 } else { 0 });
        let (name, file) = match self.training {
            true => ("batch_norm2d_grad", source!("norm/batch_norm2d_grad.wgsl")),
            false => ("batch_norm2d_grad/running", source!("norm/batch_norm2d_grad_running.wgsl")),
        };
        let (kernel, each) = elementwise(name, file, params.columns);
        let params = params.per(each);
        let sums = self.training.then(|| (lowering.output(0), lowering.output(1)));
        let kernel = kernel.with(&[match weight {
            Some(_) => source!("norm/channel_weight.wgsl"),
            None => source!("norm/channel_weight_none.wgsl"),
        }]);
        let (kernel, extent, rows_each) = by_rows(lowering, kernel, params);
        lowering.push(
            Dispatch::new(kernel, &params, extent)
                .bind("grad_output", grad_output)
                .bind("statistics", statistics)
                .bind("grad_input", grad_input)
                .elements(rows_each)
                .bind_all(sums.into_iter().flat_map(|(grad_weight, grad_bias)| {
                    [("input", input), ("grad_weight", grad_weight), ("grad_bias", grad_bias)]
                }))
                .bind_all(weight.map(|weight| ("weight", weight))),
        );
        Ok(())
    }
}

/// Sums `term(i)` over all positions i of channel `c` in a tensor of these extents, in f64, since there may be many.
fn over_channel<R: Real>([n, channels, h, w]: [usize; 4], c: usize, term: impl Fn(usize) -> R) -> R {
    let plane = h * w;
    let places = (0..n).map(|n| (n * channels + c) * plane).flat_map(|first| first..first + plane);
    R::of(places.map(|i| term(i).to_f64()).sum())
}

/// Fills `output` with `map(channel, position)` for every position of a tensor of these extents.
fn each_place<R: Real>(output: &mut [R], [_, channels, h, w]: [usize; 4], map: impl Fn(usize, usize) -> R + Sync) {
    let plane = (h * w).max(1);
    output.par_chunks_mut(plane).enumerate().for_each(|(number, out)| {
        for (i, out) in out.iter_mut().enumerate() {
            *out = map(number % channels, number * plane + i);
        }
    });
}

/// Computes output and statistics from mean and variance. `affine` is the index of the weight, which the bias follows.
fn normalise<R: Real>(
    inputs: &Inputs<'_, R>,
    outputs: &mut Outputs<R>,
    affine: usize,
    eps: f64,
    moments: impl Fn(usize) -> (R, R) + Send + Sync,
) {
    let (dims, x) = (inputs.nchw(0), inputs.real(0));
    let channels = dims[1];
    let parameters = (inputs.len() > affine).then(|| (inputs.real(affine), inputs.real(affine + 1)));
    let moments: Vec<(R, R)> = (0..channels).into_par_iter().map(moments).collect();
    let inverse = |c: usize| R::of(1.0) / (moments[c].1 + R::of(eps)).sqrt();
    for (c, &(mean, _)) in moments.iter().enumerate() {
        outputs.real(1)[c] = mean;
        outputs.real(1)[channels + c] = inverse(c);
    }
    each_place(outputs.real(0), dims, |c, i| {
        let (weight, bias) = parameters.map_or((R::of(1.0), R::default()), |(weight, bias)| (weight[c], bias[c]));
        (x[i] - moments[c].0) * (inverse(c) * weight) + bias
    });
}

impl Twin for BatchNorm2dAttributes {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (dims, x) = (inputs.nchw(0), inputs.real(0));
        let count = R::of((dims[0] * dims[2] * dims[3]) as f64);
        normalise(inputs, outputs, 1, self.eps, |c| {
            let mean = over_channel(dims, c, |i| x[i]) / count;
            (mean, over_channel(dims, c, |i| (x[i] - mean) * (x[i] - mean)) / count)
        });
        outputs.update_ints(2)[0] += 1;
        let batches = outputs.update_ints(2)[0];
        let share = R::of(self.momentum.unwrap_or(1.0 / f64::from(batches)));
        let means = outputs.real(1)[..dims[1]].to_vec();
        for (c, mean) in means.into_iter().enumerate() {
            let squares = over_channel(dims, c, |i| (x[i] - mean) * (x[i] - mean));
            for (i, value) in [mean, squares / (count - R::of(1.0))].into_iter().enumerate() {
                let running = &mut outputs.update(i)[c];
                *running += share * (value - *running);
            }
        }
    }
}

impl Twin for BatchNorm2dEval {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (mean, var) = (inputs.real(1), inputs.real(2));
        normalise(inputs, outputs, 3, self.eps, |c| (mean[c], var[c]));
    }
}

impl Twin for BatchNorm2dGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (dims, x, dy, statistics) = (inputs.nchw(0), inputs.real(0), inputs.real(1), inputs.real(2));
        let channels = dims[1];
        let count = R::of((dims[0] * dims[2] * dims[3]) as f64);
        let weight = (inputs.len() == 4).then(|| inputs.real(3));
        let normalised = |c: usize, i: usize| (x[i] - statistics[c]) * statistics[channels + c];
        let mut sums = vec![(R::default(), R::default()); channels];
        if self.sums() {
            let of_channel =
                |c| (over_channel(dims, c, |i| dy[i] * normalised(c, i)), over_channel(dims, c, |i| dy[i]));
            sums = (0..channels).into_par_iter().map(of_channel).collect();
            for (c, &(grad_weight, grad_bias)) in sums.iter().enumerate() {
                outputs.real(0)[c] = grad_weight;
                outputs.real(1)[c] = grad_bias;
            }
        }
        if self.input {
            let grad_input = outputs.real(if self.sums() { 2 } else { 0 });
            each_place(grad_input, dims, |c, i| {
                let factor = statistics[channels + c] * weight.map_or(R::of(1.0), |weight| weight[c]);
                let (grad_weight, grad_bias) = sums[c];
                let through = match self.training {
                    true => (grad_bias + normalised(c, i) * grad_weight) / count,
                    false => R::default(),
                };
                factor * (dy[i] - through)
            });
        }
    }
}

//! adaptive_avg_pool2d, whose windows follow from the output's size, and its gradient.

use std::ops::Range;

use crate::error::Result;
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Dispatch, Extent, Kernel, Lowering, Source, source};
use crate::ops::pool::together;
use crate::ops::{arity, nchw, positive};
use crate::params;
use crate::shape::{Shape, Window};
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin, fill_nchw};

/// Mean over windows that cover an input of any size evenly. Source: torch.nn.AdaptiveAvgPool2d.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AdaptiveAvgPool2dAttributes {
    /// Height and width of the output; 1 by 1 is the global average pool.
    pub output: [usize; 2],
}

/// The gradient of [`AdaptiveAvgPool2dAttributes`].
#[derive(Clone, Debug)]
pub struct AdaptiveAvgPool2dGrad {
    /// The shape of its input.
    pub input: Shape,
}

params! {
    /// Extents.
    pub(crate) struct Params { batch: u32, channels: u32, in_h: u32, in_w: u32, out_h: u32, out_w: u32 }
}

impl Tape {
    /// Appends the means over windows of `input` [N, C, H, W] that give [N, C, output].
    pub fn adaptive_avg_pool2d(&mut self, name: &str, input: TensorId, output: [usize; 2]) -> Result<TensorId> {
        Ok(self.append(name, AdaptiveAvgPool2dAttributes { output }, &[input], &[])?[0])
    }

    /// Appends the mean over height and width: [N, C, H, W] to [N, C, 1, 1].
    pub fn global_avg_pool2d(&mut self, name: &str, input: TensorId) -> Result<TensorId> {
        self.adaptive_avg_pool2d(name, input, [1, 1])
    }
}

/// Maximum number of the `from` positions along an axis that belong to one of `to`. If `to` does not divide `from`,
/// windows overlap by less than one position at either end.
fn span(from: usize, to: usize) -> usize {
    from.div_ceil(to) + usize::from(!from.is_multiple_of(to))
}

/// Creates a dispatch of the kernel `main` for `len` elements of its result, over the pooling's `input` and `output`
/// extents. It reads and writes tensors with the extents and names of the last pair.
fn pool(
    lowering: &mut Lowering<'_>,
    (name, main, len): (&'static str, Source, u64),
    [input, output]: [[u32; 4]; 2],
    (names, from_to): ([&'static str; 2], [[u32; 4]; 2]),
) {
    let [batch, channels, in_h, in_w] = input;
    let each = together(channels);
    let params = Params { batch, channels: channels / each, in_h, in_w, out_h: output[2], out_w: output[3] };
    let files = [
        main,
        source!("pool/adaptive_avg_pool2d_windows.wgsl"),
        source!("pool/window.wgsl"),
        source!("pool/place.wgsl"),
        source!("lib/divide.wgsl"),
        source!("lib/each.wgsl"),
    ];
    let kernel = Kernel::new(name, &files).elements(each).constant("WG", 64);
    let (from, to) = (lowering.input(0), lowering.output(0));
    let across = |axis: usize| span(from_to[0][axis] as usize, from_to[1][axis] as usize) as u32;
    let elements = across(2) * across(3);
    let dispatch = Dispatch::new(kernel, &params, Extent::Invocations(len / u64::from(each))).elements(elements);
    let dispatch = dispatch.bind(names[0], from).bind(names[1], to);
    lowering.push(lowering.epilogue(0).apply(dispatch));
}

impl Operation for AdaptiveAvgPool2dAttributes {
    fn name(&self) -> &'static str {
        "adaptive_avg_pool2d"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        let [n, c, _, _] = nchw(inputs[0], "input")?;
        positive("output", self.output)?;
        Ok(vec![Spec::f32([n, c, self.output[0], self.output[1]])])
    }

    fn window(&self, inputs: &[&Tensor]) -> Option<Window> {
        let [_, _, h, w] = inputs[0].shape.nchw()?;
        let [to_h, to_w] = self.output;
        let (kernel, stride) = ([span(h, to_h), span(w, to_w)], [h.div_ceil(to_h), w.div_ceil(to_w)]);
        Some(Window { kernel, stride, padding: [0; 4], dilation: [1; 2] })
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], _needs: &[bool]) -> Result<Vec<Grad>> {
        let Some(grad_output) = grad_outputs[0] else { return Ok(vec![None]) };
        let op = AdaptiveAvgPool2dGrad { input: tape.shape(node.inputs[0]).clone() };
        Ok(vec![Some(tape.append(&node.name, op, &[grad_output], &[])?[0])])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let main = ("adaptive_avg_pool2d", source!("pool/adaptive_avg_pool2d.wgsl"), lowering.output_len(0));
        let extents = [lowering.input_dims(0), lowering.output_dims(0)];
        pool(lowering, main, extents, (["input", "output"], extents));
        Ok(())
    }
}

impl Operation for AdaptiveAvgPool2dGrad {
    fn name(&self) -> &'static str {
        "adaptive_avg_pool2d_grad"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        Ok(vec![Spec::f32(self.input.clone())])
    }

    fn has_epilogue(&self) -> bool {
        true
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let main = ("adaptive_avg_pool2d_grad", source!("pool/adaptive_avg_pool2d_grad.wgsl"), lowering.output_len(0));
        let extents = [lowering.output_dims(0), lowering.input_dims(0)];
        let [input, output] = extents;
        pool(lowering, main, extents, (["grad_output", "grad_input"], [output, input]));
        Ok(())
    }
}

/// The inputs of output `o`, or, with the sizes exchanged, the outputs that an input belongs to.
fn window(o: usize, size: usize, count: usize) -> Range<usize> {
    o * size / count..((o + 1) * size).div_ceil(count)
}

impl Twin for AdaptiveAvgPool2dAttributes {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let x = inputs.real(0);
        let [_, channels, in_h, in_w] = inputs.nchw(0);
        let [out_h, out_w] = self.output;
        fill_nchw(outputs.real(0), inputs.output_nchw(0), |n, c, oh, ow| {
            let (rows, columns) = (window(oh, in_h, out_h), window(ow, in_w, out_w));
            let size = R::of((rows.len() * columns.len()) as f64);
            let line = |h: usize| ((n * channels + c) * in_h + h) * in_w;
            let values = rows.flat_map(|h| columns.clone().map(move |w| x[line(h) + w]));
            values.sum::<R>() / size
        });
    }
}

impl Twin for AdaptiveAvgPool2dGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let dy = inputs.real(0);
        let [_, channels, out_h, out_w] = inputs.nchw(0);
        let dims = inputs.output_nchw(0);
        let [_, _, in_h, in_w] = dims;
        fill_nchw(outputs.real(0), dims, |n, c, h, w| {
            let mut sum = R::default();
            for oh in window(h, out_h, in_h) {
                for ow in window(w, out_w, in_w) {
                    let size = window(oh, in_h, out_h).len() * window(ow, in_w, out_w).len();
                    sum += dy[((n * channels + c) * out_h + oh) * out_w + ow] / R::of(size as f64);
                }
            }
            sum
        });
    }
}

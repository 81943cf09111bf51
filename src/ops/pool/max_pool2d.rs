//! max_pool2d and its gradient, which goes to the one element that won.

use crate::error::Result;
use crate::graph::{Grad, Misfit, Node, Operation, Tape};
use crate::kernel::{Candidate, Caps, Dispatch, Extent, Kernel, Tensors, source};
use crate::ops::pool::{together, windows_over};
use crate::ops::{arity, nchw, positive};
use crate::params;
use crate::shape::{Shape, Window, pool_output};
use crate::tensor::{Spec, Tensor, TensorId};
use crate::twin::{Inputs, Outputs, Real, Twin};

/// The largest element of each window; the first of equals wins, and NaN wins over all. Source: torch.nn.MaxPool2d.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MaxPool2dAttributes {
    /// The window's height and width.
    pub kernel: [usize; 2],
    /// How far it moves; PyTorch's default is the kernel.
    pub stride: [usize; 2],
    /// Rows and columns of minus infinity on each side, at most half the kernel.
    pub padding: [usize; 2],
    /// How far apart the window's elements lie.
    pub dilation: [usize; 2],
    /// Whether the last window may reach beyond the padded input.
    pub ceil_mode: bool,
}

impl MaxPool2dAttributes {
    /// Windows of `kernel`, side by side.
    pub fn new(kernel: [usize; 2]) -> Self {
        MaxPool2dAttributes { kernel, stride: kernel, padding: [0; 2], dilation: [1; 2], ceil_mode: false }
    }
}

/// The gradient of [`MaxPool2dAttributes`]: operands are grad_output and the indices of the winners.
#[derive(Clone, Debug)]
pub struct MaxPool2dGrad {
    /// The pooling.
    pub pool: MaxPool2dAttributes,
    /// The shape of its input.
    pub input: Shape,
}

params! {
    /// Extents and attributes of a max pooling.
    pub(crate) struct Params {
        batch: u32, channels: u32, in_h: u32, in_w: u32, out_h: u32, out_w: u32,
        kernel_h: u32, kernel_w: u32, stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
        dilation_h: u32, dilation_w: u32,
    }
}

impl Params {
    /// Counts channels in as many as one invocation owns.
    fn per(self, each: u32) -> Self {
        Params { channels: self.channels / each, ..self }
    }
}

impl Tape {
    /// The largest element of each window of `input` [N, C, H, W].
    pub fn max_pool2d(&mut self, name: &str, input: TensorId, pool: MaxPool2dAttributes) -> Result<TensorId> {
        Ok(self.append(name, pool, &[input], &[])?[0])
    }
}

/// Output extents of a pooling, after its attributes are checked.
pub(crate) fn pooled(
    input: &Tensor,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
    ceil_mode: bool,
) -> Result<[usize; 4], Misfit> {
    let [n, c, h, w] = nchw(input, "input")?;
    positive("kernel", kernel)?;
    positive("stride", stride)?;
    positive("dilation", dilation)?;
    if padding[0] > kernel[0] / 2 || padding[1] > kernel[1] / 2 {
        return Err(Misfit::Attribute(format!("padding {padding:?} must be at most half the kernel {kernel:?}")));
    }
    let extent = |size, axis: usize| {
        pool_output(size, kernel[axis], stride[axis], padding[axis], dilation[axis], ceil_mode).map_err(|_| {
            Misfit::Shape(format!("the dilated kernel {kernel:?} is larger than the padded input {}", input.shape))
        })
    };
    Ok([n, c, extent(h, 0)?, extent(w, 1)?])
}

impl MaxPool2dAttributes {
    /// Whether windows lie side by side, so that each can be looked at by itself.
    fn side_by_side(&self) -> bool {
        self.kernel == self.stride && self.padding == [0; 2] && self.dilation == [1; 2]
    }

    /// The attributes as keys name them.
    pub(crate) fn attributes(&self, operation: &str) -> String {
        let MaxPool2dAttributes {
            kernel: [kh, kw],
            stride: [sh, sw],
            padding: [ph, pw],
            dilation: [dh, dw],
            ceil_mode,
        } = self;
        format!(
            "{operation} kernel={kh},{kw} stride={sh},{sw} padding={ph},{pw} dilation={dh},{dw} ceil_mode={ceil_mode}"
        )
    }

    /// How many elements a window has.
    fn taps(&self) -> u32 {
        (self.kernel[0] * self.kernel[1]) as u32
    }

    fn params(&self, input: [u32; 4], output: [u32; 4]) -> Params {
        Params {
            batch: input[0],
            channels: input[1],
            in_h: input[2],
            in_w: input[3],
            out_h: output[2],
            out_w: output[3],
            kernel_h: self.kernel[0] as u32,
            kernel_w: self.kernel[1] as u32,
            stride_h: self.stride[0] as u32,
            stride_w: self.stride[1] as u32,
            pad_h: self.padding[0] as u32,
            pad_w: self.padding[1] as u32,
            dilation_h: self.dilation[0] as u32,
            dilation_w: self.dilation[1] as u32,
        }
    }
}

impl Operation for MaxPool2dAttributes {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[1])?;
        let output = pooled(inputs[0], self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode)?;
        Ok(vec![Spec::f32(output), Spec::i32(output)])
    }

    fn window(&self, _inputs: &[&Tensor]) -> Option<Window> {
        let [ph, pw] = self.padding;
        Some(Window { kernel: self.kernel, stride: self.stride, padding: [ph, ph, pw, pw], dilation: self.dilation })
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, grad_outputs: &[Grad], _needs: &[bool]) -> Result<Vec<Grad>> {
        let Some(grad_output) = grad_outputs[0] else { return Ok(vec![None]) };
        let op = MaxPool2dGrad { pool: *self, input: tape.shape(node.inputs[0]).clone() };
        let operands = [grad_output, node.outputs[1]];
        Ok(vec![Some(tape.append(&node.name, op, &operands, &[])?[0])])
    }

    fn key(&self) -> Option<String> {
        Some(self.attributes("max_pool2d"))
    }

    fn candidates<'a>(&'a self, tensors: &Tensors<'_>, _caps: &Caps) -> Vec<Candidate<'a>> {
        let [input, output] = [tensors.input_dims(0), tensors.output_dims(0)];
        let candidate = |name, kernel, file, each| {
            Candidate::new(name, move |lowering| {
                let files = [
                    file,
                    source!("pool/window.wgsl"),
                    source!("lib/nan.wgsl"),
                    source!("lib/divide.wgsl"),
                    source!("lib/each.wgsl"),
                ];
                let kernel = Kernel::new(kernel, &files).elements(each).constant("WG", 64);
                let extent = Extent::Invocations(lowering.output_len(0) / u64::from(each));
                let dispatch = Dispatch::new(kernel, &self.params(input, output).per(each), extent)
                    .elements(self.taps())
                    .bind("input", lowering.input(0))
                    .bind("output", lowering.output(0))
                    .bind("indices", lowering.output(1));
                lowering.push(dispatch);
                Ok(())
            })
        };
        let (direct, windows) = (source!("pool/max_pool2d.wgsl"), source!("pool/max_pool2d_windows.wgsl"));
        let direct = candidate("direct", "max_pool2d/direct", direct, together(input[1]));
        // With ceil_mode a last window may reach beyond the input.
        let whole = !self.ceil_mode || (input[2] % self.kernel[0] as u32 == 0 && input[3] % self.kernel[1] as u32 == 0);
        match whole && self.side_by_side() {
            true => vec![candidate("windows", "max_pool2d/windows", windows, together(input[1])), direct],
            false => vec![direct],
        }
    }
}

/// The candidates of the gradient, by relu too where relu's output was pooled; `input` is the pooling's input.
pub(crate) fn grad_candidates<'a>(op: &'a MaxPool2dGrad, tensors: &Tensors<'_>, relu: bool) -> Vec<Candidate<'a>> {
    let [input, output] = [tensors.output_dims(0), tensors.input_dims(0)];
    let arriving = match relu {
        true => source!("pool/max_pool2d_grad_arriving_relu.wgsl"),
        false => source!("pool/max_pool2d_grad_arriving.wgsl"),
    };
    // An invocation owns elements of the window's result, or of the input.
    let each = together(input[1]);
    let candidate = |name, kernel, file, owners: [u32; 4], elements: u32| {
        Candidate::new(name, move |lowering| {
            let files = [
                file,
                arriving,
                source!("pool/window.wgsl"),
                source!("pool/place.wgsl"),
                source!("lib/divide.wgsl"),
                source!("lib/each.wgsl"),
            ];
            let kernel = Kernel::new(kernel, &files).elements(each).constant("WG", 64);
            let len = owners.iter().map(|&extent| u64::from(extent)).product::<u64>();
            let params = op.pool.params(input, output).per(each);
            let dispatch = Dispatch::new(kernel, &params, Extent::Invocations(len / u64::from(each)))
                .bind("grad_output", lowering.input(0))
                .bind("indices", lowering.input(1))
                .bind("grad_input", lowering.output(0))
                .elements(elements)
                .bind_all(relu.then(|| ("output", lowering.input(2))));
            lowering.push(dispatch);
            Ok(())
        })
    };
    let (direct, windows) = (source!("pool/max_pool2d_grad.wgsl"), source!("pool/max_pool2d_grad_windows.wgsl"));
    let windows_here = windows_over(op.pool.kernel, op.pool.stride, op.pool.dilation);
    let direct = candidate("direct", "max_pool2d_grad/direct", direct, input, windows_here);
    match op.pool.side_by_side() {
        true => vec![candidate("windows", "max_pool2d_grad/windows", windows, output, op.pool.taps()), direct],
        false => vec![direct],
    }
}

impl Operation for MaxPool2dGrad {
    fn name(&self) -> &'static str {
        "max_pool2d_grad"
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<Spec>, Misfit> {
        arity(inputs, &[2])?;
        Ok(vec![Spec::f32(self.input.clone())])
    }

    fn key(&self) -> Option<String> {
        Some(format!("{} input={}", self.pool.attributes("max_pool2d_grad"), self.input))
    }

    fn candidates<'a>(&'a self, tensors: &Tensors<'_>, _caps: &Caps) -> Vec<Candidate<'a>> {
        grad_candidates(self, tensors, false)
    }
}

impl Twin for MaxPool2dAttributes {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let input = inputs.real(0);
        let [_, _, in_h, in_w] = inputs.nchw(0);
        let [batch, channels, out_h, out_w] = inputs.output_nchw(0);
        for plane in 0..batch * channels {
            for place in 0..out_h * out_w {
                let (oh, ow) = (place / out_w, place % out_w);
                let mut winner: Option<(usize, R)> = None;
                for kh in 0..self.kernel[0] {
                    for kw in 0..self.kernel[1] {
                        let h = (oh * self.stride[0] + kh * self.dilation[0]).checked_sub(self.padding[0]);
                        let w = (ow * self.stride[1] + kw * self.dilation[1]).checked_sub(self.padding[1]);
                        let (Some(h), Some(w)) = (h, w) else { continue };
                        if h >= in_h || w >= in_w {
                            continue;
                        }
                        let value = input[(plane * in_h + h) * in_w + w];
                        // The first of equals wins; NaN wins over all before it.
                        if winner.is_none_or(|(_, best)| value > best || value.to_f64().is_nan()) {
                            winner = Some((h * in_w + w, value));
                        }
                    }
                }
                // A dilated window may have all its taps in the padding: nobody wins, and nobody gets its gradient.
                let (index, value) =
                    winner.map_or((-1, R::of(f64::NEG_INFINITY)), |(index, value)| (index as i32, value));
                outputs.real(0)[plane * out_h * out_w + place] = value;
                outputs.ints(1)[plane * out_h * out_w + place] = index;
            }
        }
    }
}

impl Twin for MaxPool2dGrad {
    fn eval<R: Real>(&self, inputs: &Inputs<'_, R>, outputs: &mut Outputs<R>) {
        let (grad_output, indices) = (inputs.real(0), inputs.ints(1));
        let [_, _, out_h, out_w] = inputs.nchw(0);
        let [_, _, in_h, in_w] = inputs.output_nchw(0);
        let grad_input = outputs.real(0);
        for (i, (&dy, &index)) in grad_output.iter().zip(indices).enumerate() {
            if let Ok(index) = usize::try_from(index) {
                grad_input[i / (out_h * out_w) * in_h * in_w + index] += dy;
            }
        }
    }
}
